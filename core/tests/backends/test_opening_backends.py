"""From a name to a backend: recipes, devices, launch plans, and plugins that are not what they claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_infer.backends import open_backend, open_embedding, plan_backend
from sage_infer.backends.exercise import exercise
from sage_infer.backends.launch_checks import check_launch_plan
from sage_infer.plugins import Catalog, Registry
from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.errors import (
    DeviceUnavailable,
    InvalidRequest,
    PluginIncompatible,
    PluginLoadError,
    PluginNotFound,
)
from sage_infer_contracts.launch import EngineLaunchPlan, VersionWindow
from sage_infer_contracts.sampling import SamplingParams

CONFIG = BackendConfig(model=ModelLocation(model_id="polly", path="/x"))


@pytest.fixture
def registry(testbed: Path) -> Registry:
    return Registry(Catalog.scan())


async def test_inline_runs_in_this_process(registry: Registry) -> None:
    backend = await open_backend("parrot", CONFIG, isolation="inline", registry=registry)
    assert type(backend).__name__ == "ParrotBackend"
    (stream,) = await backend.generate(["ab"], SamplingParams(temperature=0, max_tokens=3))
    assert (await stream.collect()).text == "aba"
    await backend.close()


async def test_an_inline_start_that_fails_raises_its_own_error(registry: Registry) -> None:
    config = CONFIG.model_copy(update={"options": {"no_device": True}})
    with pytest.raises(DeviceUnavailable, match="install parrot-runtime"):
        await open_backend("parrot", config, isolation="inline", registry=registry)


async def test_a_recipe_runs_on_the_first_installed_engine_with_its_environment(registry: Registry) -> None:
    backend = await open_backend("macaw", CONFIG, registry=registry)
    assert backend.get_capability().hardware_backend == "macaw"
    assert "parrot (parrot-plugin 1.2.3) for macaw" in backend.description  # type: ignore[attr-defined]
    await backend.close()


async def test_a_recipe_that_needs_an_environment_is_refused_inline(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequest, match=r"MACAW_VISIBLE.*isolation=process"):
        await open_backend("macaw", CONFIG, isolation="inline", registry=registry)
    monkeypatch.setenv("MACAW_VISIBLE", "1")
    await (await open_backend("macaw", CONFIG, isolation="inline", registry=registry)).close()


def test_what_a_recipe_refuses_is_refused_before_anything_starts(registry: Registry) -> None:
    with pytest.raises(InvalidRequest, match="macaws have no bf16") as caught:
        plan_backend("macaw", CONFIG.model_copy(update={"dtype": "bf16"}), registry=registry)
    assert caught.value.param == "dtype"


def test_a_recipe_without_an_engine_says_which_to_install(registry: Registry) -> None:
    with pytest.raises(PluginNotFound, match="dodo-engine, and none is installed"):
        plan_backend("dodo", CONFIG, registry=registry)


@pytest.mark.parametrize(("name", "said"), [("parrot-broken", "libparrot"), ("parrot-wrong", "lacks")])
async def test_a_broken_plugin_is_named(registry: Registry, name: str, said: str) -> None:
    with pytest.raises(PluginLoadError, match=said):
        await open_backend(name, CONFIG, isolation="inline", registry=registry)


async def test_an_unknown_name_says_what_exists(registry: Registry) -> None:
    with pytest.raises(PluginNotFound, match="parrot"):
        await open_embedding("parot", CONFIG, registry=registry)


async def test_a_worker_stays_inside_the_allowlist_of_its_host(testbed: Path) -> None:
    allowed = Registry(Catalog.scan(), allowlist=frozenset({"parrot"}))
    await (await open_backend("parrot", CONFIG, registry=allowed)).close()
    with pytest.raises(PluginNotFound):
        await open_backend("macaw", CONFIG, registry=allowed)


def _plan(**fields: object) -> EngineLaunchPlan:
    return EngineLaunchPlan.model_validate(
        {"hardware": "macaw", "install_hint": "pip install macaw", **fields}
    )


def test_launch_plans_name_what_is_missing() -> None:
    check_launch_plan(_plan(required_modules=("json",)), CONFIG)
    with pytest.raises(DeviceUnavailable, match=r"'no_such_module'.*pip install macaw"):
        check_launch_plan(_plan(required_modules=("no_such_module",)), CONFIG)
    with pytest.raises(DeviceUnavailable, match="platform plugin 'x:y'"):
        check_launch_plan(_plan(platform_plugin="x:y"), CONFIG)
    check_launch_plan(_plan(platform_plugin="console_scripts:sage"), CONFIG)
    check_launch_plan(_plan(platform_plugin="sage"), CONFIG)


def test_launch_plans_keep_to_their_version_windows() -> None:
    def window(**fields: str) -> EngineLaunchPlan:
        return _plan(versions=(VersionWindow(**fields),))

    check_launch_plan(window(distribution="click", minimum="8", below="100"), CONFIG)
    with pytest.raises(PluginIncompatible, match=r"click >= 7, < 8; found"):
        check_launch_plan(window(distribution="click", minimum="7", below="8"), CONFIG)
    with pytest.raises(PluginIncompatible, match="nonsense"):
        check_launch_plan(window(distribution="click", minimum="nonsense"), CONFIG)
    with pytest.raises(DeviceUnavailable, match="no-such-dist >= 1"):
        check_launch_plan(window(distribution="no-such-dist", minimum="1"), CONFIG)


async def test_the_exercise_passes_for_a_working_backend(registry: Registry) -> None:
    config = CONFIG.model_copy(update={"options": {"step_s": 0.001}})
    results = await exercise("parrot", config, isolation="inline", registry=registry)
    assert [(result.name, result.ok) for result in results] == [
        ("start", True),
        ("capability", True),
        ("greedy twice", True),
        ("prefill and decode", True),
        ("cancel", True),
        ("close", True),
    ], results


async def test_the_exercise_finds_what_is_broken(registry: Registry) -> None:
    broken = CONFIG.model_copy(update={"options": {"broken_generate": True}})
    results = await exercise("parrot", broken, isolation="inline", registry=registry)
    failed = {result.name: result.detail for result in results if result.ok is False}
    assert "ZeroDivisionError from outside the error family" in failed["greedy twice"]
    dead = CONFIG.model_copy(update={"options": {"no_device": True}})
    (only,) = await exercise("parrot", dead, isolation="inline", registry=registry)
    assert (only.ok, "parrot-runtime" in only.detail) == (False, True)


async def test_auto_takes_what_the_hooks_propose_and_says_why(testbed: Path) -> None:
    said: list[str] = []
    alone = frozenset({"parrot"})  # whatever else is installed here may propose too
    with pytest.raises(PluginNotFound, match="no backend can be chosen"):
        await open_backend(
            "auto", CONFIG, isolation="inline", registry=Registry(Catalog.scan(), allowlist=alone)
        )
    (testbed / "parrot_hooks.py").write_text(_HOOKS)
    with (testbed / "parrot_plugin-1.2.3.dist-info" / "entry_points.txt").open("a") as points:
        points.write("[sage_infer.hooks.v1]\nparrot = parrot_hooks\n")
    backend = await open_backend(
        "auto",
        CONFIG,
        isolation="inline",
        registry=Registry(Catalog.scan(), allowlist=alone),
        progress=lambda stage, _share: said.append(stage),
    )
    assert type(backend).__name__ == "ParrotBackend"
    assert "auto takes parrot-plugin:parrot: a perch is here" in said[0]
    await backend.close()


_HOOKS = """
from sage_infer_contracts.plugins import Proposal, hookimpl
from sage_infer_contracts.kinds import PluginKind

@hookimpl
def sage_infer_propose_backend(profile):
    return [Proposal(kind=PluginKind.BACKEND, name="parrot", score=0.9, reason="a perch is here")]
"""
