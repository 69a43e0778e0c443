"""What ``rocminfo`` prints: the agents of the HSA runtime, among them each DCU with its architecture and its memory."""

from __future__ import annotations

import re

import attrs

from sage_infer_contracts.detecting.text import lines, whole

_BEGINS = re.compile(r"\s*+Agent\s+([0-9]{1,4})", re.ASCII)
_HEX = re.compile(r"([0-9]{1,9})(?:\s?\(0x([0-9a-f]{1,8})\))?", re.ASCII | re.IGNORECASE)
_KIB = re.compile(r"([0-9]{1,15})(?:\(0x[0-9a-f]{1,14}\))?\s?KB", re.ASCII | re.IGNORECASE)
_ARCHITECTURE = re.compile(r"gfx[0-9a-f]{3,5}", re.ASCII | re.IGNORECASE)
_TYPES = ("GPU", "DCU", "HCU")
_OURS = re.compile(r"hygon|haiguang|c-3000", re.IGNORECASE)
_MODULE = re.compile(r"\bhygon module is loaded\b", re.IGNORECASE)


@attrs.frozen(slots=True, kw_only=True)
class Agent:
    """One accelerator as the runtime sees it. ``order`` is its number among all agents; memory is that of its pools.

    Older releases do not print the PCI domain of an address; ``has_domain`` says whether this one did.
    """

    order: int
    architecture: str | None
    uuid: str | None
    name: str | None
    chip_id: str | None
    bdf: str | None
    has_domain: bool
    compute_units: int | None
    memory_bytes: int | None
    is_hygon: bool


@attrs.define(slots=True)
class _Block:
    order: int
    values: dict[str, str] = attrs.field(factory=dict)
    part: str = ""
    segment: str = ""
    memory_bytes: int = 0

    def read(self, line: str) -> None:
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            return
        if key in ("Pool Info", "ISA Info", "Cache Info"):
            self.part = key
        elif self.part == "Pool Info" and key == "Segment":
            self.segment = value.upper()
        elif self.part == "Pool Info" and key == "Size":
            self._read_size(value)
        elif self.part != "ISA Info":
            # Inside the caches only L1 and L2 are named, so what follows them is the agent's again.
            self.values.setdefault(key, value)

    def _read_size(self, value: str) -> None:
        size = _KIB.fullmatch(value)
        if size is not None and "GLOBAL" in self.segment and "COARSE" in self.segment:
            self.memory_bytes = max(self.memory_bytes, int(size[1]) * 1024)


def parse_rocminfo(text: str) -> tuple[Agent, ...]:
    """Read the agents that are no processors, in the runtime's order."""
    split = lines(text)
    ours = any(map(_MODULE.search, split))
    blocks: list[_Block] = []
    for line in split:
        begins = _BEGINS.fullmatch(line)
        if begins is not None:
            blocks.append(_Block(int(begins[1])))
        elif blocks:
            blocks[-1].read(line)
    return tuple(
        agent
        for number, block in enumerate(blocks)
        if block.order not in {before.order for before in blocks[:number]}
        and (agent := _agent(block, ours)) is not None
    )


def _agent(block: _Block, ours: bool) -> Agent | None:
    values = block.values
    kind = values.get("Device Type", "").upper()
    if kind not in _TYPES:
        return None
    vendor = values.get("Vendor Name", "")
    architecture = _ARCHITECTURE.fullmatch(values.get("Name", ""))
    chip = _HEX.fullmatch(values.get("Chip ID", ""))
    return Agent(
        order=block.order,
        architecture=architecture[0].lower() if architecture else None,
        uuid=values.get("Uuid"),
        name=values.get("Marketing Name") or None,
        chip_id=f"{int(chip[1]):04x}" if chip and 0 < int(chip[1]) < 2**16 else None,
        bdf=_address(values.get("BDFID"), values.get("Domain")),
        has_domain="Domain" in values,
        compute_units=whole(values.get("Compute Unit")) or None,
        memory_bytes=block.memory_bytes or None,
        is_hygon=bool(_OURS.search(vendor)) or kind != "GPU" or (ours and not vendor),
    )


def _address(text: str | None, domain: str | None) -> str | None:
    """Read ``BDFID``: bus, device and function in one number of 16 bits. Hygon's tools take the domain for 0."""
    number, above = whole(text), whole(domain) or 0
    if not number or number >= 2**16 or above >= 2**16:
        return None
    return f"{above:04x}:{number >> 8:02x}:{number >> 3 & 31:02x}.{number & 7}"
