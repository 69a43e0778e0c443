"""Broken packages are caught by the rule of the clause that they break; correct ones by none."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_infer_conformance.judging.package import PACKAGE_RULES
from sage_infer_conformance.mutants.installed import POLICY, Package, library
from sage_infer_conformance.mutants.package import MUTANTS as PACKAGES, PackageMutant
from sage_infer_conformance.mutants.recipes import MUTANTS as RECIPES
from sage_infer_conformance.package_rules.recipe_rules import RECIPE_RULES
from sage_infer_conformance.package_rules.rules import INSTALLED_RULES
from sage_infer_conformance.running.session import Order, run
from sage_infer_contracts.certification import ClauseResult

MUTANTS = (*PACKAGES, *RECIPES)
CLAUSES = {rule.clause for rule in (*INSTALLED_RULES, *PACKAGE_RULES)}
JUDGED = {*CLAUSES, *(rule.clause for rule in RECIPE_RULES)}
Judge = Callable[[str], dict[str, ClauseResult]]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Judge what was written into the folder; a few histories are enough for the package."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))

    def judge(typed: str) -> dict[str, ClauseResult]:
        importlib.invalidate_caches()
        outcome = run(Order(typed, scenarios=("wander",), examples_percent=8))
        return {result.clause: result for result in outcome.docket.results()}

    return judge


def test_every_clause_has_two_mutants() -> None:
    counted = [mutant.clause for mutant in MUTANTS]
    assert {clause: counted.count(clause) >= 2 for clause in JUDGED} == dict.fromkeys(JUDGED, True)
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{mutant.clause}-{mutant.name}" for mutant in MUTANTS])
def test_a_broken_package_is_caught_by_its_own_rule(
    mutant: PackageMutant, tmp_path: Path, judge: Judge
) -> None:
    mutant.install(tmp_path)
    verdicts = judge(mutant.typed)
    assert verdicts[mutant.clause].verdict == "violated", f"{mutant.fault}: {verdicts[mutant.clause]}"


MISSING = """\
from sage_infer_contracts.errors import DeviceUnavailable


class SamplePolicy:
    def __init__(self, capacity_blocks):
        raise DeviceUnavailable("pip install 'sage-sample[runtime]' brings what this needs")
"""
WINDOW = """\
from sage_infer_contracts.launch import VersionWindow
TESTED = VersionWindow(distribution="vllm", minimum="0.32", below="0.33")
"""
FACTORY = """
class Policies:
    @staticmethod
    def make(capacity_blocks):
        return SamplePolicy(capacity_blocks)
"""
EVICTION = "[sage_infer.eviction.v1]\n"
DRIVER = f"{EVICTION}sample = sage_sample.plugin:SamplePolicy\n"
CORRECT = {
    "plain": (Package(),),
    "old metadata": (
        Package(
            headers={"License-Expression": None, "Classifier": "License :: OSI Approved :: MIT License"},
            requires=("sage_infer.contracts (>=0.1,!=0.1.7)", 'colorama; sys_platform == "win32"'),
        ),
    ),
    "a factory, and a class inside a class": (
        Package(
            entries=f"{EVICTION}sample = sage_sample.plugin:Policies.make\n",
            modules={"sage_sample/plugin.py": POLICY + FACTORY},
        ),
    ),
    "a policy out of a library that it requires": (
        Package(
            requires=("sage-infer-contracts>=0.1", "acme-policies"),
            modules={"sage_sample/plugin.py": "from acme_policies import SamplePolicy\n"},
        ),
        library("acme-policies", text=POLICY),
    ),
    "an adapter whose engine is installed": (
        Package(
            requires=("sage-infer-contracts>=0.1", 'vllm<0.33,>=0.32; extra == "engine"'),
            entries=f"{DRIVER}[sage_infer.tested.v1]\nvllm = sage_sample.versions:TESTED\n",
            modules={"sage_sample/plugin.py": POLICY, "sage_sample/versions.py": WINDOW},
        ),
        library("vllm", "0.32.1+cpu"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("packages", CORRECT.values(), ids=CORRECT)
def test_a_correct_package_holds_every_rule(
    packages: tuple[Package, ...], tmp_path: Path, judge: Judge
) -> None:
    for package in packages:
        package.install(tmp_path)
    verdicts = judge("sage-sample:sample")
    broken = {clause: verdicts[clause] for clause in CLAUSES if verdicts[clause].verdict != "held"}
    assert not broken


@pytest.mark.slow
def test_without_its_sdk_a_package_says_what_to_install(tmp_path: Path, judge: Judge) -> None:
    requires = ("sage-infer-contracts>=0.1", 'acme-sdk>=2; extra == "runtime"')
    Package(requires=requires, modules={"sage_sample/plugin.py": MISSING}).install(tmp_path)
    verdicts = judge("sample")
    # A policy that cannot be made is asked nothing further, so of PK-04 there is too little to claim.
    expected = {**dict.fromkeys(CLAUSES, "held"), "PK-04": "thin"}
    assert {clause: verdicts[clause].verdict for clause in CLAUSES} == expected


@pytest.mark.slow
def test_a_name_that_two_packages_claim_means_neither(tmp_path: Path, judge: Judge) -> None:
    subject = (
        "\nfrom sage_infer_contracts.testing import Subject\nsubject = Subject('eviction', SamplePolicy)\n"
    )
    entries = f"{DRIVER}[sage_infer.conformance.v1]\nsample = sage_sample.plugin:subject\n"
    Package(entries=entries, modules={"sage_sample/plugin.py": POLICY + subject}).install(tmp_path)
    Package(
        name="sage-rival",
        entries=DRIVER.replace("sage_sample", "sage_rival"),
        modules={"sage_rival/plugin.py": POLICY},
    ).install(tmp_path)
    assert judge("sage-sample:sample")["PK-07"].verdict == "held"
    said = judge("sample")["PK-07"]
    assert said.verdict == "violated"
    assert said.witness is not None
    assert "sage-rival, sage-sample" in said.witness.says


@pytest.mark.slow
def test_a_subject_that_is_not_installed_has_no_package_to_judge(judge: Judge) -> None:
    verdicts = judge("sage_infer_conformance.kinds.eviction.reference:ReferencePolicy")
    assert {verdicts[rule.clause].verdict for rule in INSTALLED_RULES} == {"stated"}


@pytest.mark.slow
@pytest.mark.parametrize("older_comes_first", [False, True])
def test_of_two_copies_the_one_in_force_is_judged(
    older_comes_first: bool, tmp_path: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment over another, or an editable install over an old wheel: imports take the first on the path."""
    first, second = tmp_path, tmp_path / "second"
    Package(version="1.0" if older_comes_first else "2.0").install(first)
    Package(version="2.0" if older_comes_first else "1.0").install(second)
    (second / "sage_sample/plugin.py").write_text(f"{POLICY}\n    capacity_blocks = 7\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{first}{os.pathsep}{second}")
    said = judge("sample")["PK-07"]
    assert said.verdict == "held", said
