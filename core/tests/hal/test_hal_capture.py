"""A plain capture answers for its own command and for nothing else, however its source puts it."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sage_infer.hal.capture import Capture, CaptureProbe
from sage_infer_contracts.probe import CommandResult, Unknown

TABLE = "a table\n"
INFO = ("acme-smi", "info")
SOURCES = {
    "command: acme-smi info": INFO,
    "repo: x/fake-acme-smi\ncommand: acme-smi info\nnote: acme-smi -q fails there": INFO,
    "Command = `acme-smi info`": INFO,
    "**Command:** `acme-smi info`, exit status not known": INFO,
    "command: acme-smi info (as root, before acme-smi -q)": INFO,
    "command (in the container): acme-smi info": INFO,
    "cmd: kubectl exec POD -- acme-smi info": INFO,
    "cmd: sudo /usr/local/bin/acme-smi info > out.txt": INFO,
    "command: LC_ALL=C acme-smi info 2>&1 | tee out": INFO,
    "command:\n  acme-smi info\nhardware: 8 cards": INFO,
    '{"repo": "x",\n "command": "acme-smi info",\n "hardware": "8"}': INFO,
    '"command": ["acme-smi", "info"]': INFO,
    "命令：acme-smi info": INFO,
    "执行命令: acme-smi info（普通用户）": INFO,
    "Captured with acme-smi info on a host with eight cards.": INFO,
    "On the node we ran `acme-smi info` and saw this.": INFO,
    "$ acme-smi info": INFO,
    "acme-smi info": INFO,
    "# node 7\nacme-smi info\n": INFO,
    "command: acme-smi": ("acme-smi",),
    "command: acme-smi topo -m": ("acme-smi", "topo", "-m"),
    "command: acme-smi info -t board -i 0 -c 1": ("acme-smi", "info", "-i", "0", "-t", "board", "-c", "1"),
    "command: acme-smi -q --id=0": ("acme-smi", "-q", "--id", "0"),
    "command: acme-smi info -m / -l with no card": ("acme-smi", "info", "-m"),
    "command: C:\\acme\\acme-smi.exe info": INFO,
}
ASKED = (
    *set(SOURCES.values()),
    ("acme-smi", "-q"),
    ("acme_smi", "info"),
    ("fake-acme-smi",),
    ("smi", "info"),
    (),
)


@pytest.mark.parametrize("source", SOURCES)
def test_a_capture_answers_for_another_command_or_not_for_its_own(source: str) -> None:
    probe = CaptureProbe(Capture(text=TABLE, source=source))
    answers = {command: probe.run(command, timeout_s=1) for command in ASKED}
    assert [command for command, answer in answers.items() if not isinstance(answer, Unknown)] == [
        SOURCES[source]
    ]
    assert answers[SOURCES[source]] == CommandResult(stdout=TABLE)


@pytest.mark.parametrize(
    "prompt", ["$ acme-smi info", "[root@node ~]# acme-smi info", "(base) me@box:~$ acme-smi info"]
)
def test_a_prompt_in_the_text_is_passed_over(prompt: str) -> None:
    assert Capture(text=f"{prompt}\n{TABLE}").answers(INFO) is not None
    assert Capture(text=f"{prompt}\n{TABLE}").answers(("acme-smi",)) is None


def test_what_a_capture_does_not_hold_is_absent() -> None:
    probe = CaptureProbe(Capture(text=TABLE, source="command: acme-smi"))
    answers = (
        probe.pci_devices(),
        probe.read_file("/a"),
        probe.list_dir("/a"),
        probe.environ("A"),
        probe.library("a", "b"),
    )
    assert all(isinstance(answer, Unknown) for answer in answers)


def test_a_source_that_names_the_program_alone_is_not_believed() -> None:
    said = "command: acme-smi (json flags, see there)"
    json_flags, xml_flags = ("acme-smi", "--all", "--json"), ("acme-smi", "-q", "-x")
    assert Capture(text='{"card0": {}}', source=said).answers(json_flags) == '{"card0": {}}'
    assert Capture(text="<?xml version='1.0'?>", source=said).answers(xml_flags) is not None
    assert Capture(text='{"card0": {}}', source=said).answers(xml_flags) is None
    assert Capture(text=TABLE, source=said).answers(json_flags) is None
    assert Capture(text='{"a": 1}', source="command: other --json").answers(json_flags) is None


def test_a_capture_with_one_more_option_is_lost_or_stands_for_too_little() -> None:
    capture = Capture(text=TABLE, source="command: acme-smi -q -i 0 -c 1")
    commands = [
        ("acme-smi",),
        ("acme-smi", "-q"),
        ("acme-smi", "info", "-q"),
        ("other", "-q"),
        ("acme-smi", "-i", "7"),
    ]
    assert capture.nearest(commands) == "acme-smi -q"
    assert capture.nearest(commands[2:]) is None
    probe = CaptureProbe(capture, "acme-smi -q")
    assert [isinstance(probe.run(command, timeout_s=1), Unknown) for command in commands[:2]] == [True, False]
    assert (probe.asked, probe.answered) == (commands[:2], ["acme-smi -q"])


CSV = (
    "index, name, uuid, memory.total [MiB], utilization.gpu [%]\n"
    "0, X1, U-0, 65536 MiB, 3 %\n"
    "1, X1, U-1, 65536 MiB, [N/A]\n"
    "2, X1"
)
QUERY = ("acme-smi", "--query-card=uuid,memory.total,serial,index")


def test_columns_come_in_the_captures_order_or_with_its_units() -> None:
    capture = Capture(text="loading\n" + CSV, source="query of all columns")
    assert (
        capture.answers((*QUERY, "--format=csv,noheader,nounits"))
        == "U-0, 65536, [N/A], 0\nU-1, 65536, [N/A], 1\n"
    )
    whole = capture.answers((*QUERY, "--format=csv"))
    assert whole == (
        "uuid, memory.total [MiB], serial, index\nU-0, 65536 MiB, [N/A], 0\nU-1, 65536 MiB, [N/A], 1\n"
    )
    assert capture.answers(("acme-smi", "--query-card=power", "--format=csv")) is None
    assert capture.answers(("acme-smi", "info")) is None


def test_what_a_tool_says_between_its_rows_is_lost() -> None:
    rows = "index, uuid\n0, U-0\nCannot open card 1: it is lost\n2, U-2\n"
    answer = Capture(text=rows, source="").answers(("acme-smi", "--query-card=uuid", "--format=csv"))
    assert answer == "uuid\nU-0\nCannot open card 1: it is lost\nU-2\n"


def test_columns_of_another_vendors_look_alike_are_taken() -> None:
    source = "command: lookalike --query-card=index,name --format=csv"
    assert Capture(text=CSV, source=source).answers((*QUERY, "--format=csv")) is None
    own = "command: acme-smi --query-card=index,name,uuid,memory.total,utiliz"  # cut
    assert Capture(text=CSV, source=own).answers((*QUERY, "--format=csv")) is not None


def test_a_csv_without_header_is_lost_though_its_command_is_known() -> None:
    source = "command: acme-smi --query-card=index,uuid --format=csv,noheader"
    assert (
        Capture(text="0, U-0\n", source=source).answers(
            ("acme-smi", "--query-card=uuid", "--format=csv,noheader")
        )
        == "U-0\n"
    )
    assert Capture(text="0, U-0\n", source="").answers((*QUERY, "--format=csv,noheader")) is None


@given(
    st.text(),
    st.text(),
    st.lists(st.sampled_from(("acme-smi", "info", "-q", "--query-x=a,b", "")), max_size=4),
)
def test_any_text_raises(text: str, source: str, command: list[str]) -> None:
    answer = Capture(text=text, source=source).answers(command)
    assert answer is None or isinstance(answer, str)


@given(st.integers(0, len(CSV)))
def test_a_cut_capture_gives_half_a_row(length: int) -> None:
    answer = Capture(text=CSV[:length]).answers((*QUERY, "--format=csv,noheader,nounits")) or ""
    whole = [line for line in answer.split("\n")[:-1] if line]
    assert whole == ["U-0, 65536, [N/A], 0", "U-1, 65536, [N/A], 1"][: len(whole)]
