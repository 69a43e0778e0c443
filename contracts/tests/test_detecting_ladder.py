"""The steps of a ladder, and the report from them: present, partial, unreadable or absent, with good reason."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sage_infer_contracts.detecting.conclude import conclude
from sage_infer_contracts.detecting.devices import Device, from_pci
from sage_infer_contracts.detecting.ladder import Ladder, failure_of
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import DeviceIds, LinkProfile
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording

ACME = "1abc"
OK = CommandResult(stdout="X1\n", exit_status=0)


def function(number: int, *, vendor: str = ACME, kind: str = "120000", device: str = "0001") -> PciDevice:
    return PciDevice(bdf=f"0000:0{number}:00.0", vendor=vendor, device=device, device_class=kind)


def ladder_of(*pci: PciDevice, **more: object) -> Ladder:
    return Ladder(ProbeRecording(pci=pci, **more).replay())  # type: ignore[arg-type]


def test_another_vendors_or_another_class_of_function_is_claimed() -> None:
    ladder = ladder_of(
        function(1),
        function(2, vendor="8086"),
        function(3, kind="020000"),
        function(4, kind="030200"),
        function(5, device="0002"),
    )
    found = ladder.pci(ACME, but=("0002",))
    assert found is not None
    assert [one.bdf[6] for one in found] == ["1", "4"]
    assert Ladder(ProbeRecording().replay()).pci(ACME) is None


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (OK, None),
        (CommandResult(stdout="X1\n"), None),
        (CommandResult(stdout="x", exit_status=9), "ended with status 9: x"),
        (CommandResult(stdout="x", stderr="first\nlast \n", exit_status=9), "ended with status 9: last"),
        (CommandResult(exit_status=9), "ended with status 9"),
        (CommandResult(timed_out=True), "did not answer in time"),
        (CommandResult(), "printed nothing"),
        (CommandResult(stderr="cannot be started"), "cannot be started"),
    ],
)
def test_a_failure_has_no_reason(result: CommandResult, why: str | None) -> None:
    assert failure_of(result) == why


def test_a_tool_that_is_missing_or_unknown_counts_as_failed() -> None:
    ladder = ladder_of(
        commands={"gone": CommandResult(missing=True), "tool -q": OK, "bad": CommandResult(exit_status=1)}
    )
    assert [ladder.run(*words.split()).outcome for words in ("gone", "tool -q", "bad", "never asked")] == [
        "absent",
        "used",
        "failed",
        "unknown",
    ]
    assert ladder.failures == ["bad: ended with status 1"]
    assert [(step.source, step.outcome) for step in ladder.steps] == [
        ("gone", "absent"),
        ("bad", "failed"),
        ("never asked", "unknown"),
    ]


@given(st.text() | st.sampled_from(("[" * 100_000, "{}", '{"error": "lost"}', "[1]", "null", '{"a": 1}')))
def test_a_librarys_reply_raises(reply: str) -> None:
    ladder = ladder_of(libraries={"acme.lib:devices": reply})
    answer = ladder.library("acme.lib", "devices")
    assert (answer is None) == bool(ladder.failures)


def test_a_missing_library_is_a_failure() -> None:
    ladder = ladder_of(libraries={"acme.lib:devices": None})
    assert ladder.library("acme.lib", "devices") is None
    assert ladder.library("acme.lib", "links") is None
    assert [step.outcome for step in ladder.steps] == ["absent", "unknown"]


def test_what_is_not_known_is_read() -> None:
    ladder = ladder_of(files={"/a": "x", "/b": None}, directories={"/d": ("n",)}, environment={"V": "1"})
    assert [ladder.file(path) for path in ("/a", "/b", "/c")] == ["x", None, None]
    assert [ladder.folder(path) for path in ("/d", "/e")] == [("n",), ()]
    assert [ladder.variable(name) for name in ("V", "W")] == ["1", None]


def report(ladder: Ladder, *devices: Device, **more: object) -> DetectionReport:
    return conclude("acme", ladder, ladder.pci(ACME), devices, **more)  # type: ignore[arg-type]


def test_cards_on_the_bus_without_a_tool_are_absent() -> None:
    assert (report(ladder_of()).state, report(ladder_of()).reason) == ("absent", None)
    found = report(ladder_of(function(1)))
    assert found.state == "unreadable"
    assert "1 cards are on the bus" in (found.reason or "")


def test_a_machine_nobody_looked_at_is_absent() -> None:
    nowhere = Ladder(ProbeRecording().replay())
    assert report(nowhere).state == "unreadable"


def test_a_driver_error_is_absence() -> None:
    ladder = ladder_of(commands={"tool": CommandResult(stderr="driver mismatch", exit_status=18)})
    ladder.run("tool")
    found = report(ladder)
    assert found.state in ("absent", "unreadable")
    on_bus = ladder_of(
        function(1), commands={"tool": CommandResult(stderr="driver mismatch", exit_status=18)}
    )
    on_bus.run("tool")
    assert report(on_bus).state == "unreadable"
    assert "driver mismatch" in (report(on_bus).reason or "")


def test_a_driver_without_cards_is_passed_over() -> None:
    assert report(ladder_of(), somewhere=True).state == "unreadable"


def test_a_lost_card_is_passed_over_as_present() -> None:
    ladder = ladder_of(function(1), function(2))
    cards = from_pci([function(1), function(2)])
    assert report(ladder, *cards).state == "present"
    lost = report(ladder, cards[0])
    assert (lost.state, "0000:02:00.0" in (lost.reason or "")) == ("partial", True)
    assert report(ladder, *cards, lost=("card 3 is lost",)).reason == "card 3 is lost"


def test_devices_without_addresses_are_lost() -> None:
    assert report(ladder_of(function(1)), Device(ids=DeviceIds(index=0))).state == "present"


def test_links_of_no_device_are_reported() -> None:
    link = LinkProfile(source="a", destination="b", kind="PIX")
    assert report(ladder_of(), links=(link,)).links == ()
    assert report(ladder_of(function(1)), *from_pci([function(1)]), links=(link,)).links == (link,)


@given(
    st.none() | st.integers(0, 2),
    st.integers(0, 2),
    st.lists(st.text(min_size=1), max_size=2),
    st.booleans(),
)
def test_a_report_without_a_reason_cannot_be_written(
    on_bus: int | None, shown: int, lost: list[str], somewhere: bool
) -> None:
    pci = None if on_bus is None else tuple(function(number) for number in range(on_bus))
    ladder = Ladder(ProbeRecording(pci=pci).replay())
    found = report(ladder, *from_pci([function(n) for n in range(shown)]), lost=lost, somewhere=somewhere)
    assert (found.reason is None) == (found.state in ("present", "absent"))
    assert DetectionReport.model_validate_json(found.model_dump_json()) == found
