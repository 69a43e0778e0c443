"""Asks cnmon: which commands, in which order, and how long each may take."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal

import attrs

from sage_infer_contracts.detecting.ladder import Ladder, failure_of
from sage_infer_contracts.probe import CommandResult, Unknown

from .errors import ERRORS
from .parsing.info import missing_cards, parse_info
from .parsing.info_json import parse_info_json
from .parsing.listing import parse_listing
from .parsing.records import Card
from .parsing.table import parse_table, parse_tool_version
from .parsing.topology import Matrix, parse_ports, parse_topology

TABLE = ("cnmon",)
INFO = ("cnmon", "info")
TOPOLOGY = ("cnmon", "topo", "-m")
TABLE_TIMEOUT_S, INFO_TIMEOUT_S, TOPOLOGY_TIMEOUT_S, PORTS_TIMEOUT_S = 6.0, 8.0, 3.0, 0.7
"""Together, with sixteen cards' ports, less than the 30 s in which a detector must end."""
MOST_CARDS = 16
"""Physical cards the driver handles in one host: MAX_PHYS_CARD in core/cndrv_core.h of its source."""
Cards = dict[tuple[int, int | None], Card]
"""Cards by number and instance; those of an excerpt that names no number by -1 and their place in it."""


@attrs.frozen(slots=True, kw_only=True)
class Tool:
    """What cnmon showed. ``ports`` are enabled and all MLU-Link ports by card; ``lost`` is what it could not show."""

    table: list[Card] = attrs.field(factory=list)
    info: list[Card] = attrs.field(factory=list)
    matrix: Matrix = attrs.field(factory=Matrix)
    ports: dict[int, tuple[int, int]] = attrs.field(factory=dict)
    lost: list[str] = attrs.field(factory=list)

    @property
    def named(self) -> tuple[int, ...]:
        """The numbers of all cards that the matrix or the ports are about."""
        return tuple(sorted({*self.matrix.cards, *self.ports}))


def ask_tool(ladder: Ladder, known: Collection[str] | None) -> Tool:
    """Run cnmon, the cheapest command first. ``known`` are the PCI addresses of the vendor's functions."""
    table: Cards = {}
    info: Cards = {}
    lost: list[str] = []
    version = None
    recorded, hung = True, False
    for command, timeout_s in ((TABLE, TABLE_TIMEOUT_S), (INFO, INFO_TIMEOUT_S)):
        if hung:
            ladder.note(" ".join(command), "skipped", "cnmon does not answer")
            continue
        text, outcome = _run(ladder, command, timeout_s)
        hung = outcome == "hung"
        recorded &= outcome == "unknown"
        if text is None:
            continue
        found = _read(text, known, None, table, info)
        lost += missing_cards(text)
        version = version or parse_tool_version(text)
        if outcome == "used":
            _note(ladder, command, found, text)
    if recorded:
        lost += _recorded_parts(ladder, known, table, info)
    drivers = sorted({card.driver for card in (*table.values(), *info.values()) if card.driver})
    if version is not None and drivers and version not in drivers:
        ladder.note("cnmon", "used", f"the tool is {version}, the driver {', '.join(drivers)}")
    useless = hung or (ladder.failures and not table and not info)
    matrix = Matrix() if useless else _ask_topology(ladder)
    ports = _ask_ports(ladder, matrix, recorded=recorded and not table and not info)
    numbered = any(card.index is not None for card in (*table.values(), *info.values()))
    return Tool(
        table=list(table.values()),
        info=[card for card in info.values() if card.index is not None or not numbered],
        matrix=matrix,
        ports=ports,
        lost=[*lost, *_disabled(matrix, ports)],
    )


def _run(ladder: Ladder, command: tuple[str, ...], timeout_s: float) -> tuple[str | None, str]:
    """Run a main command; return what it printed, and ``used``, ``failed``, ``hung``, ``absent`` or ``unknown``.

    One that fails may have shown some cards before: they are read, and the failure stays a reason of the report.
    """
    result = ladder.probe.run(command, timeout_s=timeout_s)
    source = " ".join(command)
    if isinstance(result, Unknown) or result.missing:
        outcome: Literal["unknown", "absent"] = "unknown" if isinstance(result, Unknown) else "absent"
        ladder.note(source, outcome)
        return None, outcome
    failure = failure_of(result)
    if failure is not None:
        ladder.fail(source, failure)
        return result.stdout or None, "hung" if result.timed_out else "failed"
    return result.stdout, "used"


def _read(text: str, known: Collection[str] | None, asked: int | None, table: Cards, info: Cards) -> int:
    """Take in what a text shows, in whichever form; return how many devices that are."""
    rows = parse_table(text)
    facts = parse_info_json(text, known=known) or parse_info(text, known=known, card=asked)
    facts = facts or parse_listing(text)
    for cards, into in ((rows, table), (facts, info)):
        for card in cards:
            into.setdefault((card.index, card.instance) if card.index is not None else (-1, len(into)), card)
    return len(rows) + len(facts)


def _note(ladder: Ladder, command: tuple[str, ...], found: int, text: str) -> None:
    if found:
        ladder.note(" ".join(command), "used", f"{found} devices")
    else:
        ladder.fail(" ".join(command), _why_nothing(text))


def _recorded_parts(ladder: Ladder, known: Collection[str] | None, table: Cards, info: Cards) -> list[str]:
    """Read what a recording without the two main commands has in their place.

    A live probe knows every command's outcome, so none of these is run anywhere: ``-j`` would leave a file behind.
    """
    lost: list[str] = []
    for command, asked in _captures():
        result = ladder.probe.run(command, timeout_s=INFO_TIMEOUT_S)
        if isinstance(result, CommandResult) and result.stdout:
            found = _read(result.stdout, known, asked, table, info)
            lost += missing_cards(result.stdout)
            _note(ladder, command, found, result.stdout)
    return lost


def _captures() -> Iterator[tuple[tuple[str, ...], int | None]]:
    """Yield what people publish instead of ``cnmon`` and ``cnmon info``, with the card that it asks for."""
    yield ("cnmon", "all"), None
    yield ("cnmon", "-l"), None
    for flags in (("-j",), ("-e", "-m", "-u", "-j"), ("-t",), ("-m",), ("-u",), ("-e", "-m", "-u")):
        yield ("cnmon", "info", *flags), None
    for number in range(MOST_CARDS):
        yield ("cnmon", "-c", str(number)), number
        yield ("cnmon", "info", "-c", str(number)), number
        yield ("cnmon", "info", "-c", str(number), "-t"), number


def _ask_topology(ladder: Ladder) -> Matrix:
    text = _optional(ladder, TOPOLOGY, TOPOLOGY_TIMEOUT_S)
    matrix = parse_topology(text) if text is not None else Matrix()
    if text is not None:
        ladder.note("cnmon topo -m", "used" if matrix.cards else "failed", f"{len(matrix.cards)} devices")
    return matrix


def _ask_ports(ladder: Ladder, matrix: Matrix, *, recorded: bool) -> dict[int, tuple[int, int]]:
    """Ask for the ports of cards that the matrix links by MLU-Link; of a recording with nothing else, of any card."""
    linked = sorted({number for pair, code in matrix.codes.items() if "MLK" in code for number in pair})
    found: dict[int, tuple[int, int]] = {}
    for number in range(MOST_CARDS) if recorded else linked[:MOST_CARDS]:
        command = ("cnmon", "mlulink", "-c", str(number), "-s")
        if recorded and not isinstance(ladder.probe.run(command, timeout_s=PORTS_TIMEOUT_S), CommandResult):
            continue
        text = _optional(ladder, command, PORTS_TIMEOUT_S)
        if text is None:
            break  # one that hangs, fails or is not known does so for the others too
        ports = parse_ports(text)
        if ports is not None:
            found[number] = ports
            ladder.note(" ".join(command), "used", f"{ports[0]} of {ports[1]} ports enabled")
    return found


def _disabled(matrix: Matrix, ports: dict[int, tuple[int, int]]) -> list[str]:
    """Say which cards the matrix links by MLU-Link while all of their ports are off."""
    linked = {number for pair, code in matrix.codes.items() if "MLK" in code for number in pair}
    return [
        f"card {number} is linked by MLU-Link in the matrix, and its {of} ports are disabled"
        for number, (enabled, of) in ports.items()
        if not enabled and number in linked
    ]


def _optional(ladder: Ladder, command: tuple[str, ...], timeout_s: float) -> str | None:
    """Run a command without which every device is still known: its failure is a step and no reason."""
    failures = len(ladder.failures)
    reply = ladder.run(*command, timeout_s=timeout_s)
    del ladder.failures[failures:]
    return reply.text


def _why_nothing(text: str) -> str:
    """Say why output shows no device: its first message, and of which kind that is where it is known."""
    said = next(
        (line.strip() for line in text[:20_000].splitlines() if line.strip(" \t+-=|")), "nothing was printed"
    )
    known = ERRORS.find(text[:20_000])
    return f"shows no device that can be read: {said[:200]}" + (
        f" ({known.kind})" if known is not None else ""
    )
