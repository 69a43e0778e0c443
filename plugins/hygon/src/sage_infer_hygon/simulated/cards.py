"""DCUs of generated machines. Numbers, addresses and ids are made up.

Rows of the tool, addresses and agents of the runtime are in different orders, as on real machines.
"""

from __future__ import annotations

import attrs

# Classes are those of lspci: co-processor, and for Z100 display controller.
_BUSES = (0x05, 0x2B, 0x14, 0x1A, 0x86, 0xB8, 0xC0, 0x9E)


@attrs.frozen(slots=True, kw_only=True)
class Card:
    """One DCU of a generated machine; ``agent`` is its number in the HSA runtime, ``render`` that of its node."""

    index: int
    bdf: str
    device_id: str
    unique_id: str
    series: str
    architecture: str
    compute_units: int
    memory_mib: int
    used_mib: int
    use_percent: float
    power_cap: float
    numa_node: int
    render: int
    agent: int
    temperature: float = 43.0
    power: float = 131.0
    instances: tuple[str, ...] = ()
    health: str = "Healthy"
    device_class: str = "0b4000"

    @property
    def uuid(self) -> str | None:
        """The unique id as the runtime spells it; None for one that every card has."""
        if self.unique_id.strip("0") == "":
            return None
        return f"GPU-{self.unique_id}" if len(self.unique_id) == 16 else self.unique_id

    @property
    def cells(self) -> dict[str, str]:
        """What any of the tables prints of it, by titles."""
        return {
            "Temp": f"{self.temperature}C",
            "AvgPwr": f"{self.power}W",
            "SCLK": "1500Mhz",
            "MCLK": "1800Mhz",
            "Fan": "0.0%",
            "Perf": "auto",
            "PwrCap": f"{self.power_cap}W",
            "VRAM%": f"{100 * self.used_mib // self.memory_mib}%",
            "HCU%": f"{self.use_percent}%",
            "DCU%": f"{self.use_percent:.0f}%",
            "GPU%": f"{self.use_percent:.0f}%",
            "Dec%": "0.0%",
            "Enc%": "0.0%",
            "Mode": "MIG" if self.instances else "Normal",
        }


def bw_cards(count: int = 8) -> list[Card]:
    """Cards of the BW family, 64 GB, as a new tool shows them."""
    return [
        Card(
            index=index,
            bdf=f"0000:{_BUSES[index]:02x}:00.0",
            device_id="6320",
            unique_id=f"7100fa88669040{0x60 + index:02x}",
            series="BW",
            architecture="gfx936",
            compute_units=80,
            memory_mib=65520,
            used_mib=3 + 117 * index,
            use_percent=float(index * 11),
            power_cap=1000.0,
            numa_node=_BUSES[index] // 0x80,
            render=128 + sorted(_BUSES[:count]).index(_BUSES[index]),
            # The runtime counts by address, the tool does not.
            agent=9 + sorted(_BUSES[:count]).index(_BUSES[index]),
        )
        for index in range(count)
    ]


def k100_cards(count: int = 8) -> list[Card]:
    """Cards K100_AI: no decoders' loads, serial numbers as unique ids."""
    return [
        attrs.evolve(
            card,
            device_id="6210",
            series="K100_AI",
            architecture="gfx928",
            compute_units=120,
            power_cap=400.0,
            unique_id=f"TCA246200408{card.index:02d}",
        )
        for card in bw_cards(count)
    ]


def z100_cards(count: int = 4) -> list[Card]:
    """Cards Z100 with 16 GB less 16 MiB, whose unique ids are all 0."""
    return [
        attrs.evolve(
            card,
            device_id="54b7",
            series="Z100",
            architecture="gfx906",
            compute_units=60,
            power_cap=450.0,
            memory_mib=16368,
            unique_id="0",
            device_class="038000",
        )
        for card in bw_cards(count)
    ]
