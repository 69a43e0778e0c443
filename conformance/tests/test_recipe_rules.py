"""The rules of recipes, on packages that are written into a folder and loaded from there."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from sage_infer_conformance.mutants.installed import Package
from sage_infer_conformance.mutants.package import PackageMutant
from sage_infer_conformance.mutants.recipes import CHIPS, MUTANTS, TEXT, package
from sage_infer_conformance.package_rules.facts import Metadata, PackageFacts, Starts, Use
from sage_infer_conformance.package_rules.loading import load_entries
from sage_infer_conformance.package_rules.not_run import not_run
from sage_infer_conformance.package_rules.proposals import proposed
from sage_infer_conformance.package_rules.recipe_rules import RECIPE_RULES
from sage_infer_conformance.package_rules.settings import fault_of_name, fault_of_value
from sage_infer_conformance.reports.words import ranges
from sage_infer_contracts.clauses import CLAUSES
from sage_infer_contracts.launch import Refusal


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "sage_sample"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def facts_of(installed: Package, folder: Path) -> PackageFacts:
    installed.install(folder)
    importlib.invalidate_caches()
    loading = load_entries("sage-sample")
    assert [entry.error for entry in loading.entries if entry.error is not None] == []
    return PackageFacts(
        subject="sample",
        distribution="sage-sample",
        metadata=Metadata(),
        loading=loading,
        starts=Starts(use=Use()),
        bare=Use(),
    )


def complaints(facts: PackageFacts) -> dict[str, list[str]]:
    return {
        rule.clause: [check.says for check in rule.judge(None, facts) if check.says is not None]
        for rule in RECIPE_RULES
    }


def test_a_correct_recipe_holds_and_comes_back_from_the_child_as_it_was(folder: Path) -> None:
    facts = facts_of(package(), folder)
    assert complaints(facts) == {"BR-01": [], "BR-02": [], "BR-03": []}
    assert complaints(PackageFacts.model_validate_json(facts.model_dump_json())) == complaints(facts)
    assert facts.loading.recipes[0].chips == ("X1", "X2")


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{one.clause}-{one.name}" for one in MUTANTS])
def test_a_broken_recipe_breaks_its_own_clause_and_no_other(mutant: PackageMutant, folder: Path) -> None:
    (broken,) = mutant.packages
    found = complaints(facts_of(broken, folder))
    assert found[mutant.clause]
    others = {clause: says for clause, says in found.items() if clause != mutant.clause and says}
    assert not others


def test_a_list_of_chips_that_cannot_be_read_is_named(folder: Path) -> None:
    found = complaints(facts_of(package(chips='{"chips": 3}'), folder))
    assert "chips.json is no list of chips" in found["BR-01"][0]
    assert "has no X1" in found["BR-02"][0]


def test_a_native_recipe_has_nothing_to_refuse(folder: Path) -> None:
    found = facts_of(package(TEXT.replace("launch_plan=PLAN,\n    kv_constraints=KV,", ""), CHIPS), folder)
    assert complaints(found) == {"BR-01": [], "BR-02": [], "BR-03": []}
    assert [list(rule.judge(None, found)) for rule in RECIPE_RULES][1:] == [[], []]


def test_what_needs_the_device_is_listed_as_not_run(folder: Path) -> None:
    stated = list(not_run(facts_of(package(), folder)))
    assert ranges(item.clause for item in stated) == "IB-01 to IB-14, KV-01 to KV-10"
    assert {item.verdict for item in stated} == {"not_run"}
    assert "no evidence" in stated[0].reason
    assert list(not_run(facts_of(Package(), folder))) == []


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("kv_schema.page_size", None),
        ("block_size", None),
        ("model.attention", None),
        ("backend.split_prefill", None),
        ("sage-acme.fast_path", None),
        ("enable_chunked_prefill", None),
        ("page_size", "there is 'kv_schema.page_size'"),
        ("split_prefill", "there is 'backend.split_prefill'"),
        ("kv_schema.page-size", "no host gives"),
        ("backend.teleport", "no host gives"),
        ("Quantization", "no host gives"),
    ],
)
def test_names_of_settings(name: str, fault: str | None) -> None:
    found = fault_of_name(name, "sage-acme")
    assert found is None if fault is None else fault in (found or "")


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("dtype", "fp8_e4m3", True),
        ("dtype", "float16", False),
        ("kv_cache_dtype", "fp8", False),
        ("block_size", "128", True),
        ("kv_schema.page_size", "128 tokens", False),
        ("engine", "vllm", True),
        ("engine", "sglang", False),
        ("backend.kv_export", "yes", False),
        ("model.weights", "int8", True),
        ("model.weights", "bitsandbytes", False),
        ("quantization", "bitsandbytes", True),
        ("enforce_eager", "True", False),
    ],
)
def test_values_of_settings(name: str, value: str, holds: bool) -> None:
    assert (fault_of_value(name, value, ("vllm", "torch")) is None) is holds


@pytest.mark.parametrize(
    ("alternative", "ways"),
    [
        ("dtype=fp16", [{"dtype": "fp16"}]),
        ("dtype=fp16, or fp32 in a pinch.", [{"dtype": "fp16"}]),
        ("engine torch, the native one", [{"engine": "torch"}]),
        ("an engine of the vendor's own", []),
        ("max_batch_size=4", []),
        (
            "dtype=fp16 with engine=torch",
            [{"dtype": "fp16"}, {"engine": "torch"}, {"dtype": "fp16", "engine": "torch"}],
        ),
    ],
)
def test_what_an_alternative_proposes(alternative: str, ways: list[dict[str, str]]) -> None:
    refusal = Refusal(setting="dtype", value="bf16", reason="x", alternative=alternative)
    assert proposed(refusal, ("vllm", "torch")) == ways


def test_every_clause_of_recipes_is_judged() -> None:
    assert {rule.clause for rule in RECIPE_RULES} == {
        one.id for one in CLAUSES.values() if one.subject == "BackendRecipe"
    }


def test_a_host_gives_the_names_that_the_kit_knows(tmp_path: Path) -> None:
    settings = pytest.importorskip("sage_infer.backends.launch_settings", reason="core is not installed")
    from sage_infer_contracts.backend import BackendConfig, ModelLocation
    from sage_infer_contracts.kv import KVSchemaRequest

    config = BackendConfig(
        model=ModelLocation(model_id="m", path=str(tmp_path), revision="1"),
        dtype="fp16",
        kv_schema=KVSchemaRequest(dtype="fp16", page_size=16),
        max_sequence_length=8,
        options={"quantization": "fp8"},
    )
    given = settings.asked_settings(config, engine="vllm", capabilities=["backend.kv_export"])
    assert {name: fault_of_name(name, "x") for name in given} == dict.fromkeys(given)
    told = {"dtype", "kv_schema.dtype", "kv_schema.page_size", "block_size", "kv_cache_dtype", "engine"}
    assert told <= set(given)
    assert {name: fault_of_value(name, given[name], ("vllm",)) for name in told} == dict.fromkeys(told)
