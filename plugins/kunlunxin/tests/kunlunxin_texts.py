"""Ways in which tests change what tools print."""

from __future__ import annotations

from hypothesis import strategies as st

from sage_infer_contracts.devices import DeviceIds
from sage_infer_kunlunxin.parsing.records import Reading
from sage_infer_kunlunxin.simulated.cards import Card

MIB = 2**20
NOISE = (
    "[INFO] connected to 10.0.0.1:8080",
    "2026-01-02 03:04:05.678 [4711] WARNING persistence mode is off",
    "ERROR: ld.so: object 'libshim.so' from LD_PRELOAD cannot be preloaded: ignored.",
    "Loading, please wait ...",
    "警告: 未找到配置文件, 使用默认值",
    "+------------------+",
    "====================",
    "No running processes found",
    "",
    "\x1b[2K\x1b[1;33mwarning\x1b[0m",
)


def p800_cards(most: int = 16) -> st.SearchStrategy[list[Card]]:
    """Cards with numbers of their own each, none of which follows from another."""

    def cards(count: int) -> st.SearchStrategy[list[Card]]:
        return st.tuples(
            st.permutations(range(count)),
            st.lists(st.integers(1, 0xFE), min_size=count, max_size=count, unique=True),
            st.lists(st.integers(0, 98304), min_size=count, max_size=count),
            st.lists(st.integers(0, 100), min_size=count, max_size=count),
            st.sampled_from(["P800 OAM", "P800 PCIe", "P900", "M300 Pro Max 128G"]),
        ).map(
            lambda drawn: [
                Card(
                    index=number,
                    minor=drawn[0][number],
                    bdf=f"0000:{sorted(drawn[1])[number]:02x}:00.0",
                    used_mib=drawn[2][number],
                    busy_percent=drawn[3][number],
                    name=drawn[4],
                )
                for number in range(count)
            ]
        )

    return st.integers(1, most).flatmap(cards)


def facts(reading: Reading) -> list[tuple[object, ...]]:
    """What a reading says of each device, in the tool's order."""
    return [
        (one.ids, one.name, one.memory_total_bytes, one.memory_used_bytes, one.utilisation_percent)
        for one in reading.devices
    ]


def expected(card: Card, *ids: str, used: bool = True, named: bool = True) -> tuple[object, ...]:
    """What a source that shows just ``ids`` should say of a card."""
    everything = DeviceIds(
        index=card.index, minor=card.minor, uuid=card.uuid, bdf=card.bdf, physical=card.index
    ).model_dump()
    kept = DeviceIds(**{name: value for name, value in everything.items() if name in ids})
    if not used:
        return kept, card.name if named else None, None, None, None
    return kept, card.name, card.memory_mib * MIB, card.used_mib * MIB, float(card.busy_percent)


def with_noise(text: str, line: int, noise: str) -> str:
    """A line more between those of the tool."""
    kept = text.split("\n")
    at = line % len(kept)
    return "\n".join([*kept[:at], noise, *kept[at:]])
