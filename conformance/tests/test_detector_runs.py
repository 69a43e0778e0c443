"""Correct detectors, the usual and the unusual, hold every rule."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_infer_conformance.running.session import Order, Outcome, run
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.testing import RecordedMachine, machines_in

SEEDS = range(int(os.environ.get("SAGE_KIT_SEEDS", "1")))
"""One seed finds what is wrong now; a run of twenty, outside CI, shows that no seed raises a false alarm."""
HERE = Path(__file__).parent
REFERENCE = "sage_infer_conformance.kinds.detector.reference_machines:SUBJECT"
HOST = "sage_infer_host.conformance:DETECTOR"
UNUSUAL = (
    *("PARTIAL", "HIDDEN", "HALF_ROWS", "THREADS", "NOTHING_TOLD"),
    *("PCI", "SYSFS", "DIES", "ROWS", "LIBRARY", "PROCESSOR"),
)


def not_held(outcome: Outcome) -> list[str]:
    wanted = {result.clause: result for result in outcome.docket.results() if result.verdict != "stated"}
    return [f"{clause}: {found}" for clause, found in wanted.items() if found.verdict != "held"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_holds_every_rule(seed: int) -> None:
    assert not_held(run(Order(REFERENCE, seed=seed))) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", UNUSUAL)
def test_a_correct_detector_may_look_as_it_likes(name: str, seed: int) -> None:
    assert not_held(run(Order(f"{HERE / 'unusual_detector.py'}:{name}", seed=seed))) == []


@pytest.mark.slow
def test_a_vendors_detector_without_recordings_is_certified() -> None:
    results = run(Order(f"{HERE / 'unusual_detector.py'}:NO_MACHINES")).docket.results()
    verdicts = {result.clause: result.verdict for result in results}
    assert "violated" not in verdicts.values()
    assert verdicts["HD-04"] == "thin"


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_detector_of_the_host_holds_every_rule(seed: int) -> None:
    pytest.importorskip("sage_infer_host")
    assert not_held(run(Order(HOST, seed=seed))) == []


def test_machines_in_a_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "bare.json").write_text('{"note": "a plain recording"}', encoding="utf-8")
    (tmp_path / "known.json").write_text(
        '{"recording": {}, "state": "absent", "devices": 0}', encoding="utf-8"
    )
    (tmp_path / "notes.txt").write_text("no recording", encoding="utf-8")
    found = machines_in(tmp_path)
    assert set(found) == {"bare", "known"}
    assert found["bare"].recording.note == "a plain recording"
    assert isinstance(found["known"], RecordedMachine)
    assert (found["known"].state, found["known"].devices) == ("absent", 0)
    (tmp_path / "wrong.json").write_text('{"pci": 3}', encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"wrong\.json"):
        machines_in(tmp_path)
