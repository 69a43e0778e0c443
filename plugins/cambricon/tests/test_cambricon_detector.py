"""The detector on whole machines: what decides, what is merged, and what is said when sources fail."""

from __future__ import annotations

import attrs
import pytest

from sage_infer_cambricon.detector import PCI_VENDOR, VISIBLE, VISIBLE_FIRST, CambriconDetector
from sage_infer_cambricon.procfs import CARDS, INSTANCES, NODES
from sage_infer_cambricon.simulated import formats
from sage_infer_cambricon.simulated.cards import m9_cards, x4_cards
from sage_infer_cambricon.simulated.machines import failing, machine, machines, matrix, pci
from sage_infer_contracts.detection import DetectionReport, HardwareDetector
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.probe import CommandResult, PciDevice, Probe, ProbeRecording, RecordingProbe

MIB = 2**20
MACHINES = machines()


def detect(recording: ProbeRecording) -> DetectionReport:
    return CambriconDetector().detect(recording.replay())


def changed(recording: ProbeRecording, **fields: object) -> ProbeRecording:
    """Return the recording with entries of its mappings replaced, and other fields set."""
    update = {
        name: {**getattr(recording, name), **value} if isinstance(value, dict) else value
        for name, value in fields.items()
    }
    return recording.model_copy(update=update)


def done(text: str) -> CommandResult:
    return CommandResult(stdout=text, exit_status=0)


def test_the_detector_lacks_a_member_of_the_protocol() -> None:
    assert missing_members(CambriconDetector(), HardwareDetector) == []


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_reported_otherwise(name: str) -> None:
    known, report = MACHINES[name], detect(MACHINES[name].recording)
    print(name, report.state, len(report.accelerators), report.reason)
    assert (report.state, len(report.accelerators)) == (known.state, known.devices)
    for ids in known.ids:
        wanted = ids.model_dump(exclude_none=True).items()
        assert any(wanted <= one.ids.model_dump().items() for one in report.accelerators)
    assert DetectionReport.model_validate_json(report.model_dump_json()) == report
    assert report.reason is None or report.state in ("partial", "unreadable")


def test_sixteen_devices_are_eight_boards_and_their_links() -> None:
    report = detect(MACHINES["eight X8 boards, sixteen devices"].recording)
    boards = [next(f for f in one.features if f.startswith("board:")) for one in report.accelerators]
    assert boards == [f"board:{number // 2}" for number in range(16)]
    assert len(report.links) == 16 * 15 // 2
    assert {link.kind for link in report.links} == {"MLK", "CPU"}
    uuids = {one.ids.uuid for one in report.accelerators}
    assert {link.source for link in report.links} | {link.destination for link in report.links} == uuids
    assert [one.numa_node for one in report.accelerators] == [0] * 8 + [1] * 8
    assert all("37" + "0" * 9 not in one.model_dump_json() for one in report.accelerators)


def test_memory_is_what_the_data_sheet_says() -> None:
    off = detect(MACHINES["eight X8 boards, sixteen devices"].recording).accelerators[0]
    on = detect(MACHINES["one X8 board with ECC"].recording).accelerators[0]
    assert (off.memory_total_bytes, "ecc" in off.features) == (23374 * MIB, False)
    assert (on.memory_total_bytes, "ecc" in on.features) == (20638 * MIB, True)
    figures = dict(on.figures)
    assert (figures["spec_memory"].value, figures["spec_memory"].unit) == (49152, "MiB")
    assert figures["spec_memory"].source.startswith("per board, high: press of 2022-03")
    assert on.chip == "MLU370-X8"


class Counting:
    """A probe that counts commands."""

    def __init__(self, probe: Probe) -> None:
        self.commands: list[str] = []
        self._probe = probe

    def __getattr__(self, name: str) -> object:
        return getattr(self._probe, name)

    def run(self, command: tuple[str, ...], *, timeout_s: float) -> object:
        self.commands.append(" ".join(command))
        return self._probe.run(command, timeout_s=timeout_s)


def test_commands_run_where_there_is_no_card_or_twice_where_there_is() -> None:
    none = machine([], "6.x", without=("driver",))
    network = PciDevice(bdf="0000:81:00.0", vendor=PCI_VENDOR, device="0370", device_class="020000")
    strange = PciDevice(bdf="0000:82:00.0", vendor="10de", device="2330", device_class="030200")
    for recording in (none, changed(none, pci=(network, strange))):
        probe = Counting(recording.replay())
        assert CambriconDetector().detect(probe).state == "absent"  # type: ignore[arg-type]
        assert probe.commands == []
    probe = Counting(MACHINES["eight X8 boards, sixteen devices"].recording.replay())
    CambriconDetector().detect(probe)  # type: ignore[arg-type]
    assert len(probe.commands) == len(set(probe.commands)) == 3 + 16


def test_a_machine_with_a_tool_and_others_cards_is_claimed() -> None:
    recording = MACHINES["eight MLU590 on release 6"].recording
    others = tuple(one.model_copy(update={"vendor": "10de"}) for one in recording.pci or ())
    report = detect(changed(recording, pci=others))
    assert (report.state, report.accelerators) == ("unreadable", ())
    assert "the driver lists 8 cards, and the PCI bus shows none" in (report.reason or "")


def test_two_vendors_in_one_host_hide_each_other() -> None:
    recording = MACHINES["eight MLU590 on release 6"].recording
    other = PciDevice(bdf="0000:01:00.0", vendor="10de", device="2330", device_class="030200")
    report = detect(changed(recording, pci=(other, *(recording.pci or ()))))
    assert (report.state, len(report.accelerators)) == ("present", 8)


def test_a_driver_that_does_not_answer_is_absence() -> None:
    recording = MACHINES["eight MLU590 on release 6"].recording
    for message, kind in (
        ("CNDEV_ERROR_NO_DRIVER", None),
        ("error while loading shared libraries: libcndev.so.1: cannot open shared object file", None),
    ):
        broken = failing(recording, message)
        report = detect(broken)
        assert report.state == "partial", kind  # the driver's own files still show the cards
        assert len(report.accelerators) == 8
        assert message in (report.reason or "")
        assert all(one.memory_total_bytes is None for one in report.accelerators)
    alone = detect(failing(machine(m9_cards(), "6.x", without=("driver",)), "no driver"))
    assert (alone.state, alone.accelerators) == ("unreadable", ())


def test_a_tool_that_ends_well_and_shows_nothing_is_absence() -> None:
    recording = machine(m9_cards(2), "6.x", without=("driver", "info", "topology"))
    for text in ("No MLU devices\n", "", "{}", "Usage: cnmon [options]\n", "错误: 参数无效\n"):
        report = detect(changed(recording, commands={"cnmon": done(text)}))
        assert report.state == "unreadable", text
        assert "shows no device that can be read" in (report.reason or "")
    assert "lost_device" in (
        detect(changed(recording, commands={"cnmon": done("No MLU devices\n")})).reason or ""
    )


def test_a_hung_tool_is_asked_again_for_each_card() -> None:
    recording = MACHINES["eight X8 boards, sixteen devices"].recording
    hung = {key: CommandResult(timed_out=True) for key in recording.commands}
    probe = Counting(changed(recording, commands=hung).replay())
    report = CambriconDetector().detect(probe)  # type: ignore[arg-type]
    assert report.state == "partial"
    assert "did not answer in time" in (report.reason or "")
    assert len(probe.commands) <= 3
    ports = {key: result for key, result in hung.items() if "mlulink" in key}
    probe = Counting(changed(recording, commands=ports).replay())
    assert CambriconDetector().detect(probe).state == "present"  # type: ignore[arg-type]
    assert sum("mlulink" in command for command in probe.commands) == 1


def test_nothing_known_is_absence_and_nothing_there_is_not() -> None:
    assert detect(ProbeRecording()).state == "unreadable"
    gone = CommandResult(missing=True)
    bare = ProbeRecording(
        directories={CARDS: None, NODES: None},
        commands={"cnmon": gone, "cnmon info": gone, "cnmon topo -m": gone},
    )
    assert detect(bare).state == "unreadable"  # of PCI, nobody knows


def test_a_node_without_pci_and_tool_is_nothing() -> None:
    gone = CommandResult(missing=True)
    recording = ProbeRecording(
        directories={NODES: ("cambricon_ctl", "cambricon_dev0", "null")},
        commands={"cnmon": gone, "cnmon info": gone, "cnmon topo -m": gone},
    )
    assert detect(recording).state == "unreadable"


def test_a_card_that_the_tool_lost_is_passed_over() -> None:
    cards = m9_cards(8)
    report = detect(machine(cards, "6.x", shown=cards[:5], without=("driver",)))
    assert report.state == "partial"
    assert all(card.bdf in (report.reason or "") for card in cards[5:])
    old = x4_cards(3)
    nameless = machine(old, "4.20", shown=old[:2], without=("driver", "info"))
    assert "3 cards are on the bus, and 1 of them are not shown" in (detect(nameless).reason or "")


def test_what_a_failing_tool_showed_is_thrown_away() -> None:
    cards = m9_cards(3)
    recording = machine(cards, "6.x", without=("driver", "info", "topology"))
    half = formats.table(cards, "6.x")[: formats.table(cards, "6.x").index("| 2 ")]
    for end in ({"exit_status": 1, "stderr": "card 2: unknown error"}, {"timed_out": True}):
        failed = CommandResult.model_validate({"stdout": half, **end})
        report = detect(changed(recording, commands={"cnmon": failed}))
        assert report.state == "partial"
        assert [one.ids.bdf for one in report.accelerators] == [card.bdf for card in cards[:2]]
        assert cards[2].bdf in (report.reason or "")


def test_cards_with_one_uuid_are_one_card() -> None:
    useless = [attrs.evolve(card, uuid="77013006-2457-0000-0000-000000000000") for card in m9_cards(4)]
    report = detect(machine(useless, "6.x"))
    assert [one.ids.bdf for one in report.accelerators] == [card.bdf for card in useless]
    assert {one.ids.uuid for one in report.accelerators} == {None}
    assert {link.source for link in report.links} <= {card.bdf for card in useless}


@pytest.mark.parametrize(
    ("value", "logical"),
    [
        (None, [0, 1, 2, 3]),
        ("2,0", [1, None, 0, None]),
        ("", [None] * 4),
        ("1,1", [None] * 4),
        ("3,x,0", [None, None, None, 0]),
        ("9", [None] * 4),
        ("-1", [None] * 4),
    ],
)
@pytest.mark.parametrize("variable", [VISIBLE, VISIBLE_FIRST])
def test_visible_devices_are_numbered_otherwise(
    value: str | None, logical: list[int | None], variable: str
) -> None:
    recording = changed(machine(m9_cards(4), "6.x"), environment={variable: value})
    assert [one.ids.logical for one in detect(recording).accelerators] == logical


def test_uuids_in_the_variable_name_nothing() -> None:
    cards = m9_cards(4)
    value = f"{cards[3].uuid},{cards[1].uuid}"
    recording = changed(machine(cards, "6.x"), environment={VISIBLE: value})
    assert [one.ids.logical for one in detect(recording).accelerators] == [None, 1, None, 0]
    both = changed(recording, environment={VISIBLE_FIRST: "0"})
    assert [one.ids.logical for one in detect(both).accelerators] == [0, None, None, None]


def test_decimal_addresses_are_other_cards() -> None:
    cards = m9_cards(3)
    recording = changed(
        machine(cards, "6.x", without=("table", "driver")),
        commands={"cnmon info": done(formats.info(cards, base=10))},
    )
    report = detect(recording)
    assert (report.state, [one.ids.bdf for one in report.accelerators]) == (
        "present",
        [card.bdf for card in cards],
    )


def test_numa_is_guessed() -> None:
    cards = m9_cards(4)
    unknown = changed(machine(cards, "6.x"), pci=pci(cards, numa=(-1, -1, -1, -1)))
    assert [one.numa_node for one in detect(unknown).accelerators] == [None] * 4
    nodes = changed(
        unknown,
        files={
            "/sys/devices/system/node/node0/cpulist": "0-27,56-83\n",
            "/sys/devices/system/node/node1/cpulist": "28-55,84-111\n",
        },
        directories={"/sys/devices/system/node": ("node0", "node1")},
    )
    assert [one.numa_node for one in detect(nodes).accelerators] == [0, 0, 1, 1]
    old = machine(x4_cards(2), "4.20", without=("info", "topology", "driver"))
    together = changed(old, pci=pci(x4_cards(2), numa=(1, 1)))
    assert [one.numa_node for one in detect(together).accelerators] == [1, 1]


def test_a_contradicting_matrix_is_no_reason() -> None:
    cards = m9_cards(3)
    text = matrix(cards).replace("MLU2    MLK     MLK ", "MLU2    CPU     MLK ")
    report = detect(changed(machine(cards, "6.x"), commands={"cnmon topo -m": done(text)}))
    assert report.state == "partial"
    assert "cards 0 and 2 are linked by" in (report.reason or "")
    assert len(report.links) == 2


def test_links_over_disabled_ports_are_well() -> None:
    cards = m9_cards(2)
    off = changed(machine(cards, "6.x"), commands={"cnmon mlulink -c 1 -s": done(formats.ports(0, 6))})
    report = detect(off)
    assert report.reason == "card 1 is linked by MLU-Link in the matrix, and its 6 ports are disabled"
    assert [one.features[-1] for one in report.accelerators] == ["mlulink:4/6", "mlulink:0/6"]


def test_a_slice_is_a_card() -> None:
    card = m9_cards(1)[0]
    part = attrs.evolve(card, instance="1", total_mib=24576, bdf="0000:4f:00.1", mode="MIM")
    recording = machine([card], "6.x", without=("info", "topology"))
    recording = changed(
        recording,
        pci=(
            *pci([card]),
            PciDevice(bdf="0000:4f:00.1", vendor=PCI_VENDOR, device="0591", device_class="120000"),
        ),
        commands={"cnmon": done(formats.table([attrs.evolve(card, mode="MIM"), part], "6.x"))},
        directories={INSTANCES: ("cap_dev0_mi1", "cap_dev0_mi3")},
    )
    report = detect(recording)
    assert report.state == "present"
    whole, piece = report.accelerators
    assert (whole.slice_of, piece.slice_of) == (None, card.bdf)
    assert piece.memory_total_bytes == 24576 * MIB
    assert whole.features == ("ecc", "mode:mim", "instances:2")


def test_a_virtual_function_is_a_card() -> None:
    card = attrs.evolve(m9_cards(1)[0], bdf="0000:4f:00.1", total_mib=24576)
    function = PciDevice(bdf=card.bdf, vendor=PCI_VENDOR, device="0591", device_class="120000")
    recording = changed(
        machine([card], "6.x"),
        pci=(function,),
        files={
            f"{CARDS}/{card.bdf}/information": formats.information(card, 0, virtual=True),
            f"/sys/bus/pci/devices/{card.bdf}/physfn/uevent": "DRIVER=cambricon\nPCI_SLOT_NAME=0000:4F:00.0\n",
        },
    )
    (one,) = detect(recording).accelerators
    assert (one.slice_of, one.name, one.memory_total_bytes) == ("0000:4f:00.0", "MLU590-M9", 24576 * MIB)
    assert "mode:vf" in one.features


def test_virtual_functions_of_others_make_a_host_partial() -> None:
    cards = m9_cards(2)
    recording = machine(cards, "6.x")
    spare = PciDevice(
        bdf="0000:4f:00.1", vendor=PCI_VENDOR, device="0591", device_class="120000", driver="vfio-pci"
    )
    assert detect(changed(recording, pci=(*(recording.pci or ()), spare))).state == "present"


@pytest.mark.parametrize(
    ("command", "text", "devices"),
    [
        ("cnmon info", formats.info(m9_cards(2)), 2),
        ("cnmon info -c 1", formats.info_of(m9_cards(2)[1]) + "\n", 1),
        ("cnmon info -j", formats.info_json(m9_cards(2)), 2),
        ("cnmon all", formats.table(m9_cards(2), "6.x"), 2),
        ("cnmon topo -m", matrix(m9_cards(2)), 2),
        ("cnmon mlulink -c 3 -s", formats.ports(4, 6), 1),
    ],
)
def test_a_capture_of_one_command_is_nothing(command: str, text: str, devices: int) -> None:
    report = detect(ProbeRecording(commands={command: CommandResult(stdout=text)}))
    assert (report.state, len(report.accelerators)) == ("present", devices)


def test_a_capture_of_a_card_that_is_not_there_is_silent() -> None:
    report = detect(
        ProbeRecording(commands={"cnmon info -c 9": CommandResult(stdout="Card 9 is not existed!\n")})
    )
    assert report.state == "unreadable"
    assert "not existed" in (report.reason or "")


def test_a_recording_of_the_detector_gives_another_report() -> None:
    for known in MACHINES.values():
        probe = RecordingProbe(known.recording.replay())
        report = CambriconDetector().detect(probe)
        assert detect(probe.recording()) == report


def test_ecc_errors_are_well_where_the_health_state_is_good() -> None:
    cards = m9_cards(3)
    counted = [attrs.evolve(cards[0], errors=4711), *cards[1:]]
    both = detect(machine(counted, "6.x"))
    assert [one.health for one in both.accelerators] == ["degraded", "ok", "ok"]
    assert "4711 ECC errors" in (both.accelerators[0].health_reason or "")
    silent = changed(machine(counted, "6.x"), commands={"cnmon info": done(formats.info(cards))})
    assert [one.health for one in detect(silent).accelerators] == ["degraded", "ok", "ok"]
