"""``cnmon -l``: a line a card, with its UUID.

No capture of it was found. Scripts count its lines with ``UUID`` in them,
so each line is one card, and what else stands in it is told by what it looks like.
"""

from __future__ import annotations

import re

from sage_infer_contracts.detecting.text import lines

from .records import Card, name_of, number_of, uuid_of

_NUMBER = re.compile(r"\s*(?:(?:card|mlu)\s?#?)?([0-9]{1,4})\b(?![0-9a-f]*-)", re.ASCII | re.IGNORECASE)
_NAME = re.compile(r"\b(?:MLU|mlu)-?[0-9][\w.-]{2,20}", re.ASCII)
_UUID = re.compile(r"\bUUID\W{1,4}([\w-]{16,40})", re.ASCII | re.IGNORECASE)


def parse_listing(text: str) -> list[Card]:
    """Return the cards whose number and UUID stand in one line, each once."""
    found: dict[int, Card] = {}
    for line in lines(text):
        number, uuid = _NUMBER.match(line[:200]), _UUID.search(line[:200])
        if number is None or uuid is None or uuid_of(uuid[1]) is None:
            continue
        name = _NAME.search(line[number.end() : uuid.start()])
        index = number_of(number[1])
        if index is not None:
            card = Card(index=index, name=name_of(name[0]) if name else None, uuid=uuid_of(uuid[1]))
            found.setdefault(index, card)
    return list(found.values())
