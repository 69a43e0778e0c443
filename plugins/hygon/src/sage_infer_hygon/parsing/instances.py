"""The driver's registry of the instances that a card in mode MIG is cut into: one file for each."""

from __future__ import annotations

import re

import attrs

from sage_infer_contracts.detecting.text import lines, pci_address

_UUID = re.compile(r"(?:MIG-)?([0-9a-f][0-9a-f-]{7,63})", re.ASCII | re.IGNORECASE)


@attrs.frozen(slots=True)
class Instance:
    """One instance: its UUID, ``MIG-...``, and the address of its card where the file has it."""

    uuid: str
    bdf: str | None = None


def parse_instance(text: str) -> Instance | None:
    """Read lines of ``key: value``, some of them several times; None without a UUID."""
    values: dict[str, str] = {}
    for line in lines(text + "\n"):
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), value.strip())
    match = _UUID.fullmatch(values.get("mig_uuid", ""))
    return Instance(f"MIG-{match[1].lower()}", pci_address(values.get("pci"))) if match else None
