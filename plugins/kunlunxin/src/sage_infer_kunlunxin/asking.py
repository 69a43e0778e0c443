"""Which tools are asked, in which order, and who is believed to have answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device, merged
from sage_infer_contracts.detecting.ladder import Ladder, failure_of
from sage_infer_contracts.probe import CommandResult, PciDevice, Unknown

from .gate import LEGACY_IDS
from .parsing.devices_table import parse_devices_table
from .parsing.listing import parse_listing
from .parsing.machine_readable import parse_machine_readable
from .parsing.query_text import parse_query
from .parsing.query_xml import ROOT, parse_query_xml
from .parsing.records import Reading
from .parsing.table import parse_table

PARSERS: tuple[Callable[[str], Reading], ...] = (
    parse_query,
    parse_machine_readable,
    parse_table,
    parse_devices_table,
    parse_listing,
)
_INTEL = re.compile(
    r"\bIntel\b|Level Zero|libze_|Sysman|libxpum\.so|The following arguments? (?:was|were) not expected"
)
"""What only Intel's tool ``xpu-smi`` says: its help, tables and errors, and how the library that it reads its arguments
with refuses options that only Kunlunxin's tool has (intel/xpumanager)."""


@attrs.frozen(slots=True)
class Rung:
    """One command, how long it may take, and what of a device it can tell."""

    command: tuple[str, ...]
    timeout_s: float
    tells: frozenset[str]
    main: bool = False
    spare: bool = False
    """Tells what the one before it tells, and is asked only if that one showed nothing."""

    @property
    def source(self) -> str:
        """The command as a report names it."""
        return " ".join(self.command)


_ALL = frozenset({"index", "uuid", "bdf", "minor", "name", "memory", "driver"})
_TABLE = _ALL - {"uuid", "minor"}
NEW_RUNGS = (
    Rung(("xpu-smi", "-q"), 8.0, _ALL, main=True),
    Rung(("xpu-smi", "-q", "-x"), 4.0, _ALL, spare=True),
    Rung(("xpu-smi", "-m"), 4.0, _TABLE - {"driver"}),
    Rung(("xpu-smi",), 3.0, _TABLE),
    Rung(("xpu-smi", "-L"), 3.0, frozenset({"index", "uuid", "name"})),
)
BESIDE_INTELS = (Rung(("/usr/local/bin/xpu-smi", "-q"), 8.0, _ALL, spare=True),)
"""Where the vendor's package puts the tool (a report of a P800 server); Intel's of the same name may be found first."""
OLD_RUNGS = (
    Rung(("xpu_smi",), 5.0, _ALL - {"uuid"}, main=True),
    Rung(("xpu_smi", "-m"), 3.0, _TABLE - {"driver"}),
    # Where the XRE's installer puts it, which tells its user to extend PATH.
    Rung(("/usr/local/xpu/bin/xpu_smi",), 5.0, _ALL - {"uuid"}, spare=True),
)
OTHER_NAME = tuple(
    attrs.evolve(rung, command=("xpu_smi", *rung.command[1:]), main=False) for rung in NEW_RUNGS
)
"""The new tool by the old one's name, under which it is installed as well."""
TOPOLOGY = Rung(("xpu-smi", "topo", "-m"), 3.0, frozenset())
OTHER_TOPOLOGY = attrs.evolve(TOPOLOGY, command=("xpu_smi", "topo", "-m"))
KERNEL_LOG = Rung(("dmesg",), 2.0, frozenset())
DATED_LOG = attrs.evolve(KERNEL_LOG, command=("dmesg", "-T"))
INTELS = "Intel's tool of the same name"
_MESSAGE_CHARS = 200
"""A tool that prints no more than this and no device prints a message, which is quoted."""


@attrs.define(slots=True)
class Tools:
    """Asks the tools, until one hangs: the next one asks the same driver.

    A failure counts where it may have cost devices. ``excused`` are failures of sources that only add to others.
    """

    ladder: Ladder
    cards: tuple[PciDevice, ...] | None
    hung: bool = False
    intels: bool = False
    attached: int = 0
    """The most devices that a tool said there are, or that it began to show."""
    torn: list[str] = attrs.field(factory=list)
    excused: list[str] = attrs.field(factory=list)

    def ask(self, rung: Rung) -> str | None:
        """Return what a command printed; None if there is nothing to read, which is a step of the report."""
        if self.hung:
            self.ladder.note(rung.source, "skipped", "another tool did not answer in time")
            return None
        result = self.ladder.probe.run(rung.command, timeout_s=rung.timeout_s)
        if isinstance(result, Unknown) or result.missing:
            self.ladder.note(rung.source, "unknown" if isinstance(result, Unknown) else "absent")
            return None
        if rung.command[0] != "dmesg" and is_intels(result):
            self.ladder.note(rung.source, "absent", INTELS)
            self.intels = True
            return None
        failure = failure_of(result)
        if failure is not None:
            self.hung = result.timed_out
            self.fail(rung, failure, excuse=not rung.main and not result.timed_out)
            return None
        return result.stdout

    def fail(self, rung: Rung, why: str, *, excuse: bool) -> None:
        """Keep a step that failed; unless excused, its reason becomes one of the report's."""
        self.ladder.note(rung.source, "failed", why)
        reasons = self.excused if excuse else self.ladder.failures
        if not any(reason.endswith(f": {why}") for reason in (*self.ladder.failures, *self.excused)):
            reasons.append(f"{rung.source}: {why}")  # once: several commands fail of one cause

    @property
    def old(self) -> bool:
        """Whether all cards are known to be of the K and R series."""
        return self.cards is not None and {card.device for card in self.cards} <= LEGACY_IDS

    def devices(self) -> list[Device]:
        """Return the devices that the tools show, none but Kunlunxin's."""
        found: list[Device] = []
        for rungs in (OLD_RUNGS, NEW_RUNGS) if self.old else (NEW_RUNGS, (*OTHER_NAME, OLD_RUNGS[-1])):
            for rung in rungs:
                found = self._climb(found, rung)
            if found and (self.cards is None or self._covers(found)):
                break
        for rung in BESIDE_INTELS if self.intels and not found else ():
            found = self._climb(found, rung)
        if not found or not self._covers(found):
            self.ladder.failures += self.excused
        return found

    def _climb(self, found: list[Device], rung: Rung) -> list[Device]:
        """Ask once more, if that can tell something new: of a device, or of a card that nobody has shown."""
        complete = self.cards is None or self._covers(found)
        if found and (rung.spare or (complete and not rung.tells & _missing(found))):
            return found
        text = self.ask(rung)
        shown = () if text is None else self._read(rung, text)
        if not found:
            return list(shown)
        addressed = [one for one in shown if one.ids.bdf is not None]
        others = [one for one in shown if one.ids.bdf is None]
        # What cannot be matched is one more device only if the addresses of all say so.
        more = all(one.ids.bdf is not None for one in found)
        return merged(merged(found, addressed, add=more), others)

    def _read(self, rung: Rung, text: str) -> tuple[Device, ...]:
        reading = read(text)
        self.attached = max(self.attached, reading.attached or 0, len(reading.devices) + len(reading.torn))
        self.torn += [f"{rung.source}: cannot read {row!r}" for row in reading.torn]
        shown = mine(reading.devices, self.cards)
        if shown:
            self.ladder.note(rung.source, "used", f"{len(shown)} devices")
        elif reading.devices:
            self.fail(rung, "shows no device that is Kunlunxin's on the bus", excuse=False)
        else:
            said = " ".join(text.split())
            words = f": {said}" if 0 < len(said) <= _MESSAGE_CHARS else ""
            self.fail(rung, f"shows no device that can be read{words}", excuse=not rung.main)
        return shown

    def _covers(self, found: Sequence[Device]) -> bool:
        """Say whether every card that PCI shows is among the devices; never where PCI is not known."""
        shown = {one.ids.bdf for one in found}
        return self.cards is not None and all(card.bdf in shown for card in self.cards)


def is_intels(result: CommandResult) -> bool:
    """Say whether Intel's tool answered: it says so, and shows no device in a format of Kunlunxin's."""
    said = any(map(_INTEL.search, (result.stdout, result.stderr)))
    return said and not read(result.stdout).devices


def read(text: str) -> Reading:
    """Read a tool's text by the first format that finds a device: both tools print more than one, as releases go."""
    parsers = (parse_query_xml,) if ROOT in text else PARSERS
    readings = [parse(text) for parse in parsers]
    shown = next((reading for reading in readings if reading.devices), None)
    return shown or next((reading for reading in readings if reading.torn), Reading())


def mine(devices: Sequence[Device], cards: tuple[PciDevice, ...] | None) -> tuple[Device, ...]:
    """Return the devices that stand at an address of Kunlunxin's.

    A list without addresses is believed where it is no longer than that of the cards.
    """
    if cards is None:
        return tuple(devices)
    own = {card.bdf for card in cards}
    if any(one.ids.bdf is not None for one in devices):
        return tuple(one for one in devices if one.ids.bdf in own)
    return tuple(devices) if len(devices) <= len(cards) else ()


def _missing(found: Sequence[Device]) -> frozenset[str]:
    """Return what some device does not tell yet."""
    told: dict[str, list[object]] = {
        "index": [one.ids.index for one in found],
        "uuid": [one.ids.uuid for one in found],
        "bdf": [one.ids.bdf for one in found],
        "minor": [one.ids.minor for one in found],
        "name": [one.name for one in found],
        "memory": [one.memory_total_bytes for one in found],
        "driver": [one.driver_version for one in found],
    }
    return frozenset(name for name, values in told.items() if None in values)
