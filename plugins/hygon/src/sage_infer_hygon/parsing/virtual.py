"""Virtual DCUs: what ``hy-virtual`` lists, and the file that gives a container its share of a card."""

from __future__ import annotations

import re

import attrs

from sage_infer_contracts.detecting.text import pci_address, size_bytes, whole

from .rows import whole_lines

_BEGINS = re.compile(r"\s*+(virtual\s)?\s*+device\s+([0-9]{1,4})\s*+:", re.ASCII | re.IGNORECASE)


@attrs.frozen(slots=True, kw_only=True)
class VirtualDevice:
    """A device that the tool lists. ``actual`` is the number of its card; ``is_share`` says that it is a part of it."""

    number: int
    is_share: bool
    actual: int
    compute_units: int | None = None
    memory_bytes: int | None = None


@attrs.frozen(slots=True, kw_only=True)
class Share:
    """The part of the card at ``bdf`` that a container has: this much memory, and this many compute units."""

    bdf: str
    compute_units: int | None
    memory_bytes: int | None


def parse_virtual(text: str) -> tuple[VirtualDevice, ...]:
    """Read ``-show-device-info`` and ``-show-vdevice-info``; a device without its card's number is none."""
    found: list[tuple[bool, int, dict[str, str]]] = []
    for line in whole_lines(text):
        if begins := _BEGINS.fullmatch(line):
            found.append((begins[1] is not None, int(begins[2]), {}))
        elif found:
            key, _, value = line.partition(":")
            found[-1][2].setdefault(key.strip().lower(), value)
    return tuple(
        VirtualDevice(
            number=number,
            is_share=is_share,
            actual=actual,
            compute_units=whole(values.get("compute units")) or None,
            memory_bytes=size_bytes(values.get("global memory")) or None,
        )
        for is_share, number, values in found
        if (actual := whole(values.get("actual device"))) is not None
    )


def parse_share(text: str) -> Share | None:
    """Read ``vdevN.conf``, lines of ``key: value``; None for one that is not in use or names no card."""
    values: dict[str, str] = {}
    for line in whole_lines(text):
        key, _, value = line.partition(":")
        values.setdefault(key.strip().lower(), value.strip())
    bdf = pci_address(values.get("pcibusid"))
    if bdf is None or values.get("enable", "1") != "1":
        return None
    return Share(
        bdf=bdf,
        compute_units=whole(values.get("cu_count")) or None,
        memory_bytes=size_bytes(values.get("mem")) or None,
    )
