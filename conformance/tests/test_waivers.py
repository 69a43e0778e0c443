"""Waivers: SHOULD only, with a date, and with a history that still shows the deviation."""

from datetime import date
from pathlib import Path

import pytest

from sage_infer_conformance.waivers import Waiving, find_deviations, read_waivers, weigh
from sage_infer_contracts.certification import ClauseResult, SubjectFacts, Witness
from sage_infer_contracts.errors import InvalidRequest

TODAY = date(2026, 6, 1)
SHOWN = Witness(scenario="recorded", says="9 MB were printed", step=3, story=("1. create",))


def write(folder: Path, clause: str = "PK-08", expires: str = "2027-01-31", extra: str = "") -> Path:
    (folder / "noise.jsonl").write_text('{"kind": "eviction"}\n')
    path = folder / "deviations.toml"
    path.write_text(
        f'[[deviation]]\nclause = "{clause}"\nreason = "the runtime prints a banner"\n'
        f'link = "https://example.com/17"\nexpires = {expires}\nwitness = "noise.jsonl"\n{extra}'
    )
    return path


def still_broken(_: Path, __: str) -> Witness | None:
    return SHOWN


def violated(clause: str = "PK-08") -> ClauseResult:
    return ClauseResult(clause=clause, level="SHOULD", proof="exact", verdict="violated", witness=SHOWN)


def test_a_waived_should_passes_with_reason_link_and_date(tmp_path: Path) -> None:
    waiving = weigh(write(tmp_path), still_broken, TODAY)
    assert waiving.problems == ()
    found = waiving.apply(violated())
    assert found.verdict == "waived"
    assert found.passes
    assert found.reason == "the runtime prints a banner (https://example.com/17, until 2027-01-31)"


def test_a_deviation_that_this_run_did_not_meet_is_still_told(tmp_path: Path) -> None:
    waiving = weigh(write(tmp_path), still_broken, TODAY)
    held = ClauseResult(clause="PK-08", level="SHOULD", proof="exact", verdict="held", evaluations=1, floor=1)
    assert waiving.apply(held).verdict == "waived"
    assert waiving.apply(held).witness == SHOWN


def test_a_must_cannot_be_waived(tmp_path: Path) -> None:
    waiving = weigh(write(tmp_path, clause="EV-01"), still_broken, TODAY)
    assert len(waiving.problems) == 1
    assert "EV-01 is a MUST" in waiving.problems[0]
    assert waiving.apply(violated("EV-01")).verdict == "violated"


def test_a_waiver_ends_on_its_date(tmp_path: Path) -> None:
    path = write(tmp_path, expires="2026-06-01")
    assert weigh(path, still_broken, TODAY).problems == ()
    (problem,) = weigh(path, still_broken, date(2026, 6, 2)).problems
    assert "expired on 2026-06-01" in problem


def test_a_waiver_for_what_no_longer_happens_fails(tmp_path: Path) -> None:
    (problem,) = weigh(write(tmp_path), lambda _, __: None, TODAY).problems
    assert "no longer breaks" in problem


def test_a_waiver_without_its_witness_fails(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "noise.jsonl").unlink()
    (problem,) = weigh(path, still_broken, TODAY).problems
    assert "there is no file" in problem


def test_a_clause_that_does_not_exist_and_one_waived_twice_fail(tmp_path: Path) -> None:
    (problem,) = weigh(write(tmp_path, clause="PK-99"), still_broken, TODAY).problems
    assert "no clause" in problem
    path = write(tmp_path)
    path.write_text(path.read_text() * 2)
    (problem,) = weigh(path, still_broken, TODAY).problems
    assert "waived twice" in problem


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[deviation]", "cannot be read"),
        ('[[deviation]]\nclause = "PK-08"\n', "deviation.1.reason: Field required"),
        ('[[deviations]]\nclause = "PK-08"\n', "deviations: Extra inputs"),
    ],
)
def test_a_file_that_is_no_list_of_waivers_says_where(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "deviations.toml"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match="deviations") as caught:
        read_waivers(path)
    assert says in str(caught.value)


def test_a_link_must_be_one(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("https://example.com/17", "ask me"))
    with pytest.raises(InvalidRequest, match="link"):
        read_waivers(path)


def test_the_file_is_found_beside_a_module_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "noisy_policy"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    path = write(package)
    monkeypatch.syspath_prepend(str(tmp_path))
    facts = SubjectFacts(name="noisy", kind="eviction", target="noisy_policy.plugin:Policy")
    assert find_deviations(facts) == path
    by_file = SubjectFacts(name="noisy", kind="eviction", target=f"{package}/plugin.py:Policy")
    assert find_deviations(by_file) == path
    assert find_deviations(SubjectFacts(name="x", kind="eviction", target="no_such_package:x")) is None


def test_without_waivers_nothing_changes() -> None:
    assert Waiving().apply(violated()) == violated()
