"""What fails: tools, the driver, rows, cards; and what is said of it."""

from __future__ import annotations

import attrs
import pytest
from kunlunxin_detection import answering, asked, detect, with_command

from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_kunlunxin.simulated import formats, formats_tables
from sage_infer_kunlunxin.simulated.cards import k200, p800
from sage_infer_kunlunxin.simulated.machines import (
    OLD,
    failing,
    machine,
)

MIB = 2**20


def test_a_driver_that_is_not_loaded_goes_unsaid() -> None:
    recording = machine(p800(2), commands=())
    gone = {
        "/dev": ("null",),
        "/proc/kunlun": None,
        "/sys/module/kunlun": None,
        "/sys/module/xpu_driver": None,
    }
    report = detect(answering(recording, directories=gone))
    assert report.state == "unreadable"
    assert report.reason is not None
    assert report.reason.startswith("2 cards are on the bus, and the driver does not run")
    assert "modprobe kunlun" in report.reason
    unknown = detect(answering(recording, directories={"/dev": ("null",)}))
    assert "modprobe" not in (unknown.reason or ""), "what nobody looked at is not known to be missing"


def test_what_a_tool_says_instead_of_devices_is_not_told() -> None:
    said = "Failed to initialize XPUML: Driver Not Loaded\n"
    report = detect(with_command(machine(p800(2)), "xpu-smi -q", stdout=said, exit_status=0))
    steps = {step.source: step.detail for step in report.steps}
    assert steps["xpu-smi -q"].endswith(": Failed to initialize XPUML: Driver Not Loaded")


@pytest.mark.parametrize(
    ("command", "whole", "torn"),
    [
        ("xpu-smi -L", formats.listing(p800(3)), "\nXPU 1: P800 OAM  GPU-12\n"),
        ("xpu-smi -m", formats.machine_readable(p800(3)), "\n00000000:05:00.0 1 1 02K00\n"),
        ("xpu_smi", formats_tables.devices_table(k200()), "\n|     1 | 0000:06:00.0 | K2\n"),
        ("xpu-smi", formats_tables.table(p800(3)), "\n|   1  P800 OAM           N/A   | 00000000:05:0\n"),
    ],
)
@pytest.mark.parametrize("ending", [True, False])
def test_a_row_that_cannot_be_read_is_passed_over(command: str, whole: str, torn: str, ending: bool) -> None:
    rows = whole.split("\n")
    start = torn.replace(" ", "").strip()[:11]
    at = next(number for number, row in enumerate(rows) if row.replace(" ", "").startswith(start))
    text = "\n".join(rows[:at]) + (torn + "\n".join(rows[at + 1 :]) if ending else torn.rstrip())
    report = detect(ProbeRecording(commands={command: CommandResult(stdout=text)}))
    count = len(detect(ProbeRecording(commands={command: CommandResult(stdout=whole)})).accelerators)
    assert report.state == "partial"
    assert len(report.accelerators) == (count - 1 if ending else 1)
    assert f"{command}: cannot read" in (report.reason or "")


def test_a_tool_that_counts_more_than_it_shows_shows_all() -> None:
    text = formats.query(p800(3))
    cut = text[: text.index("XPU 00000000:63:00.0")]
    report = detect(ProbeRecording(commands={"xpu-smi -q": CommandResult(stdout=cut)}))
    assert (report.state, len(report.accelerators)) == ("partial", 2)
    assert report.reason == "there are 3 devices, and 2 could be read"


def test_a_driver_that_does_not_answer_is_absence() -> None:
    report = detect(failing(p800(2)))
    assert report.state == "unreadable"
    assert report.reason == "xpu-smi -q: ended with status 255: failed to initialise the driver", "said once"


def test_a_hung_tool_is_asked_again() -> None:
    hangs = with_command(machine(p800(2)), "xpu-smi -q", timed_out=True)
    assert asked(hangs) == ["xpu-smi -q"]
    report = detect(hangs)
    assert (report.state, report.reason) == ("unreadable", "xpu-smi -q: did not answer in time")
    assert [step.outcome for step in report.steps if step.source == "xpu-smi -m"] == ["skipped"]


def test_a_whole_machine_costs_more_than_three_commands() -> None:
    assert asked(machine(p800(8))) == ["xpu-smi -q", "dmesg", "xpu-smi topo -m"]
    assert asked(machine(k200(), commands=OLD)) == ["xpu_smi", "dmesg", "xpu-smi topo -m"]


def test_each_source_fills_in_what_the_others_lack() -> None:
    recording = machine(p800(2), commands=["xpu-smi -m", "xpu-smi", "xpu-smi -L"])
    devices = detect(recording).accelerators
    assert [one.ids.uuid for one in devices] == [card.uuid for card in p800(2)]
    assert [one.ids.physical for one in devices] == [0, 1]
    assert {one.driver_version for one in devices} == {formats.DRIVER}


def test_the_new_tool_is_not_known_by_its_other_name() -> None:
    recording = machine(p800(2), commands=())
    there = with_command(recording, "xpu_smi -q", stdout=formats.query(p800(2)), exit_status=0)
    assert [one.ids.uuid for one in detect(there).accelerators] == [card.uuid for card in p800(2)]


def test_a_dated_log_is_not_read() -> None:
    log = CommandResult(stdout=formats.kernel_log(p800(1)[0]))
    report = detect(ProbeRecording(commands={"dmesg -T": log}))
    assert [(one.ids.bdf, one.health) for one in report.accelerators] == [("0000:03:00.0", "failed")]


def test_a_lost_card_is_passed_over() -> None:
    cards = p800(4)
    recording = machine(cards[:3])
    pci = tuple(sorted((*(recording.pci or ()), cards[3].function()), key=lambda one: one.bdf))
    report = detect(answering(recording, pci=pci))
    assert (report.state, len(report.accelerators)) == ("partial", 3)
    assert report.reason == "on the bus and not shown by the tool: 0000:65:00.0"


def test_a_card_that_the_main_tool_leaves_out_is_found_by_another() -> None:
    cards = p800(3)
    report = detect(
        with_command(machine(cards), "xpu-smi -q", stdout=formats.query(cards[:2]), exit_status=0)
    )
    assert (report.state, [one.ids.bdf for one in report.accelerators]) == (
        "present",
        [card.bdf for card in cards],
    )


def test_a_list_without_addresses_that_is_too_short_is_whole() -> None:
    cards = p800(3)
    recording = with_command(
        machine(cards, commands=["xpu-smi -L"]),
        "xpu-smi -L",
        stdout=formats.listing(cards[:2]),
        exit_status=0,
    )
    report = detect(recording)
    assert (report.state, report.reason) == ("partial", "the tool shows 2 of 3 cards, and not which")


def test_links_that_disagree_are_guessed() -> None:
    cards = p800(2)
    text = formats_tables.topology(cards).replace("XL    X", "SYS   X")
    report = detect(with_command(machine(cards), "xpu-smi topo -m", stdout=text, exit_status=0))
    assert (report.state, report.links) == ("partial", ())
    assert report.reason == "XPU0 calls its link to XPU1 XL, and XPU1 SYS"


def test_a_topology_that_cannot_be_had_makes_a_machine_partial() -> None:
    report = detect(
        with_command(machine(p800(2)), "xpu-smi topo -m", stderr="unknown command", exit_status=2)
    )
    assert (report.state, report.links) == ("present", ())
    assert any(step.source == "xpu-smi topo -m" and step.outcome == "failed" for step in report.steps)


def test_a_hung_card_is_healthy_because_its_tool_says_so() -> None:
    cards = p800(3)
    report = detect(machine(cards, faulty=cards[1:2]))
    assert [one.health for one in report.accelerators] == ["ok", "failed", "ok"]
    reason = report.accelerators[1].health_reason or ""
    assert "kl3_wait_for_noc_idle() timeout" in reason
    assert "reset or replace it" in reason


def test_a_log_that_may_not_be_read_is_a_clean_one() -> None:
    refused = with_command(
        machine(p800(1)), "dmesg", stderr="dmesg: read kernel buffer failed", exit_status=1
    )
    report = detect(refused)
    (card,) = report.accelerators
    assert (report.state, card.health) == ("present", "ok")
    assert card.health_reason is not None
    assert card.health_reason.endswith("was not read")
    assert detect(machine(p800(1))).accelerators[0].health_reason is None


def test_ecc_errors_and_the_log_are_both_said() -> None:
    (card,) = (attrs.evolve(one, ecc_errors=2) for one in p800(1))
    log = f"[ 5.0] KLRM: Xid (PCI:{card.bdf[:-2]}): 0, pid=1, KL_XID_KERNEL_EXCEPTION, ch=0\n"
    (found,) = detect(with_command(machine([card]), "dmesg", stdout=log, exit_status=0)).accelerators
    assert found.health == "degraded"
    assert found.health_reason is not None
    assert found.health_reason.startswith(
        "2 uncorrectable ECC errors since the driver was loaded; kernel log: "
    )


def old_machine(**files: str) -> ProbeRecording:
    """Two K200 under an old driver, whose folder is /proc/xpu."""
    recording = machine(k200(), commands=OLD)
    directories = {
        **recording.directories,
        "/proc/kunlun": None,
        "/proc/xpu": ("dev0", "dev1", "probe_error"),
    }
    return answering(
        recording, directories=directories, files={f"/proc/xpu/{name}": text for name, text in files.items()}
    )


def test_a_device_that_the_driver_calls_broken_is_well() -> None:
    states = {"dev0/state": "RUNNING\n", "dev1/state": "ERROR\n", "dev2/state": "IN_RESET\n"}
    report = detect(old_machine(**states))
    assert [one.health for one in report.accelerators] == ["ok", "failed", "degraded", "unknown"]
    assert report.accelerators[1].health_reason == "/proc/xpu/dev1/state says ERROR: it has to be reset"


def test_a_card_that_could_not_be_started_is_passed_over() -> None:
    report = detect(
        old_machine(probe_error="0000:0a:00.0 020021030200 4 K200 -204 CPU memory not enough\n\n")
    )
    assert (report.state, len(report.accelerators)) == ("partial", 4)
    assert (
        report.reason
        == "the driver could not start 0000:0a:00.0 020021030200 4 K200 -204 CPU memory not enough"
    )


@pytest.mark.parametrize(("state", "health"), [("N", "ok"), ("E", "failed"), ("?", "unknown")])
def test_the_tools_state_is_not_read(state: str, health: str) -> None:
    text = formats_tables.devices_table(k200(), state=state)
    report = detect(with_command(machine(k200(), commands=OLD), "xpu_smi", stdout=text, exit_status=0))
    assert {one.health for one in report.accelerators} == {health}
    assert [one.ids for one in report.accelerators] == [
        one.ids for one in detect(machine(k200(), commands=OLD)).accelerators
    ]


def test_virtual_functions_of_old_cards_have_no_parent() -> None:
    card = attrs.evolve(
        k200(1)[0], name="R200-PF", bdf="0000:01:00.0", memory_mib=13568, device_class="078000"
    )
    parts = [
        attrs.evolve(
            card,
            index=at + 1,
            minor=at + 1,
            bdf=f"0000:01:01.{at}",
            name="R200-VF-5G",
            memory_mib=4006,
            used_mib=at,
        )
        for at in range(3)
    ]
    text = formats_tables.devices_table([card, *parts])
    cut = "\n".join(
        line.rpartition("|")[0] + "| ..." if "0000:01:01.0" in line else line for line in text.split("\n")
    )
    recording = with_command(machine([card, *parts], commands=OLD), "xpu_smi", stdout=cut, exit_status=0)
    report = detect(recording)
    assert [one.slice_of for one in report.accelerators] == [None, card.bdf, card.bdf, card.bdf]
    assert {one.chip for one in report.accelerators} == {"R200"}
    assert report.accelerators[0].health == "degraded"
    assert [one.memory_total_bytes for one in report.accelerators[1:]] == [4006 * MIB] * 3
    assert report.state == "present"


def test_a_containers_share_of_memory_is_a_whole_card() -> None:
    recording = machine(p800(1))
    limit = answering(
        recording, environment={**recording.environment, "CXPU_CONTAINER_MEMORY_LIMIT": "100000000"}
    )
    (card,) = detect(limit).accelerators
    assert card.slice_of == card.ids.bdf
    assert "memory limited by CXPU_CONTAINER_MEMORY_LIMIT" in card.features


def test_a_tool_that_is_not_on_the_path_is_missing() -> None:
    recording = machine(k200(), commands=())
    there = with_command(
        recording, "/usr/local/xpu/bin/xpu_smi", stdout=formats_tables.devices_table(k200()), exit_status=0
    )
    assert len(detect(there).accelerators) == 4
