"""`sage infer backend show` says what a platform refuses, what it needs of KV blocks, and how it moves them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sage_infer.cli.backend import backend
from sage_infer.plugins import default_registry
from sage_infer_contracts.launch import BackendRecipe

RECIPE = """
from sage_infer_contracts.constraints import KVConstraints, TransportChoice
from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan, Refusal, refusals_of
KV = KVConstraints(block_sizes=(64,), chips=("X1",), when={"model.attention": "mla"}, source="a manual")
PLAN = EngineLaunchPlan(hardware="shown", refusals=(*refusals_of(KV),
    Refusal(setting="quantization", value="fp8", reason="no fp8 units", alternative="W8A8"),
    Refusal(setting="model.weights", value="fp8", reason="no fp8 units", alternative="W8A8")))
SHOWN = BackendRecipe(name="shown", hardware="shown", engines=("vllm", "torch"), device_runtime="shown",
    launch_plan=PLAN, kv_constraints=(KV,), transport=TransportChoice(collective="SCCL", source="a manual"))
def engine(config, context): ...
"""


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "shown_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: shown-plugin\nVersion: 1.0\nRequires-Dist: sage-infer-contracts>=0.1\n"
    )
    (info / "entry_points.txt").write_text(
        "[sage_infer.backend.v1]\nshown = shown_plugin:SHOWN\nshown-engine = shown_plugin:engine\n"
    )
    (tmp_path / "shown_plugin.py").write_text(RECIPE)
    monkeypatch.syspath_prepend(str(tmp_path))
    default_registry.cache_clear()


def show(*words: str) -> str:
    result = CliRunner().invoke(backend, ["show", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_recipe_is_given_whole_as_json() -> None:
    shown = json.loads(show("shown", "--json"))
    assert (shown["name"], shown["distribution"]) == ("shown", "shown-plugin")
    recipe = BackendRecipe.model_validate(shown["recipe"])
    assert recipe.kv_constraints[0].block_sizes == (64,)
    assert json.loads(show("shown-engine", "--json"))["recipe"] is None


@pytest.mark.parametrize(
    "words",
    [
        ("kv_schema.page_size but 64", "X1", "model.attention=mla", "kv_schema.page_size=64"),
        ("quantization=fp8, model.weights=fp8", "all", "no fp8 units", "W8A8"),
        ("64", "unknown", "X1", "model.attention=mla", "a manual"),
        ("collective", "SCCL"),
        ("fallback", "tcp"),
    ],
)
def test_people_read_each_of_it_in_a_line(words: tuple[str, ...]) -> None:
    lines = show("shown").splitlines()
    assert any(all(word in line for word in words) for line in lines), lines


def test_an_engine_has_no_recipe() -> None:
    assert show("shown-engine").strip() == "shown-engine (shown-plugin 1.0) is an engine of its own"
