"""What is done to machines, and how numbers are found in what they print."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from sage_infer_conformance.kinds.detector import tables, texts
from sage_infer_conformance.kinds.detector.edits import Edits, Fail, Gone, Numbers, Remove, Unheard, apply_all
from sage_infer_conformance.kinds.detector.figures import change_numbers, is_explained, standing_numbers
from sage_infer_conformance.kinds.detector.reference_machines import csv_text, dies, machine, table_text
from sage_infer_conformance.kinds.detector.shown import Shown
from sage_infer_conformance.kinds.detector.steps import Detect, DetectorStep
from sage_infer_contracts.probe import CommandResult, Unknown

TABLE, CSV = table_text(dies(2)), csv_text(dies(2))
GAPS = "ODD   Name      Mode\n0     Odd B1    Normal\n1     Odd B2    Normal\n"
QUERY = "command:quill-smi --query --format=csv"


def cells(text: str, row: int, separator: str) -> list[str]:
    return [cell.strip() for cell in text.split("\n")[row].split(separator)]


@pytest.mark.parametrize("text", [TABLE, CSV, GAPS], ids=["ruled", "commas", "gaps"])
def test_a_wider_column_changes_the_words(text: str) -> None:
    wider = tables.widen(text, 1, 7)
    assert wider != text
    assert re.sub(r"[-\s]", "", wider) == re.sub(r"[-\s]", "", text)


@pytest.mark.parametrize(("text", "separator", "row"), [(TABLE, "|", 4), (CSV, ",", 1)])
def test_columns_lose_their_titles_when_they_move(text: str, separator: str, row: int) -> None:
    for changed in (
        tables.swapped(text, 2, 3),
        tables.without(text, 2),
        tables.with_column(text, 2, "new", "-"),
    ):
        heading = 2 if separator == "|" else 0
        before = dict(zip(cells(text, heading, separator), cells(text, row, separator), strict=True))
        after = dict(zip(cells(changed, heading, separator), cells(changed, row, separator), strict=True))
        shared = before.keys() & after.keys() - {""}
        assert len(shared) >= len(before) - 2
        assert all(after[title] == before[title] for title in shared)


def test_rows_without_a_heading_are_put_in_another_order() -> None:
    bare = CSV.split("\n", 1)[1]
    assert tables.swapped(bare, 0, 1) == tables.without(bare, 0) == tables.rename(bare, 0, "x") == bare


def test_numbers_in_names_and_addresses_are_taken_for_figures() -> None:
    text = (
        "X64 Pro 64, 0000:3B:00.0, 3.1.0, 2026-01-02 03:04:05, 98304 MiB, 3425/65536, 37%, 1638.4 GB/s, id7"
    )
    found = [match[0] for match in standing_numbers(text, ("X64 Pro 64",))]
    assert found == ["98304", "3425", "65536", "37", "1638.4"]
    assert "N/A MiB" in change_numbers(text, ("X64 Pro 64",), "N/A")


def test_a_figure_in_another_unit_is_unexplained() -> None:
    text = ["memory: 98304 MiB, used 3425 MiB, 64 GiB"]
    assert is_explained(98304 * 2**20, text, ())
    assert is_explained(float((98304 - 3425) * 2**20), text, ())
    assert not is_explained(65 * 2**30, text, ())
    assert not is_explained(64 * 2**30, ["Quill 64, memory N/A"], ("Quill 64",))


@given(st.text(max_size=200), st.integers(0, 300))
def test_a_cut_text_is_not_a_beginning(text: str, at: int) -> None:
    assert text.startswith(texts.cut(text, at).rstrip("\ufffd"))


@pytest.mark.parametrize("how", ["long line", "spaces", "digits", "many lines"])
def test_numbers_are_searched_for_without_end(how: str) -> None:
    swollen = texts.swell(CSV, how, 64)
    assert standing_numbers(swollen)
    assert tables.widen(swollen, 1, 1)


def test_edits_do_not_reach_the_probe() -> None:
    shown = Shown(recording=machine(dies(2)))
    failed = apply_all(shown, (Fail(source=QUERY, message="no", exit_status=9),))
    assert failed.recording.commands[QUERY.removeprefix("command:")] == CommandResult(
        stderr="no\n", exit_status=9
    )
    assert apply_all(shown, (Gone(source="pci"),)).recording.pci == ()
    unheard = apply_all(shown, (Unheard(source=QUERY),)).recording.replay()
    assert isinstance(unheard.run(QUERY.removeprefix("command:").split(), timeout_s=1), Unknown)
    lost = dies(2)[0]
    removed = apply_all(shown, (Remove(tokens=(lost.uuid,), bdf=lost.bdf),))
    assert not any(lost.uuid in text for text in removed.texts().values())
    assert lost.bdf not in {device.bdf for device in removed.pci()}


def test_a_library_replies_in_something_else_than_json() -> None:
    recording = machine(dies(1)).model_copy(update={"libraries": {"ask:all": '{"mib": 98304}'}})
    shown = Shown(recording=recording)
    assert apply_all(shown, (Numbers(by="N/A", spare=()),)).recording.libraries["ask:all"] == '{"mib": null}'
    assert shown.with_text("library:ask:all", "{").recording.libraries["ask:all"] == '{"mib": 98304}'


@given(st.text(max_size=20))
def test_a_step_is_not_the_same_after_json(text: str) -> None:
    edits: Edits = (Fail(source=QUERY, message=text), Numbers(spare=(text,)))
    step = DetectorStep(command=Detect(edits=edits))
    assert DetectorStep.model_validate_json(step.model_dump_json(exclude_none=True)) == step
