"""Identities, visible devices, containers and parts of cards."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from kunlunxin_detection import answering, detect, with_command

from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_kunlunxin.parsing.records import DIVIDED
from sage_infer_kunlunxin.simulated import formats, formats_tables
from sage_infer_kunlunxin.simulated.cards import divided_p800, k200, p800
from sage_infer_kunlunxin.simulated.machines import (
    NEW,
    OLD,
    functions,
    machine,
    with_virtual_functions,
)
from sage_infer_kunlunxin.slices import FUNCTION

MIB = 2**20


def test_a_uuid_like_nvidias_makes_it_nvidias() -> None:
    (card,) = detect(machine(p800(1))).accelerators
    assert card.hardware_backend == "kunlunxin"
    assert (card.ids.uuid or "").startswith("GPU-")


def test_one_uuid_for_all_cards_makes_them_one() -> None:
    cards = p800(3)
    text = formats.query(cards)
    for card in cards[1:]:
        text = text.replace(card.uuid, cards[0].uuid)
    report = detect(
        with_command(
            machine(cards, commands=["xpu-smi -q", "xpu-smi topo -m"]),
            "xpu-smi -q",
            stdout=text,
            exit_status=0,
        )
    )
    assert [(one.ids.uuid, one.ids.bdf) for one in report.accelerators] == [
        (None, card.bdf) for card in cards
    ]
    assert report.links[0].source == cards[0].bdf, "links go by addresses then"


def test_dies_share_more_than_an_address() -> None:
    report = detect(machine(k200(), commands=OLD))
    assert [(one.ids.index, one.ids.minor, one.ids.bdf) for one in report.accelerators] == [
        (card.index, card.minor, card.bdf) for card in k200()
    ]


@pytest.mark.parametrize("variable", ["XPU_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"])
@pytest.mark.parametrize(
    ("value", "logical"),
    [
        (None, [0, 1, 2, 3]),
        ("2,0", [1, None, 0, None]),
        ("3", [None, None, None, 0]),
        ("", [None] * 4),
        ("7,1", [None] * 4),
    ],
)
def test_visible_devices_are_counted_by_node(
    variable: str, value: str | None, logical: list[int | None]
) -> None:
    cards = p800(8)[:4]
    recording = answering(
        machine(cards),
        environment={"XPU_VISIBLE_DEVICES": None, "CUDA_VISIBLE_DEVICES": None, variable: value},
    )
    assert [one.ids.logical for one in detect(recording).accelerators] == logical


def test_two_variables_that_differ_are_resolved_by_a_guess() -> None:
    both = {"XPU_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "0"}
    report = detect(answering(machine(p800(2)), environment=both))
    assert [one.ids.logical for one in report.accelerators] == [None, None]
    assert any("not documented" in step.detail for step in report.steps)
    same = {"XPU_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "1"}
    assert [
        one.ids.logical for one in detect(answering(machine(p800(2)), environment=same)).accelerators
    ] == [None, 0]


def test_a_number_in_the_runtime_is_known_without_the_variables() -> None:
    report = detect(answering(machine(p800(2)), environment={"XPU_VISIBLE_DEVICES": None}))
    assert [one.ids.logical for one in report.accelerators] == [None, None]


def test_a_container_has_lost_the_cards_it_was_not_given() -> None:
    recording = machine(p800(8)[:2])
    pci = tuple(sorted((*(recording.pci or ()), *functions(p800(8)[2:])), key=lambda one: one.bdf))
    bare = answering(recording, pci=pci)
    assert detect(bare).state == "partial"
    given = answering(bare, environment={**bare.environment, "CXPU_VISIBLE_DEVICES": "0,1"})
    assert detect(given).state == "present"
    assert any("6 cards were not given" in step.detail for step in detect(given).steps)
    other = answering(bare, environment={**bare.environment, "CXPU_VISIBLE_DEVICES": "0,1,2"})
    assert detect(other).state == "partial", "one that was given is lost"


@pytest.mark.parametrize("tool", ["xpu-smi", "xpu_smi"])
def test_a_matrix_alone_shows_no_devices(tool: str) -> None:
    text = formats_tables.topology(p800(8))
    recording = ProbeRecording(commands={f"{tool} topo -m": CommandResult(stdout=text)})
    report = detect(recording)
    assert [(one.ids.index, one.numa_node) for one in report.accelerators] == [
        (at, at // 4) for at in range(8)
    ]
    assert (report.state, report.links) == ("present", ()), "a link needs names that are the devices' own"


@pytest.mark.parametrize("told", [True, False], ids=["by sysfs", "by the tool's names"])
@pytest.mark.parametrize("commands", [NEW, ["xpu-smi"], ["xpu-smi -m"], ["xpu-smi -q -x"]])
def test_virtual_functions_are_cards_of_their_own(commands: Sequence[str], told: bool) -> None:
    recording, cards = with_virtual_functions(divided_p800(), commands=commands)
    report = detect(recording if told else answering(recording, files={}))
    assert [one.slice_of for one in report.accelerators] == [None, cards[0].bdf, cards[0].bdf]
    assert [one.memory_total_bytes for one in report.accelerators] == [
        mib * MIB for mib in (98304, 49152, 49152)
    ]
    assert [DIVIDED in one.features for one in report.accelerators] == [True, False, False]
    assert [FUNCTION in one.features for one in report.accelerators] == [False, True, True]
    assert {one.chip for one in report.accelerators} == {"P800"}
    whole, *parts = (
        {name for name, _ in one.figures if name.startswith("spec_")} for one in report.accelerators
    )
    assert whole == {"spec_memory", "spec_compute_units"}
    assert parts == [set(), set()], "figures of the whole chip are no slice's"


def test_a_containers_alias_is_the_drivers_version() -> None:
    report = detect(machine(p800(2), driver="515.58"))
    assert {one.driver_version for one in report.accelerators} == {"5.0.21.47"}
    assert any("515.58 is the CUDA layer's alias" in step.detail for step in report.steps)
    unknown = answering(machine(p800(2), driver="515.58"), files={})
    assert {one.driver_version for one in detect(unknown).accelerators} == {None}
