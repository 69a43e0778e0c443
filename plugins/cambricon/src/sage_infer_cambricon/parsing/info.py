"""``cnmon info`` and ``cnmon info -c N``: a section a card, in it labels, and sections of labels that are indented."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import attrs

from sage_infer_contracts.detecting.text import lines

from .labels import cards_of
from .records import Card

_CARD = re.compile(r"\s*card\s*[:#]?\s*([0-9]{1,4})\s*:?\s*", re.ASCII | re.IGNORECASE)
_LABEL = re.compile(r"(\s*)([A-Za-z][A-Za-z0-9 ()/_.-]{0,40}?)\s*:(?:\s+(.*)|)", re.ASCII)
_BARE_SECTION = re.compile(r"(\s+)(PCI|Power|Temperature|Utilization|Health State)\s*", re.ASCII)
_MISSING = re.compile(r"\bnot\s{1,4}exist", re.IGNORECASE)
_CONTINUATION = re.compile(r"(?!\s*card\b)[\w %./-]{1,200}", re.ASCII | re.IGNORECASE)
_OWN = re.compile(r"MLU-?[0-9]{3}", re.ASCII | re.IGNORECASE)
_LONGEST = 400
_ONCE = ("product name", "uuid")
"""Labels that stand once with each card. A second one is another card's whose first line was lost."""


@attrs.define(slots=True)
class _Section:
    """One card's labels. ``flat``: the text has lost its indents, so that a section lasts until the next one begins."""

    number: int | None
    flat: bool = False
    labels: dict[tuple[str, str], str] = attrs.field(factory=dict)
    heading: str = ""
    heading_indent: int = -1
    least_indent: int | None = None

    def take(self, indent: int, label: str, value: str) -> bool:
        """Take a label in; say False, and do not, where it is another card's, whose first line was lost.

        One without a value begins a section, and one further out than the first is noise.
        """
        if self.least_indent is None:
            self.least_indent = indent
        if indent < self.least_indent:
            return True
        if indent <= self.heading_indent and not self.flat:
            self.heading, self.heading_indent = "", -1
        if not value:
            self.heading, self.heading_indent = label, indent
            return True
        key = (self.heading, label)
        if not self.heading and label in _ONCE and key in self.labels:
            return False
        self.labels.setdefault(key, value)
        return True


def parse_info(text: str, *, known: Collection[str] | None = None, card: int | None = None) -> list[Card]:
    """Return the cards of ``cnmon info``, each once.

    ``known`` are the PCI addresses on the bus, None where nobody knows them. ``card`` is the number that was asked for,
    which some releases do not repeat. Cards without a number are shown where no card has one, as in an excerpt.
    """
    numbered: dict[int, _Section] = {}
    others: list[_Section] = []
    for section in _sections(lines(text)):
        if section.number is None:
            others.append(section)
        elif section.labels:
            numbered.setdefault(section.number, section)
    cards = cards_of([(number, one.labels) for number, one in numbered.items()], known)
    if cards or "\n" not in text:  # one line alone may be half a line
        return cards
    # Other tools print such labels too, of other things.
    named = [one.labels for one in others if _OWN.match(one.labels.get(("", "product name"), ""))]
    return cards_of([(card if len(named) == 1 else None, labels) for labels in named], known)


def missing_cards(text: str) -> list[str]:
    """Return what the tool says of cards that were asked for and are not there, e.g. ``card 3 not existed``."""
    if not _MISSING.search(text):
        return []
    return [line.strip()[:200] for line in lines(text) if _MISSING.search(line[:_LONGEST])]


def _sections(read: Sequence[str]) -> Iterator[_Section]:
    unbroken = [line for line in _unwrapped([line.expandtabs() for line in read]) if len(line) <= _LONGEST]
    flat = len({len(label[1]) for line in unbroken if (label := _LABEL.fullmatch(line))}) < 2
    section = _Section(None, flat)
    for line in unbroken:
        heading, label, bare = _CARD.fullmatch(line), _LABEL.fullmatch(line), _BARE_SECTION.fullmatch(line)
        if heading is not None:
            yield section
            section = _Section(int(heading[1]), flat)
        elif label is not None:
            facts = (len(label[1]), " ".join(label[2].lower().split()), (label[3] or "").strip())
            if not section.take(*facts):
                yield section
                section = _Section(None, flat)
                section.take(*facts)
        elif bare is not None:
            section.take(len(bare[1]), bare[2].lower(), "")
    yield section


def _unwrapped(read: Sequence[str]) -> list[str]:
    """Join lines that a terminal broke: labels as long as the longest line, each going on in one that has none.

    One such pair alone, where other lines are as long, is the longest line with noise below it.
    """
    width = max((len(line) for line in read if len(line) <= _LONGEST), default=0)
    full = [at for at, line in enumerate(read[:-1]) if len(line) == width and ":" in line]
    broken = [at for at in full if _CONTINUATION.fullmatch(read[at + 1])]
    if len(broken) < min(2, len(full)):
        return list(read)
    joined = list(read)
    for at in reversed(broken):
        joined[at : at + 2] = [joined[at] + joined[at + 1]]
    return joined
