"""What ``--showid`` and most other options print: lines ``HCU[0] : key: value``."""

from __future__ import annotations

import re

from .rows import Listing, RowCollector, label_of, plain_key, whole_lines

_LINE = re.compile(r"\s*+(HCU|DCU|GPU)\[([0-9]{1,4})\]\s*+:\s*+(\S.*)", re.ASCII | re.IGNORECASE)
_OF_THE_SYSTEM = re.compile(r"\s*+(driver version|dtk version|rocm version)\s*+:\s*+(\S+)", re.IGNORECASE)


def parse_lines(text: str) -> Listing:
    """Read what ``--showid``, ``--showbus``, ``--showmeminfo`` and the like print: a value of a card on each line."""
    rows = RowCollector()
    for line in whole_lines(text):
        if match := _LINE.match(line):
            key, colon, value = match[3].partition(":")
            if colon:
                rows.add(int(match[2]), label_of(match[1]), key, value)
        elif match := _OF_THE_SYSTEM.match(line):
            rows.system.setdefault(plain_key(match[1]), match[2])
    return rows.listing()
