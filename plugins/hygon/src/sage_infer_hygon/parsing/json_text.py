"""What ``--json`` prints: an object for each card, which several releases write so that no JSON parser reads it."""

from __future__ import annotations

import re

from sage_infer_contracts.detecting.text import lines

from .rows import Listing, RowCollector, plain_key

_TOKEN = re.compile(
    r'"(?P<key>[^"\n]*)"\s*+:\s*+(?:(?P<opens>\{)|"(?P<text>[^"\n]*)"|(?P<bare>[\w.%/+-]++)(?=\s*+[,}"]))|(?P<ends>\})',
    re.ASCII,
)
_CARD = re.compile(r"(?:card|hcu|dcu|gpu)\s?\[?([0-9]{1,4})\]?", re.ASCII | re.IGNORECASE)


def parse_json(text: str) -> Listing:
    """Read ``--json``. Several releases leave commas out and repeat the empty key, so no JSON parser reads them.

    A card is an object ``"card0": {...}``; its values are the pairs that are complete. ``"system"`` holds what belongs
    to no card.
    """
    rows = RowCollector()
    where: list[str] = []
    for token in _TOKEN.finditer("\n".join(lines(text + "\n"))):
        if token["ends"]:
            where = where[:-1]
        elif token["opens"]:
            where.append(token["key"])
        elif where:
            _add_pair(rows, where[-1], token)
    return rows.listing()


def _add_pair(rows: RowCollector, owner: str, token: re.Match[str]) -> None:
    value = token["text"] if token["text"] is not None else token["bare"]
    card = _CARD.fullmatch(owner)
    if card is not None:
        rows.add(int(card[1]), None, token["key"], value)
    elif owner == "system" and (name := plain_key(token["key"])):
        rows.system.setdefault(name, value.strip())
