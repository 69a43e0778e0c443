"""PCI addresses from the four numbers that ``cnmon info`` prints, which do not say whether they are hexadecimal."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import attrs

from sage_infer_contracts.detecting.text import pci_address

_HEX = re.compile(r"(0x)?([0-9a-f]{1,8})", re.ASCII | re.IGNORECASE)
_WIDTHS = (4, 2, 2, 1)
_LIMITS = (0xFFFF, 0xFF, 0x1F, 0x7)


@attrs.frozen(slots=True)
class Parts:
    """Domain, bus, device and function as printed."""

    texts: tuple[str, str, str, str]

    def read(self, base: int) -> str | None:
        """Return the address if all parts are numbers to ``base`` and none is too large; ``0x`` is always 16."""
        values = [_value(text, base) for text in self.texts]
        if any(value is None or value > limit for value, limit in zip(values, _LIMITS, strict=True)):
            return None
        domain, bus, device, function = (
            f"{value:0{width}x}" for value, width in zip(values, _WIDTHS, strict=True)
        )
        return pci_address(f"{domain}:{bus}:{device}.{function}")


def addresses(parts: Sequence[Parts | None], known: Collection[str] | None = None) -> list[str | None]:
    """Return the addresses of one output, all read to the same base.

    Hexadecimal is what releases in use print. Decimal is taken where that alone can be: a part is too large or the
    addresses on the bus, ``known``, are met by decimal reading only. With ``known``, others are no addresses.
    """
    given = [one for one in parts if one is not None]
    base = 16
    if not _all_fit(given, 16, known) and _all_fit(given, 10, known):
        base = 10
    read = [one.read(base) if one is not None else None for one in parts]
    return [one if known is None or one in known else None for one in read]


def _all_fit(parts: Sequence[Parts], base: int, known: Collection[str] | None) -> bool:
    read = [one.read(base) for one in parts]
    return all(one is not None and (known is None or one in known) for one in read)


def _value(text: str, base: int) -> int | None:
    match = _HEX.fullmatch(text.strip())
    if match is None:
        return None
    if match[1] is None and base == 10:
        return int(match[2]) if match[2].isdigit() else None
    return int(match[2], 16)
