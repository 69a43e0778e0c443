"""What the detector makes of the tools: where they are found, what they lack, complain of and say of health."""

from __future__ import annotations

import time

import attrs
import pytest
from hygon_reports import AMD, ONLY_TABLE, asked, by_index, detect, edited, with_commands

from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_hygon.asking import EVERYTHING
from sage_infer_hygon.conformance import recorded_machines
from sage_infer_hygon.simulated import formats, formats_runtime
from sage_infer_hygon.simulated.cards import bw_cards, k100_cards, z100_cards
from sage_infer_hygon.simulated.machines import machine, pci


def test_a_card_of_which_nothing_is_read_is_healthy() -> None:
    recording = machine(bw_cards(2), without=ONLY_TABLE)
    text = recording.commands["hy-smi"].stdout
    row = next(line for line in text.splitlines() if line.startswith("1 "))
    dead = "1       N/A      N/A        N/A      N/A         N/A       N/A       N/A      N/A      N/A"
    broken = CommandResult(stdout=text.replace(row, dead), exit_status=0)
    cards = by_index(detect(with_commands(recording, {"hy-smi": broken})))
    assert [cards[at].health for at in (0, 1)] == ["unknown", "degraded"]
    assert cards[1].health_reason == "the tool lists the card and reads nothing from it"


def test_the_tool_is_looked_for_on_the_path_alone() -> None:
    recording = machine(bw_cards(1))
    commands = {
        **{key: CommandResult(missing=True) for key in recording.commands},
        **{
            f"/opt/dtk-26.04/bin/{key.replace('hy-smi', 'rocm-smi')}": one
            for key, one in recording.commands.items()
            if key.startswith("hy-smi")
        },
    }
    folders = {**recording.directories, "/opt": ("dtk-26.04", "hyhal"), "/opt/dtk-26.04/bin": ("rocm-smi",)}
    report = detect(edited(recording, commands=commands, directories=folders))
    assert report.state == "present"
    assert report.accelerators[0].ids.index == 0


def test_amds_tool_on_the_path_hides_hygons() -> None:
    cards = bw_cards(2)
    amd = attrs.evolve(z100_cards(1)[0], bdf=AMD.bdf, series="Instinct MI210", device_id="740f")
    own, other = machine(cards), machine([amd], family=formats.ROCM_ERA, program="rocm-smi")
    commands = {
        **{key: one for key, one in other.commands.items() if not one.missing and key != "rocminfo"},
        **{key: CommandResult(missing=True) for key in own.commands if key.startswith("hy-smi")},
        **{f"/opt/hyhal/bin/{key}": one for key, one in own.commands.items() if key.startswith("hy-smi")},
        "rocminfo": own.commands["rocminfo"],
    }
    folders = {**own.directories, "/opt": ("hyhal", "rocm"), "/opt/hyhal/bin": ("hy-smi", "hymgr")}
    report = detect(edited(own, pci=(*pci(cards), AMD), commands=commands, directories=folders))
    assert report.state == "present"
    assert [(one.ids.bdf, one.ids.index) for one in report.accelerators] == [
        (card.bdf, card.index) for card in cards
    ]


def test_a_runtime_that_may_not_open_the_driver_goes_unnoticed() -> None:
    said = "Unable to open /dev/kfd read-write: Permission denied"
    recording = with_commands(
        machine(bw_cards(1)), {"rocminfo": CommandResult(stdout=f"{said}\n", exit_status=0)}
    )
    report = detect(recording)
    assert (report.state, report.reason) == ("partial", f"rocminfo: {said}")


def test_the_tools_numa_node_is_taken_before_that_of_the_bus() -> None:
    cards = bw_cards(2)
    flat = [one.model_copy(update={"numa_node": 0}) for one in pci(cards)]
    text = formats_runtime.topology_text([attrs.evolve(card, numa_node=4) for card in cards], formats.NEW)
    recording = edited(machine(cards), pci=flat)
    topology = {"hy-smi --showtopo": CommandResult(stdout=text, exit_status=0)}
    report = detect(with_commands(recording, topology))
    assert {one.numa_node for one in report.accelerators} == {0}
    assert "is at 0 and by the tool at 4" in " ".join(step.detail for step in report.steps)
    unknown = edited(recording, pci=[one.model_copy(update={"numa_node": -1}) for one in flat])
    assert {one.numa_node for one in detect(with_commands(unknown, topology)).accelerators} == {4}


def test_a_tool_that_hangs_is_asked_again() -> None:
    recording = machine(bw_cards(2))
    hanging = {
        key: CommandResult(timed_out=True) for key, one in recording.commands.items() if not one.missing
    }
    report = detect(with_commands(recording, hanging))
    assert report.state == "unreadable"
    assert [step.source for step in report.steps if step.detail == "did not answer in time"] == [
        " ".join(("hy-smi", *EVERYTHING)),
        "rocminfo",
    ]


def test_an_option_that_is_not_there_is_a_failure() -> None:
    report = detect(machine(bw_cards(2), without=("json", "topology", "rocminfo")))
    assert (report.state, report.reason, len(report.accelerators)) == ("present", None, 2)


def test_links_that_contradict_are_reported() -> None:
    recording = machine(bw_cards(2))
    text = formats_runtime.topology_text(bw_cards(2), formats.NEW, {(0, 1): "HYSWITCH", (1, 0): "PCIE"})
    report = detect(
        with_commands(recording, {"hy-smi --showtopo": CommandResult(stdout=text, exit_status=0)})
    )
    assert (report.state, report.links) == ("partial", ())
    assert report.reason == "the link between 0 and 1 is HYSWITCH and PCIE"


@pytest.mark.parametrize(
    "name", ["eight cards, DTK 26.04", "eight cards, no commas", "eight K100_AI, DTK 25.04"]
)
def test_eight_cards_cost_more_than_50_ms(name: str) -> None:
    recording = recorded_machines()[name].recording
    detect(recording)
    spent = []
    for _ in range(5):
        begun = time.process_time()
        detect(recording)
        spent.append(time.process_time() - begun)
    assert min(spent) < 0.05
    commands = asked(recording)
    assert len(commands) == len(set(commands)) == 5


def test_health_is_not_what_the_tool_says() -> None:
    cards = bw_cards(3)
    cards[1] = attrs.evolve(cards[1], health="Critical")
    cards[2] = attrs.evolve(cards[2], health="Somehow")
    found = by_index(detect(machine(cards)))
    assert [found[at].health for at in range(3)] == ["ok", "failed", "unknown"]
    assert found[1].health_reason == "hy-smi --healthcheck says Critical"
    # A release without that option says nothing of it, and that is no failure.
    report = detect(machine(cards, family=formats.K100_ERA))
    assert (report.state, {one.health for one in report.accelerators}) == ("present", {"unknown"})


def test_what_the_tool_complains_of_is_not_the_reason() -> None:
    said = "ERROR:root:Driver not initialized (hycu not found in modules)"
    recording = machine(bw_cards(2))
    failing = {
        key: CommandResult(stdout=f"{said}\n", exit_status=0)
        for key, one in recording.commands.items()
        if not one.missing
    }
    report = detect(with_commands(recording, failing))
    assert report.state == "unreadable"
    assert said in (report.reason or "")


def test_json_of_hygons_own_tool_is_anothers() -> None:
    key = "hy-smi --showmeminfo vram --json"
    text = '{"card0": {"vram Total Memory (MiB)": "65520", "vram Total Used Memory (MiB)": "9703"}}'
    found = detect(ProbeRecording(commands={key: CommandResult(stdout=text)})).accelerators
    assert [(one.ids.index, one.memory_total_bytes) for one in found] == [(0, 65520 * 2**20)]
    alike = {key.replace("hy-smi", "rocm-smi"): CommandResult(stdout=text)}
    assert detect(ProbeRecording(commands=alike)).accelerators == (), "AMD's says the same"


@pytest.mark.parametrize("flags", ["--csv", "--showmemavailable --csv"])
def test_csv_is_not_read(flags: str) -> None:
    cards = k100_cards(2)
    text = "WARNING: a line, or two\n" + formats.csv_text(cards, formats.K100_ERA)
    found = detect(ProbeRecording(commands={f"hy-smi {flags}": CommandResult(stdout=text)})).accelerators
    assert [(one.ids.index, one.ids.bdf, one.chip) for one in found] == [
        (card.index, card.bdf, "K100_AI") for card in cards
    ]
    amd = text.replace(formats.K100_ERA.vendor, "Advanced Micro Devices, Inc. [AMD/ATI]")
    other = ProbeRecording(commands={f"rocm-smi {flags}": CommandResult(stdout=amd)})
    assert detect(other).accelerators == ()
