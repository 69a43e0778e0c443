"""What Hygon's tools say together: cards by their number, links, and agents of the runtime; others' cards left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.ladder import Ladder, Reply
from sage_infer_contracts.probe import PciDevice

from .asking import EVERYTHING, HEALTH, OWN_PROGRAMS, SINGLY, Tools
from .errors import ERRORS
from .gate import has_amd, own_agent, own_rows
from .parsing.csv_text import parse_csv
from .parsing.json_text import parse_json
from .parsing.lines import parse_lines
from .parsing.rocminfo import Agent, parse_rocminfo
from .parsing.rows import Label, Listing, Row
from .parsing.table import parse_table
from .parsing.topology import Topology, parse_topology
from .parsing.virtual import VirtualDevice, parse_virtual
from .readings import address_of


@attrs.frozen(slots=True)
class Survey:
    """Hygon's cards in the order of the tool, and the agents. ``system`` has the values of no single card.

    ``shares`` are the virtual DCUs that a host has made of its cards.
    """

    rows: tuple[Row, ...] = ()
    agents: tuple[Agent, ...] = ()
    topology: Topology = attrs.field(factory=Topology)
    system: Mapping[str, str] = attrs.field(factory=dict)
    shares: tuple[VirtualDevice, ...] = ()


@attrs.frozen(slots=True)
class _Page:
    listing: Listing = attrs.field(factory=Listing)
    topology: Topology = attrs.field(factory=Topology)
    virtual: tuple[VirtualDevice, ...] = ()

    def named_by(self, program: str) -> _Page:
        """Return the page with cards called HCU where the tool is one that shows no other maker's.

        AMD has a ``rocm-smi`` too, so what that prints says by itself whose it is or does not.
        """
        if program.rpartition("/")[2] not in OWN_PROGRAMS:
            return self
        rows = [
            attrs.evolve(row, label=row.label if row.label == "DCU" else "HCU") for row in self.listing.rows
        ]
        whole = [one for one in self.virtual if not one.is_share]
        rows += [Row(one.number, "HCU", _values(one)) for one in whole]
        return attrs.evolve(
            self,
            listing=attrs.evolve(self.listing, rows=tuple(rows)),
            topology=attrs.evolve(self.topology, labels=self.topology.labels - {"GPU"} or frozenset({"HCU"})),
            virtual=tuple(one for one in self.virtual if one.is_share),
        )


def _values(device: VirtualDevice) -> dict[str, str]:
    """Return what is known of a device that ``hy-virtual`` lists, by the names that it uses."""
    size, units = device.memory_bytes, device.compute_units
    values = {"global memory": f"{size} bytes" if size else "", "compute units": str(units) if units else ""}
    return {"actual device": str(device.actual), **{key: value for key, value in values.items() if value}}


def survey(ladder: Ladder, cards: Sequence[PciDevice] | None) -> Survey:
    """Ask the tools: for all values of the cards at once and, where a release cannot do that, for one after another.

    Where both of the first questions fail, so would all others, and only ``rocminfo`` is asked besides.
    """
    tools = Tools(ladder)
    first = tools.smi(*EVERYTHING)
    second = tools.smi()
    pages = [_read(ladder, first), _read(ladder, second)]
    if not first.outcome == second.outcome == "failed":
        pages += [_read(ladder, tools.smi(*flags)) for flags in _still_to_ask(first, pages[0].listing)]
        pages.append(_read(ladder, tools.smi("--showtopo")))
        pages.append(_read(ladder, tools.smi(*HEALTH)))
    if first.outcome == "unknown":
        pages += [_read(ladder, reply) for reply in tools.captured()]
    agents = _read_agents(ladder, tools.rocminfo())
    topology = next((page.topology for page in reversed(pages) if page.topology.cards), Topology())
    rows = _together((*(page.listing.rows for page in pages), _cards_of(topology)))
    kept = tuple(own_rows(rows, cards, amd_beside=has_amd(ladder)))
    if rows and not kept:
        ladder.note("hy-smi and rocm-smi", "skipped", "the cards that they show are another maker's")
    addresses = None if cards is None else [card.bdf for card in cards]
    return Survey(
        rows=kept,
        agents=tuple(own for one in agents if (own := own_agent(one, addresses)) is not None),
        topology=topology,
        system={key: value for page in reversed(pages) for key, value in page.listing.system.items()},
        shares=tuple(dict.fromkeys(share for page in pages for share in page.virtual)),
    )


def _still_to_ask(reply: Reply, listing: Listing) -> tuple[tuple[str, ...], ...]:
    """Return the options that are missing from the answer to the first question; none where that one failed."""
    if reply.outcome == "failed":
        return ()
    if not listing.rows:
        return (*SINGLY, ("--showhw",))
    missing: list[tuple[str, ...]] = []
    if not all(address_of(row) for row in listing.rows):
        missing += [("--showbus",), ("--showhw",)]
    if not all("vram total memory" in " ".join(row.values) for row in listing.rows):
        missing.append(("--showmeminfo", "vram"))
    return tuple(missing)


def _parse(text: str) -> Listing:
    """Read a page in whichever form it is: JSON, CSV, or lines and tables, of which ``--showallinfo`` has both."""
    listing = parse_json(text)
    if listing.rows:
        return listing
    lines, table = parse_lines(text), parse_table(text)
    return Listing(tuple(_together((lines.rows, table.rows, parse_csv(text).rows))), lines.system)


def _read(ladder: Ladder, reply: Reply) -> _Page:
    if reply.text is None:
        return _Page()
    page = _Page(_parse(reply.text), parse_topology(reply.text), parse_virtual(reply.text))
    rows = len(page.listing.rows) or len(page.topology.cards) or len(page.virtual)
    if rows or page.listing.system:
        ladder.note(reply.detail, "used", f"{rows} cards")
        return page.named_by(reply.detail.split()[0])
    why = _complaint(reply.text) or "shows no card that can be read"
    if reply.detail.endswith(("--showtopo", *HEALTH)):
        # Older releases print the titles alone: that costs the links, and says nothing of the cards.
        ladder.note(reply.detail, "failed", why)
    else:
        ladder.fail(reply.detail, why)
    return page


def _complaint(text: str) -> str | None:
    """Return the line that is a known message of the driver's or the tools', so that the reason says it."""
    said = (line.strip()[:300] for line in text.splitlines()[:200])
    return next((line for line in said if line and ERRORS.find(line) is not None), None)


def _read_agents(ladder: Ladder, reply: Reply) -> tuple[Agent, ...]:
    if reply.text is None:
        return ()
    agents = parse_rocminfo(reply.text)
    if not agents and (why := _complaint(reply.text)) is not None:
        ladder.fail(reply.detail, why)
        return ()
    ladder.note(reply.detail, "used" if agents else "failed", f"{len(agents)} agents that are no processors")
    return agents


def _cards_of(topology: Topology) -> list[Row]:
    label: Label | None = "HCU" if "HCU" in topology.labels else "DCU" if "DCU" in topology.labels else None
    return [Row(card, label, {}) for card in sorted(topology.cards)]


def _together(listings: Iterable[Sequence[Row]]) -> list[Row]:
    """Put rows of one number together; where two sources name a value, the first counts."""
    found: dict[int, Row] = {}
    for rows in listings:
        for row in rows:
            before = found.get(row.index, Row(row.index, None, {}))
            label = before.label if before.label in ("HCU", "DCU") else row.label or before.label
            found[row.index] = Row(row.index, label, {**row.values, **before.values})
    return [found[index] for index in sorted(found)]
