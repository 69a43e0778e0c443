"""The devices that a simulated machine has."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

import attrs

from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import PciDevice


@attrs.frozen(slots=True, kw_only=True)
class Card:
    """One device. ``board`` and ``chip`` say which card it sits on and at which place; sizes are in MiB."""

    index: int
    minor: int
    bdf: str
    name: str = "P800 OAM"
    board: int | None = None
    chip: int = 0
    vendor: str = "2057"
    device: str = "3686"
    device_class: str = "120000"
    numa: int | None = 0
    serial: str = "02K00X0000V00001"
    memory_mib: int = 98304
    used_mib: int = 3425
    l3_mib: int = 96
    l3_used_mib: int = 2
    busy_percent: int = 37
    power_cap_w: int = 400
    ecc_errors: int = 0
    driver: str | None = "kunlun"
    sriov: str = "Disabled"
    virtual: bool = False

    @property
    def uuid(self) -> str:
        """Its UUID, the same at each run."""
        return f"GPU-{uuid5(NAMESPACE_OID, f'{self.bdf} {self.minor}')}"

    @property
    def long_bdf(self) -> str:
        """The address as the new tool prints it."""
        return f"0000{self.bdf.upper()}"

    def ids(self, *kept: str) -> DeviceIds:
        """Return its identities, or those of them that are ``kept``."""
        ids = DeviceIds(index=self.index, minor=self.minor, uuid=self.uuid, bdf=self.bdf)
        return ids.model_copy(update={name: None for name in ids.model_dump() if kept and name not in kept})

    def function(self) -> PciDevice:
        """Return its PCI function."""
        return PciDevice(
            bdf=self.bdf,
            vendor=self.vendor,
            device=self.device,
            device_class=self.device_class,
            numa_node=self.numa,
            driver=self.driver,
        )


_BUSES = (0x03, 0x05, 0x63, 0x65, 0x83, 0x85, 0xA3, 0xA5)


def p800(count: int = 8, **facts: str) -> list[Card]:
    """Return P800 cards. Their nodes are not numbered as the tool numbers them: 0, 2, 1, 3, ..."""
    order = [0, 2, 1, 3, 4, 7, 5, 6][:count]
    nodes = order if sorted(order) == list(range(count)) else list(reversed(range(count)))
    cards = [
        Card(
            index=number,
            minor=nodes[number],
            bdf=f"0000:{_BUSES[number]:02x}:00.0",
            numa=number // 4,
            used_mib=3425 + 111 * number,
            serial=f"02K00X0000V0{number:04d}",
        )
        for number in range(count)
    ]
    return [attrs.evolve(card, **facts) for card in cards]  # type: ignore[arg-type]  # facts in words only


def r300(count: int = 2) -> list[Card]:
    """Return R300 cards, which call themselves communication controllers."""
    return [
        Card(
            index=number,
            minor=number,
            bdf=f"0000:{0x53 + 3 * number:02x}:00.0",
            name="R300",
            vendor="1d22",
            device="3684",
            device_class="078000",
            memory_mib=32768,
            l3_mib=63,
            serial=f"02K00000000000{number:02d}",
        )
        for number in range(count)
    ]


def k200(cards: int = 2) -> list[Card]:
    """Return K200 cards of two devices each, which share address and serial number; the second card is in domain 1."""
    return [
        Card(
            index=number,
            minor=number,
            board=number // 2,
            chip=number % 2,
            bdf="0000:06:00.0" if number < 2 else f"0001:{number // 2 + 2:02x}:00.0",
            name="K200",
            vendor="1d22",
            device="3684",
            memory_mib=8064,
            used_mib=504 + 17 * number,
            l3_mib=16,
            l3_used_mib=14,
            serial=f"020020000000000{number // 2}",
        )
        for number in range(2 * cards)
    ]


def divided_p800() -> list[Card]:
    """Return a P800 divided into two virtual functions, which the tool names P800 VF and counts no ECC errors of."""
    (card,) = p800(1)
    card = attrs.evolve(card, sriov="Enabled", used_mib=0)
    parts = [
        attrs.evolve(
            card,
            index=number,
            minor=number,
            bdf=f"0000:03:00.{number}",
            name="P800 VF",
            device="3687",
            memory_mib=49152,
            used_mib=number * 17,
            l3_mib=48,
            sriov="N/A",
            virtual=True,
        )
        for number in (1, 2)
    ]
    return [card, *parts]
