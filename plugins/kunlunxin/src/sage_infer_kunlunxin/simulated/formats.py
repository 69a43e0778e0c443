"""What the tools print line by line: ``-q`` as text and XML, ``-m``, ``-L``; and the driver in the kernel's log.

Written from the formats that ``parsing`` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from .cards import Card

DRIVER = "5.0.21.47"


def query(cards: Sequence[Card], *, driver: str = DRIVER, label: int = 42) -> str:
    """``xpu-smi -q``; values begin in column ``label``."""
    head = [
        ("", "Timestamp", "Tue Feb  3 18:20:01 2026"),
        ("", "Driver Version", driver),
        ("", "XPU-RT Version", "10.2"),
        None,
        ("", "Attached XPUs", str(len(cards))),
    ]
    out = ["", "==============XPUSMI LOG==============", ""]
    out += ["" if line is None else _valued(*line, label) for line in head]
    for card in cards:
        out.append(f"XPU {card.long_bdf}")
        out += [
            f"{'    ' * depth}{name}" if value is None else _valued("    " * depth, name, value, label)
            for depth, name, value in _facts(card)
        ]
    return "\n".join([*out, ""])


def _valued(indent: str, name: str, value: str, label: int) -> str:
    return f"{indent}{name}".ljust(label) + f": {value}"


def _facts(card: Card) -> list[tuple[int, str, str | None]]:
    return [
        (1, "Product Name", card.name),
        (1, "Product Brand", "KUNLUNXIN"),
        (1, "Product Architecture", "KL3"),
        (1, "Serial Number", card.serial),
        (1, "XPU UUID", card.uuid),
        (1, "Minor Number", str(card.minor)),
        (1, "PCIe Id", "3"),
        (1, "XPU Part Number", "B00100300110112"),
        (1, "Firmware Version", None),
        (2, "ALL Version", "1.0.2.43.1.86"),
        (2, "CPLD Version", "5.3"),
        (1, "PCI", None),
        (2, "Bus", f"0x{card.bdf[5:7].upper()}"),
        (2, "Device", "0x00"),
        (2, "Function", "0x0"),
        (2, "Domain", "0x0000"),
        (2, "Device Id", f"0x{card.device}{card.vendor}"),
        (2, "Bus Id", card.long_bdf),
        (2, "XPU Link Info", None),
        (3, "PCIe Generation", None),
        (4, "Max", "5"),
        (4, "Current", "5"),
        (3, "Link Width", None),
        (4, "Max", "16x"),
        (4, "Current", "16x"),
        (1, "Memory Usage", None),
        (2, "Total", f"{card.memory_mib} MiB"),
        (2, "Reserved", "0 MiB"),
        (2, "Used", f"{card.used_mib} MiB"),
        (2, "Free", f"{card.memory_mib - card.used_mib} MiB"),
        (1, "L3 Usage", None),
        (2, "Total", f"{card.l3_mib} MiB"),
        (2, "Reserved", "0 MiB"),
        (2, "Used", f"{card.l3_used_mib} MiB"),
        (2, "Free", f"{card.l3_mib - card.l3_used_mib} MiB"),
        (1, "Utilization", None),
        (2, "Xpu", f"{card.busy_percent} %"),
        (1, "Ecc Mode", None),
        (2, "Current", "Enabled"),
        (2, "Pending", "Enabled"),
        (1, "ECC Errors", None),
        (2, "Volatile", None),
        (3, "DRAM Correctable", "0"),
        (3, "DRAM Uncorrectable", str(card.ecc_errors)),
        (2, "Aggregate", None),
        (3, "DRAM Correctable", "0"),
        (3, "DRAM Uncorrectable", str(card.ecc_errors)),
        (1, "Temperature", None),
        (2, "XPU Current Temp", "46 C"),
        (1, "Power Readings", None),
        (2, "Enforced Power Limit", f"{card.power_cap_w}.00 W"),
        (2, "Power Draw", "76.00 W"),
        (1, "Processes", "None"),
    ]


def query_xml(cards: Sequence[Card], *, driver: str = DRIVER) -> str:
    """``xpu-smi -q -x``."""
    blocks = []
    for card in cards:
        blocks.append(
            f'        <xpu id="{card.long_bdf}">\n'
            f"                <product_name>{escape(card.name)}</product_name>\n"
            "                <product_brand>KUNLUNXIN</product_brand>\n"
            "                <product_architecture>KL3</product_architecture>\n"
            f"                <serial>{escape(card.serial)}</serial>\n"
            f"                <uuid>{card.uuid}</uuid>\n"
            f"                <minor_number>{card.minor}</minor_number>\n"
            "                <fb_memory_usage>\n"
            f"                        <total>{card.memory_mib} MiB</total>\n"
            f"                        <used>{card.used_mib} MiB</used>\n"
            "                </fb_memory_usage>\n"
            "                <l3_usage>\n"
            f"                        <total>{card.l3_mib} MiB</total>\n"
            "                </l3_usage>\n"
            "                <utilization>\n"
            f"                        <xpu_util>{card.busy_percent} %</xpu_util>\n"
            "                </utilization>\n"
            "                <ecc_errors>\n"
            "                        <volatile>\n"
            f"                                <dram_uncorrectable>{card.ecc_errors}</dram_uncorrectable>\n"
            "                        </volatile>\n"
            "                </ecc_errors>\n"
            "        </xpu>\n"
        )
    return (
        '<?xml version="1.0" ?>\n<!DOCTYPE xpu_smi_log SYSTEM "xpusmi_device_v11.dtd">\n<xpu_smi_log>\n'
        f"        <driver_version>{driver}</driver_version>\n"
        f"        <attached_xpus>{len(cards)}</attached_xpus>\n{''.join(blocks)}</xpu_smi_log>\n"
    )


def machine_readable(cards: Sequence[Card]) -> str:
    """``xpu-smi -m``: 32 fields a line."""
    return "".join(
        f"{card.long_bdf} {card.index if card.board is None else card.board} {card.index} {card.serial} "
        f"36 0 0 0 86 1450 1450 1450 1450 1450 1450 {card.l3_used_mib} {card.l3_mib} {card.used_mib} "
        f'{card.memory_mib} {card.busy_percent} 1.0:2.6:1.39.1.7 "{card.name}" {card.chip}{" 0" * 9}\n'
        for card in cards
    )


def listing(cards: Sequence[Card], *, spelling: str = "plain") -> str:
    """``xpu-smi -L`` in one of its three spellings: plain, brackets, addresses."""
    lines = []
    for card in cards:
        said = {
            "plain": f"{card.name}  {card.uuid}",
            "brackets": f"{card.name} (UUID: {card.uuid})",
            "addresses": card.long_bdf,
        }
        lines.append(f"XPU {card.index}: {said[spelling]}\n")
    return "".join(lines)


def kernel_log(*faulty: Card) -> str:
    """``dmesg`` of a machine on which these cards hang."""
    out = ["[    1.000000] Linux version 6.8.0", "[   12.500000] kunlun: module loaded"]
    for card in faulty:
        name = f"PCI:{card.bdf[:-2]}"
        out += [
            f"[ 8001.250000] KLRM: ({name}): [INFO] vstream[0] sess[1] tainted",
            f"[ 8001.250000] KLRM: ({name}): [XPUW] kl3_wait_for_noc_idle() timeout, val= 00000007 mask= 00000008",
            f"[ 8003.500000] KLRM: ({name}): [INFO] mark sess error(errno= XPUERR_KEXCEPTION), sess= 1, pid= 4711",
            f"[ 8003.500000] KLRM: ({name}): [XPUW] cluster[0]: ..reason[29] task timeout",
            f"[ 8003.500000] KLRM: Xid ({name}): 0, pid=4711, name=python, KL_XID_KERNEL_EXCEPTION, ch=0",
        ]
    return "\n".join([*out, "[ 9000.000000] usb 1-1: new high-speed USB device", ""])
