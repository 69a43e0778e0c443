"""The formats of ``--showtopo``, ``rocminfo`` and the driver's registry of instances, written anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .cards import Card
from .formats import Family, framed


def topology_text(
    cards: Sequence[Card], family: Family, kinds: Mapping[tuple[int, int], str] | None = None
) -> str:
    """Return what ``--showtopo`` prints. ``kinds`` of links by ordered pairs; by default XGMI within a NUMA node."""

    def kind(one: Card, other: Card) -> str:
        if one is other:
            return "None"
        usual = "XGMI" if one.numa_node == other.numa_node else "PCIE"
        return (kinds or {}).get((one.index, other.index), usual)

    def hops(one: Card, other: Card) -> int:
        return 0 if one is other else 1 if kind(one, other) == "XGMI" else 2

    rule = "=" * family.width
    names = [f"{family.label}[{card.index}]" for card in cards]
    parts: list[str] = []
    for title, word in (
        (f"Link accessible between {family.label}s", lambda one, other: "TRUE"),
        (f"Weight between {family.label}s", lambda one, other: str(20 * hops(one, other))),
        (f"Hops between {family.label}s", lambda one, other: str(hops(one, other))),
        (f"Link Type between {family.label}s", kind),
    ):
        rows = [
            [name, *(word(one, other) for other in cards)] for name, one in zip(names, cards, strict=True)
        ]
        parts += [title, "".join(cell.ljust(10) for cell in ("", *names))]
        parts += ["".join(cell.ljust(10) for cell in row) for row in rows]
        parts += [rule, rule]
    for card in cards:
        parts.append(f"{family.label}[{card.index}]\t\t: Numa Node:  {card.numa_node}")
        parts.append(f"{family.label}[{card.index}]\t\t: Numa Affinity:  {card.numa_node}")
    return framed(family, parts)


def rocminfo_text(cards: Sequence[Card], family: Family) -> str:
    """Return what ``rocminfo`` prints: two processors, then the cards in the order of their agents."""
    lines = ["\x1b[37mhygon module is loaded\x1b[0m", "=====================", "HSA System Attributes"]
    lines += [
        "=====================",
        "Runtime Version:         1.1",
        "",
        "==========",
        "HSA Agents",
        "==========",
    ]
    for number in (1, 2):
        lines += _agent(number, _PROCESSOR, [])
    for card in sorted(cards, key=lambda one: one.agent):
        bus, slot = int(card.bdf[5:7], 16), int(card.bdf[8:10], 16)
        values = {
            "Name": card.architecture,
            "Uuid": f"GPU-{card.unique_id}" if card.uuid and card.uuid.startswith("GPU-") else "GPU-XX",
            "Marketing Name": card.series,
            "Vendor Name": "HYGON",
            "Device Type": family.label,
            "Chip ID": f"{int(card.device_id, 16)}(0x{card.device_id})",
            "BDFID": str(bus << 8 | slot << 3 | int(card.bdf[-1])),
            "Compute Unit": str(card.compute_units),
        }
        kib = card.memory_mib * 1024
        pools = [("GLOBAL; FLAGS: COARSE GRAINED", f"{kib}(0x{kib:x}) KB"), ("GROUP", "64(0x40) KB")]
        lines += _agent(card.agent, values, pools)
    return "\n".join([*lines, "*** Done ***", ""])


_PROCESSOR = {
    "Name": "Hygon C86 7490 64-core Processor",
    "Uuid": "CPU-XX",
    "Marketing Name": "Hygon C86 7490 64-core Processor",
    "Vendor Name": "HygonGenuine",
    "Device Type": "CPU",
    "Chip ID": "0(0x0)",
    "BDFID": "0",
    "Compute Unit": "64",
}


def _agent(number: int, values: Mapping[str, str], pools: Sequence[tuple[str, str]]) -> list[str]:
    lines = ["*******", f"Agent {number}", "*******"]
    lines += [f"  {key + ':':<25}{value}" for key, value in values.items()]
    lines.append("  Pool Info:")
    for at, (segment, size) in enumerate(pools, 1):
        lines += [f"    Pool {at}", f"      {'Segment:':<25}{segment}", f"      {'Size:':<25}{size}"]
    lines.append("  ISA Info:")
    if pools:
        name = f"amdgcn-amd-amdhsa--{values['Name']}:sramecc+:xnack-"
        lines += ["    ISA 1", f"      {'Name:':<25}{name}"]
    return lines


def instances(card: Card) -> dict[str, str]:
    """Return the files of the driver's registry for the card's instances, by name: repeated keys, one UUID."""
    return {
        f"dev{card.index}gi{number}ci0.conf": (
            f"pci:{card.bdf}\nid:{number}\ncu_count:20\nmemory_size:16380\nid:0\ncu_count:20\nmig_uuid:{uuid}\n"
        )
        for number, uuid in enumerate(card.instances, 1)
    }


def virtual_text(cards: Sequence[Card], *, shares: Sequence[tuple[int, int, int]] = ()) -> str:
    """Return what ``hy-virtual`` lists: cards, or ``shares`` as number of the card, compute units and MiB."""
    made = [(card.index, card.compute_units, card.memory_mib) for card in cards] or shares
    word = "Device" if cards else "Virtual Device"
    return "".join(
        f"{word} {number}:\n Actual Device: {actual}\n Compute units: {units}\n Global memory: {mib * 2**20} bytes\n"
        for number, (actual, units, mib) in enumerate(made)
    )


def share_text(card: Card, *, compute_units: int, memory_mib: int) -> str:
    """Return a container's file ``vdevN.conf``: a mask of compute units in two words, then their number and memory."""
    mask = (1 << compute_units) - 1
    words = "".join(f"cu_mask: 0x{mask >> shift & 2**64 - 1:016x}\n" for shift in (0, 64))
    return (
        f"PciBusId: {card.bdf}\n{words}cu_count: {compute_units}\nmem: {memory_mib} MiB\n"
        "device_id: 0\nvdev_id: 0\npipe_id: 0\nenable: 1\n"
    )
