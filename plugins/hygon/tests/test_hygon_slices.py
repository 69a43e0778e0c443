"""Parts of cards: instances of mode MIG, virtual DCUs that a host makes, and the one that a container has."""

from __future__ import annotations

import attrs
import pytest
from hygon_reports import detect, edited

from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_hygon.parsing.instances import parse_instance
from sage_infer_hygon.parsing.virtual import parse_share, parse_virtual
from sage_infer_hygon.simulated import formats_runtime
from sage_infer_hygon.simulated.cards import bw_cards, z100_cards
from sage_infer_hygon.simulated.machines import machine
from sage_infer_hygon.slices import REGISTRY, SHARES

UUIDS = ("0af3c1d2-5e6f-4a7b-8c9d-1234567890a0", "0af3c1d2-5e6f-4a7b-8c9d-1234567890a1")


def test_instances_are_whole_cards() -> None:
    cards = bw_cards(2)
    cards[1] = attrs.evolve(cards[1], instances=UUIDS)
    report = detect(machine(cards))
    slices = [one for one in report.accelerators if one.slice_of is not None]
    assert [(one.ids.uuid, one.slice_of) for one in slices] == [
        (f"MIG-{uuid}", "GPU-7100fa8866904061") for uuid in UUIDS
    ]
    assert {one.memory_total_bytes for one in slices} == {None}
    normal = edited(machine(bw_cards(2)), directories=machine(cards).directories, files=machine(cards).files)
    assert all(one.slice_of is None for one in detect(normal).accelerators), "no row is in mode MIG"


def test_an_instance_belongs_to_the_card_of_its_number_and_not_of_its_address() -> None:
    cards = bw_cards(2)
    cards = [attrs.evolve(card, instances=UUIDS[:1]) for card in cards]
    recording = machine(cards)
    names = recording.directories[REGISTRY] or ()
    # The registry counts the other way round than the tool.
    swapped = {f"{REGISTRY}/{names[at]}": recording.files[f"{REGISTRY}/{names[1 - at]}"] for at in (0, 1)}
    one = edited(
        recording,
        files={**recording.files, **swapped},
        directories={**recording.directories, REGISTRY: names[:1]},
    )
    assert [part.slice_of for part in detect(one).accelerators if part.slice_of] == [cards[1].uuid]


def in_container(*, enable: str = "1", names: tuple[str, ...] = ("vdev0.conf",)) -> ProbeRecording:
    cards = bw_cards(2)
    text = formats_runtime.share_text(cards[1], compute_units=20, memory_mib=16384)
    base = machine(cards)
    return edited(
        base,
        files={
            **base.files,
            **{f"{SHARES}/{name}": text.replace("enable: 1", f"enable: {enable}") for name in names},
        },
        directories={**base.directories, SHARES: names},
    )


def test_a_container_has_more_than_its_part() -> None:
    whole, part = detect(in_container()).accelerators
    assert (whole.slice_of, whole.memory_total_bytes) == (None, 65520 * 2**20)
    assert (part.slice_of, part.ids.bdf, part.ids.index) == ("GPU-7100fa8866904061", bw_cards(2)[1].bdf, 1)
    assert (part.memory_total_bytes, part.compute_units) == (16384 * 2**20, 20)
    # What the tools say of the card is not of this part.
    assert (part.memory_used_bytes, part.utilisation_percent) == (None, None)
    assert set(dict(part.figures)) == {"temperature", "power", "power_cap"}


@pytest.mark.parametrize("recording", [in_container(enable="0"), in_container(names=("readme", "vdev.conf"))])
def test_a_file_that_gives_no_part_makes_one(recording: ProbeRecording) -> None:
    assert all(one.slice_of is None for one in detect(recording).accelerators)


@pytest.mark.parametrize("program", ["hy-virtual", "hy-smi virtual"])
def test_virtual_devices_of_a_host_are_cards(program: str) -> None:
    text = formats_runtime.virtual_text([], shares=[(7, 5, 4096), (7, 15, 8192)])
    key = f"{program} -show-vdevice-info"
    found = detect(ProbeRecording(commands={key: CommandResult(stdout=text)})).accelerators
    assert [(one.slice_of, one.compute_units, one.memory_total_bytes) for one in found] == [
        ("HCU[7]", 5, 4096 * 2**20),
        ("HCU[7]", 15, 8192 * 2**20),
    ]


def test_cards_that_hy_virtual_lists_are_parts() -> None:
    text = formats_runtime.virtual_text(z100_cards(2))
    found = detect(ProbeRecording(commands={"hy-virtual -show-device-info": CommandResult(stdout=text)}))
    assert [(one.ids.index, one.slice_of, one.compute_units) for one in found.accelerators] == [
        (0, None, 60),
        (1, None, 60),
    ]


def test_a_cut_anywhere_invents_a_part() -> None:
    text = formats_runtime.virtual_text([], shares=[(0, 5, 4096), (1, 15, 8192)])
    whole = {one.number: one for one in parse_virtual(text)}
    for at in range(len(text)):
        for one in parse_virtual(text[:at]):
            assert one.number in whole
            assert one.actual == whole[one.number].actual
            assert one.memory_bytes in (None, whole[one.number].memory_bytes)
            assert one.compute_units in (None, whole[one.number].compute_units)
    share = formats_runtime.share_text(bw_cards(1)[0], compute_units=70, memory_mib=9999)
    assert parse_share(share) is not None
    for at in range(len(share)):
        cut = parse_share(share[:at])
        assert cut is None or cut.bdf == "0000:05:00.0"
        assert cut is None or cut.compute_units in (None, 70)
        assert cut is None or cut.memory_bytes in (None, 9999 * 2**20)


@pytest.mark.parametrize("text", ["", "mig_uuid:\n", "mig_uuid: zz\n", "pci:0000:05:00.0\n", "mig_uuid"])
def test_an_instance_without_an_id_is_one(text: str) -> None:
    assert parse_instance(text) is None
