"""What the labels of ``cnmon info`` say of a card, in whichever form they were printed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from sage_infer_contracts.detecting.text import percent, whole
from sage_infer_contracts.devices import HealthState

from .addresses import Parts, addresses
from .records import Card, mebibytes, name_of, uuid_of, version_of

Labels = Mapping[tuple[str, str], str]
"""Values by section and label, in lower case; the section of a card's own labels is empty."""


def cards_of(shown: Sequence[tuple[int | None, Labels]], known: Collection[str] | None) -> list[Card]:
    """Return the cards of one output, from their numbers and labels; those without a name and a UUID are none.

    ``known`` are the PCI addresses on the bus, None where nobody knows them.
    """
    cards = [(number, labels) for number, labels in shown if _is_card(labels)]
    read = addresses([_parts(labels) for _, labels in cards], known)
    return [_card(number, labels, bdf) for (number, labels), bdf in zip(cards, read, strict=True)]


def _is_card(labels: Labels) -> bool:
    """Say whether the labels are those of a device: a number alone is not one."""
    return (
        name_of(labels.get(("", "product name"))) is not None or uuid_of(labels.get(("", "uuid"))) is not None
    )


def _parts(labels: Labels) -> Parts | None:
    texts = [
        _first(labels, ("pci", "domain id"), ("pci", "domain")),
        _first(labels, ("pci", "bus num"), ("pci", "bus number"), ("pci", "bus")),
        _first(labels, ("pci", "device")),
        _first(labels, ("pci", "function")),
    ]
    if any(text is None for text in texts):
        return None
    domain, bus, device, function = (text or "" for text in texts)
    return Parts((domain, bus, device, function))


def _first(labels: Labels, *keys: tuple[str, str]) -> str | None:
    return next((labels[key] for key in keys if key in labels), None)


def _card(number: int | None, labels: Labels, bdf: str | None) -> Card:
    errors = whole(_first(labels, ("", "ddr ecc err count"), ("", "ecc error")))
    health, reason = _health(labels, errors)
    serial = _first(labels, ("", "sn"), ("", "board sn"), ("", "serial number"))
    return Card(
        index=number,
        name=name_of(labels.get(("", "product name"))),
        uuid=uuid_of(labels.get(("", "uuid"))),
        bdf=bdf,
        serial=serial if serial and re.fullmatch(r"[0-9A-Za-z/-]{6,40}", serial) else None,
        driver=version_of(labels.get(("", "driver"))),
        firmware=version_of(labels.get(("", "firmware"))),
        memory_total_bytes=mebibytes(labels.get(("physical memory usage", "total"))) or None,
        memory_used_bytes=mebibytes(labels.get(("physical memory usage", "used"))),
        utilisation_percent=percent(labels.get(("utilization", "mlu average"))),
        ecc_errors=errors,
        health=health,
        health_reason=reason,
    )


def _health(labels: Labels, errors: int | None) -> tuple[HealthState, str | None]:
    """Read Health State: the device is Good or not, and the driver Running or still, or for ever, on its way."""
    device = (_first(labels, ("health state", "device"), ("", "health state"), ("", "health")) or "").lower()
    driver = labels.get(("health state", "driver"), "").lower()
    known = re.compile(r"[a-z][a-z _-]{2,30}")
    told = known.fullmatch(device) is not None and device not in ("unknown", "n/a")
    if told and device not in ("good", "healthy", "normal", "ok"):
        return "failed", f"cnmon info: Health State of the device is {device}"
    if told and known.fullmatch(driver) and driver not in ("running", "unknown"):
        return "degraded", f"cnmon info: Health State of the driver is {driver}"
    if errors:
        return "degraded", f"cnmon info: {errors} ECC errors are counted"
    return "ok" if told else "unknown", None
