"""Which card it is: unique ids, and those that are of no use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device

_UNIQUE = re.compile(r"(?:GPU-|0x)?([0-9a-f]{16})", re.ASCII | re.IGNORECASE)
_SERIAL = re.compile(r"[A-Z0-9][A-Z0-9-]{5,40}", re.ASCII | re.IGNORECASE)
_USELESS = re.compile(r"(?:GPU-|0x)?[0Xx-]*|n/?a|none|unknown|not supported", re.IGNORECASE)


def unique_id(text: str | None) -> str | None:
    """Return a card's unique id as the runtime spells it, ``GPU-`` and 16 hexadecimal digits, or a serial number.

    None for what tells cards apart in no way: ``0``, ``GPU-XX``, ``N/A``. Newer tools print a serial number here.
    """
    word = (text or "").strip()
    if not word or _USELESS.fullmatch(word):
        return None
    if hexadecimal := _UNIQUE.fullmatch(word):
        return f"GPU-{hexadecimal[1].lower()}"
    return word if _SERIAL.fullmatch(word) and any(letter.isdigit() for letter in word) else None


def without_shared_ids(devices: Sequence[Device]) -> list[Device]:
    """Take away unique ids that several devices have; their addresses then say who they are."""
    shared = {uuid for uuid, number in Counter(one.ids.uuid for one in devices).items() if number > 1}
    return [
        attrs.evolve(one, ids=one.ids.model_copy(update={"uuid": None})) if one.ids.uuid in shared else one
        for one in devices
    ]
