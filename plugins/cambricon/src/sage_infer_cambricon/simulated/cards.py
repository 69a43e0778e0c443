"""Devices of machines that do not exist, as the tools would know them."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

from .formats import Printed


def x8_boards(boards: int = 1, *, ecc: bool = False) -> list[Printed]:
    """Return MLU370-X8 boards, two devices each. ECC takes its part of the memory."""
    buses = (0x39, 0x3D, 0x4F, 0x53, 0x6F, 0x73, 0x9C, 0xA0, 0xAF, 0xB3, 0xCF, 0xD3, 0xD7, 0xDB, 0xDF, 0xE3)
    return [
        Printed(
            index=number,
            bdf=f"0000:{buses[number]:02x}:00.0",
            uuid=_uuid(f"x8 {number}"),
            serial=f"37{number // 2:010x}",
            total_mib=20638 if ecc else 23374,
            used_mib=117 * number,
            busy_percent=(17 * number) % 100,
            errors=0 if ecc else None,
        )
        for number in range(2 * boards)
    ]


def m9_cards(count: int = 8, *, name: str = "MLU590-M9", total_mib: int = 98304) -> list[Printed]:
    """Return MLU590 cards under a driver of release 6, the first one in use by somebody."""
    return [
        Printed(
            index=number,
            bdf=f"0000:{0x4F + 0x11 * number:02x}:00.0",
            name=name,
            uuid=_uuid(f"m9 {number}"),
            serial=f"59{number:010x}",
            driver="v6.2.29",
            firmware="v1.5.0",
            total_mib=total_mib,
            used_mib=33654 if number == 0 else 0,
            busy_percent=96 if number == 0 else 0,
            errors=0,
            cap_w=550,
        )
        for number in range(count)
    ]


def x4_cards(count: int = 3) -> list[Printed]:
    """Return MLU370-X4 cards under a driver of release 4.20, whose table has no addresses."""
    return [
        Printed(
            index=number,
            bdf=f"0000:{0x1B + 0x1B * number:02x}:00.0",
            name="MLU370-X4",
            uuid=_uuid(f"x4 {number}"),
            driver="v4.20.11",
            total_mib=23308,
            cap_w=150,
        )
        for number in range(count)
    ]


def _uuid(text: str) -> str:
    return f"MLU-{uuid5(NAMESPACE_OID, text)}"
