"""The rules of hardware detectors as what they are: functions of a model and a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import pytest

from sage_infer_conformance.history.steps import Raised
from sage_infer_conformance.judging.rules import Check
from sage_infer_conformance.kinds.detector import rules
from sage_infer_conformance.kinds.detector.driver import DetectorDriver
from sage_infer_conformance.kinds.detector.edits import (
    Beside,
    Column,
    Cut,
    Fail,
    Gone,
    Numbers,
    Relabel,
    Variable,
)
from sage_infer_conformance.kinds.detector.model import DetectorModel
from sage_infer_conformance.kinds.detector.reference_machines import SUBJECT, dies, machine, machines
from sage_infer_conformance.kinds.detector.shown import Shown
from sage_infer_conformance.kinds.detector.steps import (
    Again,
    Detect,
    DetectorStep,
    Facts,
    Load,
    Loaded,
    Make,
    Repeated,
    Seen,
)
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds, Figure, MemoryTierSpec
from sage_infer_contracts.probe import PciDevice

QUERY = "command:quill-smi --query --format=csv"
FACTS = Facts(hardware_backend="quill", pci_vendors=("fa57",), visible_variables=("QUILL_VISIBLE_DEVICES",))
STRANGER = PciDevice(bdf="0000:99:00.0", vendor="f00d", device="0001", device_class="120000")


def device(number: int, **changes: Any) -> AcceleratorDescriptor:
    one = dies(2)[number]
    ids = one.ids.model_copy(update={"logical": number, **changes.pop("ids", {})})
    facts = {"name": one.name, "memory_total_bytes": one.memory_mib * 2**20, **changes}
    return AcceleratorDescriptor(hardware_backend="quill", ids=ids, **facts)


def report(*devices: AcceleratorDescriptor, state: Any = "present", **changes: Any) -> DetectionReport:
    reason = None if state in ("present", "absent") else "why"
    return DetectionReport(
        hardware_backend="quill", state=state, reason=reason, accelerators=devices, **changes
    )


WHOLE = report(device(0), device(1))


def looked(found: DetectionReport | None, *edits: Any, **seen: Any) -> DetectorStep:
    return DetectorStep(command=Detect(edits=edits), seen=Seen(report=found, **seen))


def model_after(*steps: DetectorStep) -> DetectorModel:
    known = machines()["two cards"]
    told = Loaded(
        name="two cards", shown=Shown(recording=known.recording), state="present", devices=2, ids=known.ids
    )
    model = DetectorModel()
    for step in (DetectorStep(command=Load(ordinal=0), facts=FACTS, loaded=told), looked(WHOLE), *steps):
        model.apply(step)
    return model


COMPARED = model_after(looked(WHOLE, Gone(source=QUERY)))


def complaints(found: Iterable[Check]) -> list[str]:
    return [one.says for one in found if one.says is not None]


def judged(
    rule: Any, found: DetectionReport | None, *edits: Any, model: DetectorModel = COMPARED, **seen: Any
) -> list[str]:
    return complaints(rule(model, looked(found, *edits, **seen)))


FAILED = Fail(source=QUERY, message="driver does not answer")
HALF = Fail(source=QUERY, message="driver does not answer", keep_percent=50)
CUT = Cut(source=QUERY, at_byte=200)


def test_a_driver_error_that_is_called_absence_passes() -> None:
    assert judged(rules.tells_the_state, report(state="absent"), FAILED)
    assert not judged(rules.tells_the_state, report(state="unreadable"), FAILED)


def test_a_machine_of_which_nothing_is_known_is_called_empty() -> None:
    model = DetectorModel()
    model.apply(DetectorStep(command=Make(name="nothing", shown=Shown())))
    asked = ("pci", "command:quill-smi")
    assert judged(rules.tells_the_state, report(state="absent"), model=model, asked=asked)
    assert not judged(rules.tells_the_state, report(state="unreadable"), model=model, asked=asked)


def test_devices_lost_to_a_failing_tool_are_not_missed() -> None:
    assert judged(rules.tells_the_state, report(device(0)), HALF)
    assert not judged(rules.tells_the_state, report(device(0), state="partial"), HALF)
    assert not judged(rules.tells_the_state, WHOLE, HALF)


def test_what_the_author_knows_is_not_compared() -> None:
    assert judged(rules.tells_the_state, report(device(0)))
    assert judged(rules.tells_the_state, report(device(0), device(1), state="partial"))
    assert judged(rules.tells_the_state, None, returned="NoneType")


def test_two_answers_for_one_machine_pass() -> None:
    assert judged(rules.is_pure, report(device(0)))
    assert not judged(rules.is_pure, WHOLE)
    assert judged(rules.is_pure, WHOLE, touched=("open /proc/driver/x",))
    again = DetectorStep(command=Again(hash_seed=1), again=(Repeated(step=1, report=report(device(1))),))
    assert complaints(rules.is_pure(COMPARED, again))


def test_a_strangers_device_can_be_claimed() -> None:
    claimed = AcceleratorDescriptor(hardware_backend="quill", name="x", ids=DeviceIds(bdf=STRANGER.bdf))
    beside = Beside(devices=(STRANGER,))
    assert judged(rules.claims_its_own, report(device(0), device(1), claimed), beside)
    assert not judged(rules.claims_its_own, WHOLE, beside)
    relabel = Relabel(owners=("fa57",), vendor="1a03")
    assert judged(rules.claims_its_own, report(state="present"), relabel)
    assert not judged(rules.claims_its_own, report(state="absent"), relabel)


@pytest.mark.parametrize(
    "invented",
    [
        report(device(0), device(1), device(1, ids={"uuid": None, "bdf": None})),
        report(device(0), device(1, ids={"uuid": "QPU-1"})),
        report(device(0), device(1, ids={"bdf": "0000:77:00.0"})),
        report(device(0), device(0)),
        report(device(0), device(1, memory_total_bytes=2**50)),
    ],
    ids=["one more", "UUID", "address", "twice", "memory"],
)
def test_a_device_can_be_invented(invented: DetectionReport) -> None:
    assert judged(rules.invents_nothing, invented, Column(source=QUERY, how="widen", column=1, by=9))


def test_a_damaged_name_is_told_from_a_shortened_or_a_made_up_one() -> None:
    sliced = report(device(0, name="X64 Pro, 0000"), device(1))
    assert judged(rules.invents_nothing, sliced, Column(source=QUERY, how="widen", column=4, by=9))
    assert not judged(rules.invents_nothing, report(device(0, name="Quill X6")), CUT)
    assert not judged(rules.invents_nothing, report(device(0, name="unknown device")), CUT)


def test_an_exception_is_an_answer() -> None:
    raised = DetectorStep(command=Detect(edits=(CUT,)), error=Raised(type="ValueError"))
    hung = DetectorStep(command=Detect(edits=(CUT,)), error=Raised(type="Hang", fate="hang"))
    assert complaints(rules.invents_nothing(COMPARED, raised))
    assert not complaints(rules.invents_nothing(COMPARED, hung))
    assert complaints(rules.ends_in_time(COMPARED, hung))


def test_ids_are_mixed() -> None:
    assert judged(rules.keeps_ids_apart, report(device(0, ids={"physical": 0}), device(1)))
    assert judged(rules.keeps_ids_apart, report(device(0, ids={"minor": 7})), Gone(source=QUERY))
    assert judged(rules.keeps_ids_apart, report(device(0, ids={"bdf": "0000:3B:00.0"})), CUT)


def test_hidden_devices_are_seen() -> None:
    unset = Variable(name="QUILL_VISIBLE_DEVICES")
    model = model_after(looked(WHOLE, unset))
    second = Variable(name="QUILL_VISIBLE_DEVICES", value="1")
    assert judged(rules.keeps_ids_apart, WHOLE, second, model=model)
    hidden, shown = device(0, ids={"logical": None}), device(1, ids={"logical": 0})
    assert not judged(rules.keeps_ids_apart, report(hidden, shown), second, model=model)
    assert not judged(rules.keeps_ids_apart, report(shown), second, model=model)
    assert judged(rules.keeps_ids_apart, report(hidden, device(1)), second, model=model)


PARENT = device(0, ids={"logical": None})
PARTS = [
    device(
        0, slice_of=PARENT.ids.uuid, ids={"uuid": f"part-{n}", "logical": None, "index": None, "bdf": None}
    )
    for n in range(2)
]
NUMBERED_PART = PARTS[0].model_copy(update={"ids": PARTS[0].ids.model_copy(update={"logical": 0})})


def with_visible(value: str, found: DetectionReport, before: DetectionReport) -> list[str]:
    model = model_after(looked(before, Variable(name="QUILL_VISIBLE_DEVICES")))
    assert model.facts is not None
    model.facts = model.facts.model_copy(update={"visible_uuids": True})
    return judged(
        rules.keeps_ids_apart, found, Variable(name="QUILL_VISIBLE_DEVICES", value=value), model=model
    )


@pytest.mark.parametrize(
    ("value", "visible", "fits"),
    [
        ("part-0", [NUMBERED_PART], True),
        ("part-1", [NUMBERED_PART], False),
        ("part-0,part-1", [NUMBERED_PART], True),  # a runtime may use one slice whatever is named
        ("part-0,part-1", [device(1, ids={"logical": 0})], False),
        (str(PARENT.ids.uuid), [NUMBERED_PART], True),
        (str(PARENT.ids.uuid), [device(1, ids={"logical": 0})], False),
        (str(device(1).ids.uuid), [device(1, ids={"logical": 0})], True),
        (str(device(1).ids.uuid), [NUMBERED_PART], False),
        ("0", [NUMBERED_PART], True),  # devices and slices: nobody knows what is counted
        ("1", [device(1, ids={"logical": 0})], True),
    ],
)
def test_slices_are_visible_as_their_runtime_has_it(
    value: str, visible: list[AcceleratorDescriptor], fits: bool
) -> None:
    before = report(PARENT, *PARTS, device(1, ids={"logical": None}))
    rest = [
        one.model_copy(update={"ids": one.ids.model_copy(update={"logical": None})})
        for one in before.accelerators
        if one.ids.uuid not in {shown.ids.uuid for shown in visible}
    ]
    assert (with_visible(value, report(*rest, *visible), before) == []) is fits


def test_slices_that_the_runtime_counts_are_named_by_number() -> None:
    parts = [
        one.model_copy(update={"ids": one.ids.model_copy(update={"logical": n})})
        for n, one in enumerate(PARTS)
    ]
    second = parts[1].model_copy(update={"ids": parts[1].ids.model_copy(update={"logical": 0})})
    assert with_visible("1", report(second), report(*parts)) == []
    assert with_visible("1", report(parts[0]), report(*parts))


def test_classes_that_an_author_names_are_his_and_no_others() -> None:
    found = report(
        AcceleratorDescriptor(hardware_backend="quill", name="x", ids=DeviceIds(bdf="0000:98:00.0"))
    )
    odd = PciDevice(bdf="0000:98:00.0", vendor="fa57", device="0065", device_class="0b4000")
    (said,) = judged(rules.claims_its_own, found, Beside(devices=(odd,)))[:1]
    assert "class 0b4000; if that is a class of its accelerators" in said
    told = model_after(looked(WHOLE, Gone(source=QUERY)))
    told.facts = FACTS.model_copy(update={"pci_classes": ("0b40", "1200")})
    assert not judged(
        rules.claims_its_own, found, Relabel(owners=(), vendor="fa57"), Beside(devices=(odd,)), model=told
    )
    display = odd.model_copy(update={"device_class": "030000"})
    shown = Shown(recording=Shown().recording.model_copy(update={"pci": (display,)}))
    assert not told.own_devices(shown)
    assert told.is_strange(display)
    assert not told.is_strange(odd)
    told.shown = shown  # accelerators that are no PCI devices, beside a display of their own vendor
    assert not judged(rules.claims_its_own, WHOLE, model=told)


@pytest.mark.parametrize("word", ["0200", "01", "0604", "12000", "1g", "0x12"])
def test_networks_storage_and_bridges_are_nobodys_accelerators(word: str) -> None:
    subject = attrs.evolve(SUBJECT, facts={**SUBJECT.facts, "pci_classes": f"1200,{word}"})
    step = DetectorDriver(subject, "quill").execute(Load(ordinal=0))
    assert step.error is not None
    assert f"{word!r} is no PCI class" in step.error.message


def test_a_figure_without_a_source_is_reported() -> None:
    def bandwidth(source: str, value: float = 1.0) -> DetectionReport:
        return report(device(0, figures=(("bandwidth", Figure(value=value, unit="GB/s", source=source)),)))

    assert judged(rules.has_sources, bandwidth("unknown"))
    assert judged(rules.has_sources, bandwidth("quill-smi", float("nan")))
    assert not judged(rules.has_sources, bandwidth("data sheet, page 3"))


def test_a_size_that_is_shown_nowhere_is_reported() -> None:
    blank = Numbers(by="N/A", spare=("Quill X64 Pro",))
    assert judged(rules.has_sources, WHOLE, blank)
    assert judged(rules.has_sources, report(device(0, memory_total_bytes=64 * 2**30)), blank)
    assert judged(rules.has_sources, report(device(0, memory_total_bytes=0)), blank)
    assert not judged(rules.has_sources, report(device(0, memory_total_bytes=None)), blank)
    assert not judged(
        rules.has_sources, report(device(0, memory_total_bytes=78643 * 2**20)), Numbers(spare=())
    )


def test_something_is_known_of_nothing() -> None:
    model = DetectorModel()
    model.apply(DetectorStep(command=Make(name="nothing", shown=Shown())))
    tier = MemoryTierSpec(name="hbm", capacity_bytes=0)
    assert judged(rules.has_sources, report(state="unreadable", memory_tiers=(tier,)), model=model)
    assert judged(rules.has_sources, None, model=model, round_trip="lost")


def test_time_past_the_deadline_is_not_counted() -> None:
    assert judged(rules.ends_in_time, WHOLE, simulated_s=31.0)
    assert judged(rules.ends_in_time, None, endless=True)
    assert not judged(rules.ends_in_time, WHOLE, simulated_s=29.0)


def test_the_reference_machines_differ_in_every_number() -> None:
    for one in dies(4):
        assert len({one.index, one.minor, one.physical}) == 3
    assert len(machine(dies(1, per_card=16)).pci or ()) == 3
