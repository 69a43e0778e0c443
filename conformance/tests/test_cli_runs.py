"""Whole runs from the command line: what they leave behind, and how it is done again."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sage_infer_conformance.cli.main import conformance
from sage_infer_contracts.certification import Certificate, ConformanceReport

REFERENCE = "sage_infer_conformance.kinds.eviction.reference:ReferencePolicy"
MUTANT = "sage_infer_conformance.mutants.eviction:MUTANTS.TouchForgetsPin"
pytestmark = pytest.mark.slow


def call(*words: str | Path) -> Result:
    result = CliRunner().invoke(conformance, [str(word) for word in words])
    assert "Traceback" not in result.output
    return result


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("passed")
    result = call("run", REFERENCE, "--out", folder, "--seed", "3")
    assert result.exit_code == 0, result.output
    assert "holds every clause of its kind" in result.output
    return folder


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("failed")
    (folder / "certificate.json").write_text("of an earlier run")
    result = call("run", MUTANT, "--out", folder, "--rule", "EV-01", "--rule", "EV-02", "--json")
    assert result.exit_code == 1, result.output
    return folder


def test_a_passing_run_leaves_every_form_of_its_report(passed: Path) -> None:
    files = {path.name for path in passed.iterdir()}
    assert files == {"report.json", "report.html", "junit.xml", "badge.json", "certificate.json"}
    report = ConformanceReport.model_validate_json((passed / "report.json").read_text())
    assert report.passed
    assert report.seed == 3
    assert report.subject.device == "simulated"
    for fact in ("contract", "contracts", "kit", "hypothesis", "python"):
        assert report.environment[fact] != "not installed"


def test_a_certificate_is_confirmed_by_running_it_again(passed: Path) -> None:
    result = call("verify", passed / "certificate.json")
    assert result.exit_code == 0, result.output
    assert "is confirmed" in result.output


def test_a_certificate_that_claims_more_than_is_found_is_not_confirmed(passed: Path, tmp_path: Path) -> None:
    certificate = Certificate.model_validate_json((passed / "certificate.json").read_text())
    environment = {**certificate.environment, "kit": "0.0.9"}
    first = certificate.results[0].model_copy(update={"evaluations": 1_000_000})
    claimed = certificate.model_copy(
        update={"results": (first, *certificate.results[1:]), "environment": environment}
    )
    path = tmp_path / "certificate.json"
    path.write_text(claimed.model_dump_json())
    result = call("verify", path)
    assert result.exit_code == 1
    assert f"differs: {first.clause} was evaluated 1000000 times" in result.output
    assert "note: kit was 0.0.9" in result.output


def test_a_failing_run_leaves_a_witness_and_no_certificate(failed: Path) -> None:
    assert not (failed / "certificate.json").exists()
    report = ConformanceReport.model_validate_json((failed / "report.json").read_text())
    assert [result.clause for result in report.results] == ["EV-01", "EV-02"]
    assert report.results[0].verdict == "violated"
    witness = (failed / "witnesses" / "EV-01.jsonl").read_text().splitlines()
    assert json.loads(witness[0])["kind"] == "eviction"
    assert json.loads(witness[-1])["command"]["op"] == "victims"


def test_a_witness_breaks_the_clause_again_and_spares_a_correct_subject(failed: Path) -> None:
    for file in (failed / "witnesses" / "EV-01.jsonl", failed / "report.json"):
        again = call("replay", file)
        assert again.exit_code == 1, again.output
        assert "EV-01 (MUST) violated" in again.output
    spared = call("replay", failed / "witnesses" / "EV-01.jsonl", "--subject", REFERENCE)
    assert spared.exit_code == 0, spared.output
    assert "nothing is broken any more" in spared.output


def test_develop_stops_at_the_first_broken_rule_with_a_short_history(tmp_path: Path) -> None:
    path = tmp_path / "policy.py"
    path.write_text(
        "from sage_infer_conformance.kinds.eviction.reference import ReferencePolicy\n"
        "class Policy(ReferencePolicy):\n"
        "    def victims(self, count):\n"
        "        return (super().victims(count) or [])[:1]\n"
    )
    result = call("run", f"{path}:Policy", "--mode", "develop", "--json", "--out", tmp_path / "out")
    assert result.exit_code == 1
    report = ConformanceReport.model_validate_json((tmp_path / "out" / "report.json").read_text())
    verdicts = {found.clause: found for found in report.results}
    witness = verdicts["EV-02"].witness
    assert witness is not None
    assert witness.step <= 6, witness.story
    assert verdicts["EV-05"].verdict == "thin"
    assert verdicts["EV-05"].reason == "not judged: the run stopped at the first broken rule"


def test_a_subject_that_kills_its_process_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "policy.py"
    path.write_text("import os\n\n\ndef make(capacity_blocks):\n    os._exit(5)\n")
    result = call("run", f"{path}:make", "--kind", "eviction")
    assert result.exit_code == 1
    assert "exited with status 5" in result.output
    assert "error" in result.output


def test_settings_reach_the_factory_also_where_it_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "policy.py"
    path.write_text(
        "from sage_infer_conformance.kinds.eviction.reference import ReferencePolicy\n"
        "class Policy(ReferencePolicy):\n"
        "    def __init__(self, capacity_blocks, *, share):\n"
        "        assert share == 0.5\n"
        "        super().__init__(capacity_blocks)\n"
    )
    result = call("run", f"{path}:Policy", "--kind", "eviction", "--set", "share=0.5")
    assert result.exit_code == 0, result.output
    assert "--set share=0.5" in result.output
