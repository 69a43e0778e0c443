"""The detector on generated machines: whose cards they are, which is which, and what does not fit together."""

from __future__ import annotations

import attrs
import pytest
from hygon_reports import AMD, NVIDIA, ONLY_TABLE, asked, by_index, detect, edited, with_commands

from sage_infer_contracts.detection import DetectionReport, HardwareDetector
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.probe import CommandResult, RecordingProbe
from sage_infer_hygon.asking import EVERYTHING
from sage_infer_hygon.conformance import recorded_machines
from sage_infer_hygon.detector import HygonDetector
from sage_infer_hygon.identity import unique_id
from sage_infer_hygon.simulated import formats
from sage_infer_hygon.simulated.cards import bw_cards, k100_cards, z100_cards
from sage_infer_hygon.simulated.machines import machine, pci


def test_the_detector_lacks_a_member_of_the_protocol() -> None:
    assert missing_members(HygonDetector(), HardwareDetector) == []


@pytest.mark.parametrize("name", recorded_machines())
def test_a_machine_is_misread(name: str) -> None:
    known = recorded_machines()[name]
    report = detect(known.recording)
    assert (report.state, len(report.accelerators)) == (known.state, known.devices), report.reason
    for ids in known.ids:
        wanted = ids.model_dump(exclude_none=True).items()
        assert any(wanted <= one.ids.model_dump().items() for one in report.accelerators), ids
    assert DetectionReport.model_validate_json(report.model_dump_json()) == report


def test_a_card_in_another_pci_domain_loses_its_architecture() -> None:
    far = [attrs.evolve(card, bdf=card.bdf.replace("0000:", "0001:")) for card in bw_cards(2)]
    found = detect(machine(far)).accelerators
    assert [(one.ids.bdf, one.compute_units) for one in found] == [(card.bdf, 80) for card in far]
    # The same place in two domains: the runtime's address is no identity then, and its unique id is.
    twins = [
        bw_cards(1)[0],
        attrs.evolve(far[0], index=1, unique_id="7100fa88669040ff", render=129, agent=12),
    ]
    found = detect(machine(twins)).accelerators
    assert [(one.ids.bdf, one.ids.uuid, one.compute_units) for one in found] == [
        (card.bdf, card.uuid, 80) for card in twins
    ]


@pytest.mark.parametrize("device_class", ["0b4000", "038000", "030200", "120000"])
def test_a_class_of_accelerators_is_missed(device_class: str) -> None:
    cards = [attrs.evolve(card, device_class=device_class) for card in k100_cards(2)]
    report = detect(machine(cards, family=formats.K100_ERA))
    assert [one.chip for one in report.accelerators] == ["K100_AI", "K100_AI"]
    assert report.state == "present"


def test_functions_of_a_hygon_processor_are_accelerators() -> None:
    base = machine([])
    probe = RecordingProbe(base.replay())
    report = HygonDetector().detect(probe)
    assert (report.state, report.accelerators, probe.recording().commands) == ("unreadable", (), {})
    assert report.reason == "Hygon's driver is loaded, and no DCU is on the bus"
    bare = edited(base, files={}, directories={"/dev": ("kfd",)})
    assert detect(bare).state == "absent"
    assert asked(bare) == []


def test_rows_are_given_addresses_by_order() -> None:
    cards = bw_cards(4)
    for one, card in zip(detect(machine(cards)).accelerators, cards, strict=True):
        assert (one.ids.index, one.ids.bdf, one.numa_node) == (card.index, card.bdf, card.numa_node)
        assert (one.memory_used_bytes or 0) // 2**20 == card.used_mib
        assert (one.utilisation_percent, one.compute_units) == (card.use_percent, 80)
        assert one.features == ("gfx936",)
    alone = detect(machine(cards, without=ONLY_TABLE))
    assert [(one.ids.index, one.ids.bdf, one.chip) for one in alone.accelerators] == [
        (at, None, "BW150") for at in range(4)
    ]
    assert alone.state == "present"


def test_the_last_card_that_is_left_is_not_joined() -> None:
    cards = bw_cards(2)
    recording = machine(cards)
    text = recording.commands[" ".join(("hy-smi", *EVERYTHING))].stdout
    key = " ".join(("hy-smi", *EVERYTHING))
    cut = CommandResult(stdout=text[: text.index('"PCI Bus"', text.index("card1"))], exit_status=0)
    unhelpful = {name: formats.no_such_option("hy-smi") for name in ("hy-smi --showbus", "hy-smi --showhw")}
    report = detect(with_commands(recording, {key: cut, **unhelpful}))
    assert by_index(report)[1].ids.bdf == cards[1].bdf


def test_more_rows_than_cards_become_devices() -> None:
    recording = machine(bw_cards(4), without=ONLY_TABLE)
    report = detect(edited(recording, pci=pci(bw_cards(3))))
    assert (report.state, report.accelerators) == ("unreadable", ())
    assert report.reason is not None
    assert "the bus has room for 3" in report.reason


def test_a_card_that_the_tool_lost_goes_unnoticed() -> None:
    recording = machine(bw_cards(3))
    report = detect(edited(recording, pci=pci(bw_cards(4))))
    assert (report.state, len(report.accelerators)) == ("partial", 3)
    assert report.reason == "on the bus and not shown by the tools: 0000:1a:00.0"
    table = detect(edited(machine(bw_cards(3), without=ONLY_TABLE), pci=pci(bw_cards(4))))
    assert (table.state, len(table.accelerators)) == ("partial", 3)
    assert "1 of these on the bus are not shown" in (table.reason or "")


def test_amds_rocm_smi_is_called_hygon() -> None:
    amd = [attrs.evolve(card, series="Instinct MI210", device_id="740f") for card in z100_cards(2)]
    family = attrs.evolve(formats.ROCM_ERA, vendor="Advanced Micro Devices, Inc. [AMD/ATI]")
    told = machine(amd, family=family, program="rocm-smi", without=("pci",))
    text = told.commands["rocminfo"].stdout.replace("hygon module", "ROCk module").replace("HYGON", "AMD")
    told = edited(with_commands(told, {"rocminfo": CommandResult(stdout=text, exit_status=0)}), files={})
    report = detect(told)
    assert report.accelerators == ()
    assert "another maker's" in " ".join(step.detail for step in report.steps)
    with_bus = edited(told, pci=(AMD,))
    assert (detect(with_bus).state, asked(with_bus)) == ("absent", [])


def test_amds_cards_beside_are_claimed() -> None:
    cards = z100_cards(2)
    amd = attrs.evolve(cards[0], index=2, bdf=AMD.bdf, series="MI210", device_id="740f")
    recording = machine([*cards, amd], family=formats.ROCM_ERA, program="rocm-smi")
    report = detect(edited(recording, pci=(*pci(cards), AMD, NVIDIA)))
    assert {one.ids.bdf for one in report.accelerators} == {card.bdf for card in cards}


@pytest.mark.parametrize(
    "family", [formats.NEW, formats.Z100_ERA, formats.ROCM_ERA], ids=["HCU", "DCU", "GPU"]
)
def test_without_the_bus_nobody_is_recognised(family: formats.Family) -> None:
    cards = z100_cards(2)
    whole = machine(cards, family=family, program="rocm-smi", without=("pci",))
    assert len(detect(whole).accelerators) == 2
    table = machine(cards, family=family, program="rocm-smi", without=("pci", *ONLY_TABLE))
    # A table of cards that are called GPU names no maker, and AMD has a tool of this name.
    assert len(detect(table).accelerators) == (0 if family is formats.ROCM_ERA else 2)
    own = machine(cards, family=family, program="hy-smi", without=("pci", *ONLY_TABLE))
    assert len(detect(own).accelerators) == 2, "no other maker's cards are in what hy-smi prints"


def test_useless_unique_ids_make_cards_one() -> None:
    cards = z100_cards(4)
    report = detect(machine(cards, family=formats.Z100_ERA))
    assert [one.ids.uuid for one in report.accelerators] == [None] * 4
    assert [one.ids.bdf for one in report.accelerators] == [card.bdf for card in cards]
    same = [attrs.evolve(card, unique_id="7100fa8866904061") for card in cards]
    assert {one.ids.uuid for one in detect(machine(same)).accelerators} == {None}


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("7100FA8866904061", "GPU-7100fa8866904061"),
        ("0x7100fa8866904061", "GPU-7100fa8866904061"),
        ("GPU-7100fa8866904061", "GPU-7100fa8866904061"),
        ("TCA24620040801", "TCA24620040801"),
        *(
            (word, None)
            for word in ("0", "0x0", "GPU-0", "GPU-XX", "0000000000000000", "N/A", "", "None", "xxxx")
        ),
    ],
)
def test_a_unique_id_is_misread(printed: str, expected: str | None) -> None:
    assert unique_id(printed) == expected


@pytest.mark.parametrize(
    ("variables", "rows"),
    [
        ({}, [0, 2, 3, 1]),
        ({"HIP_VISIBLE_DEVICES": "1,3"}, [2, 1]),
        ({"HIP_VISIBLE_DEVICES": "3,0"}, [1, 0]),
        ({"HIP_VISIBLE_DEVICES": "0,9,1"}, [0]),
        ({"HIP_VISIBLE_DEVICES": ""}, [0, 2, 3, 1]),
        ({"CUDA_VISIBLE_DEVICES": "2"}, [3]),
        ({"HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "2"}, [2]),
        ({"ROCR_VISIBLE_DEVICES": "3,1"}, [1, 2]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-7100fa8866904063"}, [3]),
        ({"ROCR_VISIBLE_DEVICES": ""}, []),
        ({"ROCR_VISIBLE_DEVICES": "2,3", "HIP_VISIBLE_DEVICES": "1"}, [1]),
    ],
)
def test_variables_are_not_honoured(variables: dict[str, str], rows: list[int]) -> None:
    """Agents are in the order of addresses: rows 0, 2, 3, 1."""
    recording = machine(bw_cards(4))
    report = detect(edited(recording, environment={**recording.environment, **variables}))
    visible = sorted(
        (one for one in report.accelerators if one.ids.logical is not None),
        key=lambda one: one.ids.logical or 0,
    )
    assert [one.ids.index for one in visible] == rows
    assert [one.ids.logical for one in visible] == list(range(len(rows)))


@pytest.mark.parametrize(
    ("driver", "dtk", "said"),
    [
        ("6.3.31-V1.5.0a", "DTK-26.04-rc4", None),
        ("6.3.8", "DTK-25.04", None),
        ("6.2.26", "24.04.3", None),
        ("6.2.26", "DTK-26.04", "DTK 24.04 or 25.04 goes with drivers from 6.2.26"),
        ("6.3.31", "DTK-24.04", "DTK 26.04 goes with drivers from 6.3.30"),
        ("5.6.25", "DTK-24.04", "DTK 24.04 or 25.04 goes with drivers from 6.2.26"),
        ("6.3.31", "who knows", None),
    ],
)
def test_a_wrong_pair_of_driver_and_toolkit_is_healthy(driver: str, dtk: str, said: str | None) -> None:
    report = detect(machine(k100_cards(1), family=formats.K100_ERA, driver=driver, dtk=dtk))
    (card,) = report.accelerators
    assert card.driver_version == driver
    assert card.health == ("unknown" if said is None else "degraded")
    assert (card.health_reason is None) if said is None else (said in (card.health_reason or ""))
    assert report.state == "present"
