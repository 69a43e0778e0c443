"""Writes what Cambricon's tools and driver print, from their published formats: the detector is tried on this."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

Family = Literal["4.20", "5.10 SR-IOV", "5.10", "6.x"]
_RULE = "+" + "-" * 78 + "+"
_ROW_RULE = "+" + "-" * 31 + "+" + "-" * 22 + "+" + "-" * 23 + "+"
_TITLE_RULE = "|" + "=" * 31 + "+" + "=" * 22 + "+" + "=" * 23 + "|"


@attrs.frozen(slots=True, kw_only=True)
class Printed:
    """What the tools know of one device. ``errors`` None: ECC is off."""

    index: int
    bdf: str
    name: str = "MLU370-X8"
    uuid: str = ""
    serial: str = ""
    driver: str = "v5.10.13"
    firmware: str = "v1.1.6"
    total_mib: int = 23374
    used_mib: int = 0
    busy_percent: int = 0
    errors: int | None = None
    mode: str = "FULL"
    instance: str = "/"
    health: str = "Good"
    cap_w: int = 250


def table(devices: Sequence[Printed], family: Family, *, version: str | None = None) -> str:
    """Return the output of ``cnmon``."""
    driver = devices[0].driver if devices else "v0.0.0"
    own = version or driver
    head = (
        f" CNMON {own}"
        if family == "4.20"
        else f" CNMON {own}".ljust(77 - len(f"Driver {driver}")) + f"Driver {driver} "
    )
    titles = _titles(family)
    rows = [f"{_upper(one, family)}\n{_lower(one, family)}\n{_ROW_RULE}" for one in devices]
    body = [_RULE, f"|{head:<78}|", _ROW_RULE, *titles, _TITLE_RULE, *rows, "", *_processes(family)]
    return "\n".join(body) + "\n"


def _titles(family: Family) -> tuple[str, str]:
    second = {
        "4.20": ("Inited        Driver", "Memory-Usage", "vMemory-Usage"),
        "5.10 SR-IOV": ("Bus-Id", "Memory-Usage", "SR-IOV   Compute-Mode"),
    }.get(family, ("Bus-Id", "Memory-Usage", "Mode     Compute-Mode"))
    upper = f"| {'Card  VF  Name       Firmware':<29} | {second[0]:>20} | {'Util        Ecc-Error':<21} |"
    lower = f"| {'Fan   Temp      Pwr:Usage/Cap':<29} | {second[1]:>20} | {second[2]:>21} |"
    return upper, lower


def _upper(one: Printed, family: Family) -> str:
    first = f"{one.index:<5} {one.instance:<3} {one.name:<12} {one.firmware}"
    middle = f"{'On':<2} {one.driver:>17}" if family == "4.20" else one.bdf.upper()
    errors = "N/A" if one.errors is None else str(one.errors)
    busy = f"{one.busy_percent}%"
    last = f"{busy:<11} {errors:<9}" if family == "4.20" else f"{busy:<11} {errors:>9}"
    return f"| {first:<29} | {middle:>20} | {last:<21} |"


def _lower(one: Printed, family: Family) -> str:
    first = f" 0%   32C{106:>11} W/{one.cap_w:>4} W"
    memory = f"{one.used_mib:>5} MiB/{one.total_mib:>6} MiB"
    if family == "4.20":
        last = "10240 MiB/1048576 MiB"
    else:
        last = f"{'N/A' if family == '5.10 SR-IOV' else one.mode:<8} {'Default':>12}"
    return f"| {first:<29} | {memory:>20} | {last:<21} |"


def _processes(family: Family) -> list[str]:
    column = "VF  PID  " if family == "4.20" else "MI  PID   "
    return [
        _RULE,
        f"|{' Processes:':<78}|",
        f"|{f'  Card  {column}  Command Line                             MLU Memory Usage':<78}|",
        "|" + "=" * 78 + "|",
        f"|{'  No running processes found':<78}|",
        _RULE,
    ]


def info(devices: Sequence[Printed], *, base: Literal[10, 16] = 16, version: str | None = None) -> str:
    """Return the output of ``cnmon info``; ``base`` is how it prints the parts of a PCI address."""
    own = version or (devices[0].driver if devices else "v0.0.0")
    return "\n".join(
        [f"================CNMON {own}================", *(info_of(one, base=base) for one in devices), ""]
    )


def info_of(one: Printed, *, base: Literal[10, 16] = 16) -> str:
    """Return the section of one card."""
    domain, bus, rest = one.bdf.split(":")
    device, function = rest.split(".")
    parts = (
        [domain, bus, device, function]
        if base == 16
        else [str(int(part, 16)) for part in (domain, bus, device, function)]
    )
    labels: list[tuple[int, str, str]] = [(1, "Product Name", one.name)]
    labels += [(1, "UUID", one.uuid)] if one.uuid else []
    labels += [(1, "SN", one.serial)] if one.serial else []
    labels += [
        (1, "Firmware", one.firmware),
        (1, "Driver", one.driver),
        (1, "Compute Mode", "Default"),
        (1, "Health State", ""),
        (2, "Device", one.health),
        (2, "Driver", "Running"),
        (1, "Utilization", ""),
        (2, "MLU Average", f"{one.busy_percent} %"),
        (1, "Temperature", ""),
        (2, "Board", "49 C"),
        (2, "Chip", "51 C"),
        (1, "Physical Memory Usage", ""),
        (2, "Total", f"{one.total_mib} MiB"),
        (2, "Used", f"{one.used_mib} MiB"),
        (2, "Free", f"{one.total_mib - one.used_mib} MiB"),
        (1, "Virtual Memory Usage", ""),
        (2, "Total", "1048576 MiB"),
        (2, "Used", "10240 MiB"),
        (1, "Power", ""),
        (2, "Usage", "106 W"),
        (2, "Cap", f"{one.cap_w} W"),
        (1, "PCI", ""),
        *(
            (2, label, text)
            for label, text in zip(("Domain ID", "Bus num", "Device", "Function"), parts, strict=True)
        ),
        (1, "DDR ECC Err Count", "N/A" if one.errors is None else str(one.errors)),
        (1, "Processes", ""),
    ]
    lines = [f"{'    ' * level}{label:<{35 - 4 * level}}: {value}".rstrip() for level, label, value in labels]
    return "\n".join([f"Card {one.index}", *lines])


def info_json(devices: Sequence[Printed]) -> str:
    """Return the file that ``cnmon info -j`` writes."""
    listed = []
    for one in devices:
        domain, bus, rest = one.bdf.split(":")
        pci = {
            "DomainID": domain,
            "Bus": bus,
            "Device": rest[:2],
            "Function": rest[3:],
            "CurrentSpeed": "16 GT/s",
        }
        listed.append(
            {
                "CardNum": one.index,
                "ProductName": one.name,
                "UUID": one.uuid,
                "Driver": one.driver,
                "PCI": pci,
                "PhysicalMemUsage": {"Total": one.total_mib, "Used": one.used_mib},
                "Utilization": {"MLUAverage": one.busy_percent},
            }
        )
    return json.dumps({"CnmonInfo": listed}, indent=4)


def topology(codes: Mapping[tuple[int, int], str], cards: Sequence[int], cpus: Mapping[int, str]) -> str:
    """Return the output of ``cnmon topo -m``; ``codes`` holds both ways of each pair."""
    lines = ["".join(["        ", *(f"MLU{card:<5}" for card in cards), "CPU Affinity"])]
    for row in cards:
        cells = ["X" if row == column else codes.get((row, column), "N/A") for column in cards]
        lines.append("".join([f"MLU{row:<5}", *(f"{cell:<8}" for cell in cells), cpus.get(row, "N/A")]))
    legend = [
        "",
        "Legend:",
        "  X    = Self",
        "  MLK  = MLU-Link",
        "  MUL  = Multiple PCIe switches",
        "  CPU  = Same CPU",
        "",
    ]
    return "\n".join([*lines, *legend])


def ports(enabled: int, of: int) -> str:
    """Return the output of ``cnmon mlulink -c N -s``."""
    states = [
        f"    Link {port:<2} Status                 : {'Enable' if port < enabled else 'Disable'}"
        for port in range(of)
    ]
    return "\n".join(["MLULink Status:", *states, ""])


def information(one: Printed, minor: int, *, virtual: bool = False) -> str:
    """Return the driver's file ``information`` of a card."""
    domain, bus, rest = one.bdf.split(":")
    del domain
    return "\n".join(
        [
            f"Device name: {one.name}{'-VF' if virtual else ''}",
            f"Device inode path: /dev/cambricon_dev{minor}",
            "Device Major: 239",
            f"Device Minor: {minor}",
            f"Driver Version: {one.driver}",
            "MCU Version: v1.1.4",
            f"Board Serial Number: SN/{one.serial or '0'}",
            f"MLU Firmware Version: {one.firmware}",
            "Board CV: 1",
            "IPU Freq: 1300MHz",
            "Interrupt Mode: MSIX",
            f"Bus Location: {int(bus, 16):x}_{int(rest[:2], 16):x}_{rest[3:]}",
            "Bus Type: PCIE",
            "LnkSta: Speed 16.0GT/s, Width x16",
            "",
        ]
    )
