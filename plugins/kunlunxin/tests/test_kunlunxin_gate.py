"""Whose machine it is: vendor and class, and never the tool's name."""

from __future__ import annotations

import attrs
import pytest
from kunlunxin_detection import answering, asked, detect, with_command

from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_kunlunxin.asking import INTELS
from sage_infer_kunlunxin.simulated.cards import p800
from sage_infer_kunlunxin.simulated.machines import (
    NEW,
    intel,
    machine,
    with_intels_tool,
)

MIB = 2**20


def test_a_tool_is_run_where_no_card_is() -> None:
    assert asked(machine([], commands=NEW)) == []
    assert asked(intel()) == []


def test_intels_tool_is_taken_for_kunlunxins_where_the_bus_is_not_known() -> None:
    report = detect(answering(intel(), pci=None))
    assert (report.state, report.accelerators) == ("unreadable", ())
    assert report.reason == f"xpu-smi is {INTELS}"
    steps = {step.source: step for step in report.steps}
    for source in ("xpu-smi -q", "xpu-smi", "xpu-smi topo -m"):
        assert (steps[source].outcome, steps[source].detail) == ("absent", INTELS)


@pytest.mark.parametrize(
    "said",
    [
        {
            "stdout": "Intel XPU System Management Interface -- v1.2\nUsage: xpu-smi [Options]\n",
            "exit_status": 0,
        },
        {"stdout": "Sysman driver initialization failed.\n", "exit_status": 255},
        {
            "stderr": "xpu-smi: error while loading shared libraries: libxpum.so.1: cannot open shared object file\n",
            "exit_status": 127,
        },
    ],
)
def test_intels_tool_in_trouble_is_kunlunxins_in_trouble(said: dict[str, object]) -> None:
    recording = answering(intel(), pci=None, commands=dict.fromkeys(NEW, CommandResult.model_validate(said)))
    assert detect(recording).reason == f"xpu-smi is {INTELS}"


def test_a_gpu_of_intels_hides_the_cards_beside_it() -> None:
    both = with_intels_tool(machine(p800(2)))
    report = detect(both)
    assert (report.state, [one.ids.uuid for one in report.accelerators]) == (
        "present",
        [card.uuid for card in p800(2)],
    )
    assert len(report.links) == 1
    only = machine(p800(2))
    query = only.commands["xpu-smi -q"]
    hidden = answering(
        only, commands={**only.commands, **intel().commands, "/usr/local/bin/xpu-smi -q": query}
    )
    assert len(detect(hidden).accelerators) == 2, "the vendor's own path was not tried"
    lost = answering(only, commands={**only.commands, **intel().commands})
    assert (detect(lost).state, detect(lost).reason) == ("unreadable", f"xpu-smi is {INTELS}")


def test_a_line_about_intel_makes_the_tool_intels() -> None:
    recording = machine(p800(2))
    noisy = "Intel MKL WARNING: this processor is not supported\n" + recording.commands["xpu-smi -q"].stdout
    assert len(detect(with_command(recording, "xpu-smi -q", stdout=noisy, exit_status=0)).accelerators) == 2


@pytest.mark.parametrize(
    ("vendor", "device", "device_class", "own"),
    [
        ("2057", "3686", "120000", True),
        ("2057", "ffff", "120000", True),
        ("2057", "3686", "030200", True),
        ("2057", "3686", "078000", True),
        ("1d22", "3688", "078000", True),
        ("1d22", "3684", "120000", True),
        ("1d22", "3684", "078000", True),
        ("1d22", "3686", "078000", True),
        ("2057", "3689", "078000", True),
        ("2057", "3700", "078000", True),
        ("1d22", "3684", "070002", False),
        ("2057", "3686", "020000", False),
        ("1d22", "1380", "010802", False),
        ("10de", "3686", "120000", False),
        ("8086", "0bd5", "038000", False),
    ],
)
def test_vendor_and_class_decide(vendor: str, device: str, device_class: str, own: bool) -> None:
    cards = p800(2, vendor=vendor, device=device, device_class=device_class)
    report = detect(machine(cards))
    assert len(report.accelerators) == (2 if own else 0)
    assert (report.state == "present") is own


def test_a_matrix_of_one_device_shows_none() -> None:
    recording = ProbeRecording(
        commands={"xpu-smi topo -m": CommandResult(stdout="      XPU0 NIC0\nXPU0  X    PIX\nNIC Legend:\n")}
    )
    assert [one.ids.index for one in detect(recording).accelerators] == [0]


def test_a_card_of_another_vendor_in_the_list_is_claimed() -> None:
    recording = machine(p800(3))
    pci = tuple(
        one.model_copy(update={"vendor": "10de"}) if one.bdf == "0000:05:00.0" else one
        for one in recording.pci or ()
    )
    assert [one.ids.bdf for one in detect(answering(recording, pci=pci)).accelerators] == [
        "0000:03:00.0",
        "0000:63:00.0",
    ]


def test_nodes_without_a_card_on_the_bus_are_absence() -> None:
    recording = machine(p800(2))
    none = tuple(one for one in recording.pci or () if one.vendor != "2057")
    report = detect(answering(recording, pci=none))
    assert (report.state, report.accelerators) == ("unreadable", ())
    assert report.reason is not None
    assert "/dev/xpu0" in report.reason
    assert asked(answering(recording, pci=none)) == []


def test_a_sandbox_that_hides_the_bus_has_no_cards() -> None:
    assert len(detect(answering(machine(p800(2)), pci=())).accelerators) == 2


def test_the_driver_of_a_virtual_machines_card_is_missing() -> None:
    cards = [p800(2)[0], attrs.evolve(p800(2)[1], driver="vfio-pci")]
    recording = machine(cards[:1])
    pci = tuple(sorted((*(recording.pci or ()), cards[1].function()), key=lambda one: one.bdf))
    report = detect(answering(recording, pci=pci))
    assert (report.state, len(report.accelerators)) == ("present", 1), (
        "a card that was given away is not lost"
    )
