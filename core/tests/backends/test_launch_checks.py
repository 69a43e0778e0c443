"""A refusal is raised with all that a user needs, holds for the chips it is for, and may leave another engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sage_infer.backends import open_backend, plan_backend
from sage_infer.backends.chips_here import chips_of
from sage_infer.backends.launch_checks import check_launch_plan, unmet_demands
from sage_infer.plugins import Catalog, Registry
from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds
from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest
from sage_infer_contracts.kv import KVSchemaRequest
from sage_infer_contracts.launch import EngineLaunchPlan, Refusal

CONFIG = BackendConfig(model=ModelLocation(model_id="polly", path="/x"))
PAGES_OF_64 = CONFIG.model_copy(update={"kv_schema": KVSchemaRequest(page_size=64)})


def plan(**refusal: object) -> EngineLaunchPlan:
    whole = {
        "setting": "kv_schema.page_size",
        "allowed": ("128",),
        "reason": "the kernel reads 128",
        **refusal,
    }
    return EngineLaunchPlan(hardware="acme", refusals=(Refusal.model_validate(whole),))


def check(
    refusing: EngineLaunchPlan, chips: Sequence[str | None] = (None,), engine: str = "vllm"
) -> tuple[str, ...]:
    return check_launch_plan(refusing, PAGES_OF_64, engine=engine, find_chips=lambda: chips)


def test_the_message_says_what_why_the_alternative_and_whose_it_is() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(plan(alternative="leave page_size out"))
    assert str(caught.value) == (
        "acme cannot run with kv_schema.page_size=64: the kernel reads 128; instead: leave page_size out; "
        "refused by the launch plan of acme"
    )
    assert caught.value.param == "kv_schema.page_size"
    with pytest.raises(InvalidRequest, match="allowed: 128;"):
        check(plan())


def test_other_settings_decide_and_are_named() -> None:
    with pytest.raises(InvalidRequest, match=r"page_size=64 and engine=vllm: "):
        check(plan(when={"engine": "vllm"}))
    assert check(plan(when={"engine": "vllm"}), engine="torch") == ()


def test_chips_are_looked_for_only_where_they_decide() -> None:
    def unasked() -> Sequence[str | None]:
        raise AssertionError("nobody needs to know the chip")

    check_launch_plan(plan(chips=("X1",)), CONFIG, find_chips=unasked)
    with pytest.raises(InvalidRequest):
        check_launch_plan(plan(), PAGES_OF_64, find_chips=unasked)


def test_a_refusal_holds_on_its_chips_only() -> None:
    with pytest.raises(InvalidRequest, match=r"acme \(X1\) cannot run"):
        check(plan(chips=("X1", "X2")), ["Z", "X1"])
    assert check(plan(chips=("X1",)), ["Z"]) == ()
    (note,) = check(plan(chips=("X1", "X2")), ["Z", None])
    assert note == (
        "not checked, because the chip is not known: kv_schema.page_size=64 is refused on X1, X2: "
        "the kernel reads 128"
    )


def test_all_that_is_missing_can_be_listed() -> None:
    demanding = EngineLaunchPlan(
        hardware="acme", required_modules=("no_such_module",), platform_plugin="x:y", install_hint="pip install acme"
    )  # fmt: skip
    reasons = [error.reason for error in unmet_demands(demanding) if isinstance(error, DeviceUnavailable)]
    assert reasons == ["missing_module", "missing_platform_plugin"]


def accelerator(logical: int | None, chip: str | None) -> AcceleratorDescriptor:
    return AcceleratorDescriptor(
        hardware_backend="acme", name="card", chip=chip, ids=DeviceIds(logical=logical)
    )


@pytest.mark.parametrize(
    ("machine", "wanted", "chips"),
    [
        ([], (0,), (None,)),
        ([(None, "X1"), (None, "X1")], (1,), ("X1",)),
        ([(None, "X1"), (None, "X2")], (0,), (None,)),
        ([(0, "X1"), (1, "X2")], (1,), ("X2",)),
        ([(0, "X1"), (1, "X2")], (0, 1), ("X1", "X2")),
        ([(0, "X1"), (1, "X2")], (7,), (None,)),
        ([(0, None), (1, "X2")], (0,), (None,)),
    ],
)
def test_the_chip_is_that_of_the_devices_used(
    machine: list[tuple[int | None, str | None]], wanted: tuple[int, ...], chips: tuple[str | None, ...]
) -> None:
    assert chips_of([accelerator(*one) for one in machine], wanted) == chips


RECIPES = """
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds
from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan, Refusal
from sage_infer_contracts.plugins import hookimpl

PLAN = EngineLaunchPlan(hardware="heron", engine="parrot", required_modules=("no_such_module",), refusals=(
    Refusal(setting="engine", value="parrot", chips=("grey",), reason="it cannot wade", alternative="engine parrot-2"),
    Refusal(setting="dtype", value="bf16", chips=("white",), reason="white herons have no bf16"),
    Refusal(setting="backend.kv_export", when={"engine": "parrot-2"}, reason="it keeps its KV"),
))
HERON = BackendRecipe(name="heron", hardware="heron", engines=("parrot", "parrot-2"), launch_plan=PLAN)
EGRET = HERON.model_copy(update={"launch_plan": PLAN.model_copy(update={"required_modules": ()})})
LONELY = HERON.model_copy(update={"engines": ("parrot",)})

class Detector:
    hardware_backend = "heron"
    def detect(self, probe):
        chip = probe.environ("HERON_CHIP")
        if not chip:
            return DetectionReport(hardware_backend="heron", state="absent")
        return DetectionReport(hardware_backend="heron", state="present", accelerators=(
            AcceleratorDescriptor(hardware_backend="heron", name="a heron", chip=chip, ids=DeviceIds(logical=0)),))

@hookimpl
def sage_infer_detector():
    return Detector()
"""


@pytest.fixture
def herons(testbed: Path) -> Registry:
    """A recipe with two engines, and a detector whose chip is in HERON_CHIP."""
    (testbed / "parrot_herons.py").write_text(RECIPES)
    info = testbed / "heron_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: heron-plugin\nVersion: 1.0\nRequires-Dist: sage-infer-contracts>=0.1\n"
    )
    (info / "entry_points.txt").write_text(
        "[sage_infer.backend.v1]\nheron = parrot_herons:HERON\nlonely = parrot_herons:LONELY\n"
        "egret = parrot_herons:EGRET\n"
        "parrot-2 = parrot_engine:ParrotBackend\n[sage_infer.hooks.v1]\nheron = parrot_herons\n"
    )
    return Registry(
        Catalog.scan(),
        allowlist=frozenset({"parrot-plugin:parrot", "heron", "lonely", "egret", "parrot-2"}),
    )


def test_an_engine_refused_on_this_chip_is_passed_over_and_named(
    herons: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERON_CHIP", "grey")
    found = plan_backend("heron", CONFIG, registry=herons)
    assert (found.engine.name, found.launch_plan) == ("parrot-2", None)
    (note,) = found.notes
    assert note.startswith(
        "parrot is passed over: heron (grey) cannot run with engine=parrot: it cannot wade;"
    )
    assert "instead: engine parrot-2; refused by the launch plan of heron-plugin 1.0" in note
    with pytest.raises(InvalidRequest, match="it cannot wade"):
        plan_backend("lonely", CONFIG, registry=herons)


def test_the_engine_that_was_asked_for_is_taken_or_refused(
    herons: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asking(engine: str) -> BackendConfig:
        return CONFIG.model_copy(update={"options": {"engine": engine, "step_s": 0.1}})

    monkeypatch.setenv("HERON_CHIP", "grey")
    found = plan_backend("heron", asking("parrot-2"), registry=herons)
    assert (found.engine.name, found.notes, found.config.options) == ("parrot-2", (), {"step_s": 0.1})
    with pytest.raises(InvalidRequest, match="it cannot wade"):
        plan_backend("heron", asking("parrot"), registry=herons)
    with pytest.raises(InvalidRequest, match=r"engines parrot, parrot-2, and not on 'gull'") as caught:
        plan_backend("heron", asking("gull"), registry=herons)
    assert caught.value.param == "options.engine"


def test_any_other_refusal_stays_one(herons: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERON_CHIP", "white")
    with pytest.raises(InvalidRequest, match="white herons have no bf16"):
        plan_backend("heron", CONFIG.model_copy(update={"dtype": "bf16"}), registry=herons)
    monkeypatch.setenv("HERON_CHIP", "grey")
    with pytest.raises(InvalidRequest, match="it keeps its KV"):
        plan_backend("heron", CONFIG, registry=herons, capabilities=["backend.kv_export"])


def test_the_plans_demands_are_its_engines(herons: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERON_CHIP", "white")
    with pytest.raises(DeviceUnavailable, match="no_such_module"):
        plan_backend("heron", CONFIG, registry=herons)


async def test_what_could_not_be_checked_is_said(
    herons: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("HERON_CHIP", raising=False)
    doubt = "not checked, because the chip is not known: engine=parrot is refused on grey: it cannot wade"
    said: list[str] = []
    backend = await open_backend(
        "egret",
        CONFIG,
        isolation="inline",
        registry=herons,
        progress=lambda stage, _share: said.append(stage),
    )
    await backend.close()
    assert doubt in said
    await (await open_backend("egret", CONFIG, isolation="inline", registry=herons)).close()
    assert [record.message for record in caplog.records if "not checked" in record.message] == [
        f"egret: {doubt}"
    ]
