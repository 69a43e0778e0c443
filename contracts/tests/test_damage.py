"""Damage done to a tool's output: each kind does what it says, and none of them changes what is not asked for."""

from __future__ import annotations

from hypothesis import given, strategies as st

from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_contracts.testing import Damage, damaged

TABLE = "+----------+------+\n| card | X1 B |  5 W |\n  two  cells\n+----------+------+\n"


@given(st.text(), st.integers(0, 50))
def test_a_cut_output_is_longer_than_the_cut(text: str, length: int) -> None:
    cut = Damage(cut_at_byte=length).text(text)
    assert len(cut.encode()) <= length
    assert text.startswith(cut)


@given(st.text())
def test_no_damage_changes_the_output(text: str) -> None:
    result = CommandResult(stdout=text, stderr="e", exit_status=3)
    assert Damage().applied(result) == result


def test_widening_splits_words_or_leaves_rules_short() -> None:
    assert Damage(widen=2).text(TABLE) == (
        "+--------------+----------+\n|   card   |   X1 B   |    5 W   |\n  two    cells\n+--------------+----------+\n"
    )


@given(st.text(alphabet="ab |+-\n"), st.integers(0, 5))
def test_widening_loses_a_cell(text: str, blanks: int) -> None:
    assert Damage(widen=blanks).text(text).replace("-", "").split() == text.replace("-", "").split()


def test_a_lost_card_or_noise_is_not_as_asked_for() -> None:
    damage = Damage(drop_lines=r"^1 ", before=("noise",), after=("more", "of it"))
    assert damage.text("0 X\n1 X\n2 X\n") == "noise\n0 X\n2 X\nmore\nof it\n"


def test_a_hang_has_an_exit_status() -> None:
    hung = Damage(hang=True, stderr="lost").applied(CommandResult(stdout="half", exit_status=0))
    assert (hung.stdout, hung.stderr, hung.exit_status, hung.timed_out) == ("half", "lost", None, True)


def test_a_damage_is_done_to_another_command() -> None:
    recording = ProbeRecording(
        commands={
            **{key: CommandResult(exit_status=0) for key in ("a -q", "a", "/bin/b x", "c")},
            "gone": CommandResult(missing=True),
        }
    )
    damages = {
        name: Damage(exit_status=status) for name, status in (("a -q", 1), ("a", 2), ("b", 3), ("*", 4))
    }
    found = damaged(recording, damages).commands
    assert [found[key].exit_status for key in recording.commands] == [1, 2, 3, 4, None]
