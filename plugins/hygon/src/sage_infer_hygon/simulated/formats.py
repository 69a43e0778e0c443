"""The formats in which ``hy-smi`` prints, written anew: one function for each, for every generation of the tool."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from sage_infer_contracts.probe import CommandResult

from .cards import Card


@attrs.frozen(slots=True)
class Family:
    """A generation of the tool: what it calls a card, its table's titles, and how it writes the rest."""

    label: Literal["HCU", "DCU", "GPU"]
    titles: tuple[str, ...]
    width: int
    vendor: str = "C-3000 IC Design Co., Ltd."
    unit: Literal["MiB", "B"] = "MiB"
    commas: bool = True
    serials: bool = False
    health: bool = False


NEW = Family(
    "HCU",
    ("Temp", "AvgPwr", "Perf", "PwrCap", "VRAM%", "HCU%", "Dec%", "Enc%", "Mode"),
    96,
    serials=True,
    health=True,
)
"""DTK 26.04: loads of decoders and encoders, serial numbers behind addresses."""
NEW_WITHOUT_COMMAS = attrs.evolve(NEW, commas=False)
"""The same, with the commas that some releases leave out of their JSON."""
K100_ERA = Family(
    "HCU",
    ("Temp", "AvgPwr", "Perf", "PwrCap", "VRAM%", "HCU%", "Mode"),
    86,
    vendor="Chengdu Haiguang IC Design Co., Ltd.",
)
"""DTK 24.04 and 25.04."""
Z100_ERA = Family(
    "DCU",
    ("Temp", "AvgPwr", "Fan", "Perf", "PwrCap", "VRAM%", "DCU%"),
    80,
    vendor="Chengdu Haiguang IC Design Co., Ltd.",
)
ROCM_ERA = Family(
    "GPU",
    ("Temp", "AvgPwr", "SCLK", "MCLK", "Fan", "Perf", "PwrCap", "VRAM%", "GPU%"),
    80,
    vendor="Chengdu Haiguang IC Design Co., Ltd.",
    unit="B",
)
"""Made from ROCm 4: cards are called GPU, memory is in bytes."""


def framed(family: Family, lines: Sequence[str]) -> str:
    """Return ``lines`` between the rules and the titles that every output has."""
    rule = "=" * family.width
    head, foot = " System Management Interface ", " End of SMI Log "
    return "\n".join(
        ["", head.center(family.width, "="), rule, *lines, rule, foot.center(family.width, "="), ""]
    )


def table_text(cards: Sequence[Card], family: Family) -> str:
    """Return what the tool prints when it is asked for nothing."""
    titles = (family.label, *family.titles)
    rows = [titles, *((str(card.index), *(card.cells[title] for title in family.titles)) for card in cards)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    return framed(
        family,
        ["     ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows],
    )


def hardware_text(cards: Sequence[Card], family: Family) -> str:
    """Return what ``--showhw`` prints."""
    titles = (family.label, "DID", "GFX RAS", "SDMA RAS", "UMC RAS", "VBIOS", "BUS")
    rows = [titles] + [
        (
            str(card.index),
            card.device_id,
            "DISABLED",
            "DISABLED",
            "ENABLED",
            "113-D1631400-X11",
            card.bdf.upper(),
        )
        for card in cards
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    return framed(
        family,
        ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows],
    )


def values_of(card: Card, family: Family) -> dict[str, str]:
    """Return what the options print of a card, by its names."""
    scale = 2**20 if family.unit == "B" else 1
    bus = card.bdf.upper() if family.label == "GPU" else card.bdf
    return {
        "Device ID": f"0x{card.device_id}",
        "Card Series": card.series,
        "Card Vendor": family.vendor,
        "Unique ID": card.unique_id,
        "PCI Bus": f"{bus} --> SN: 01-000206-07SCC{card.index} --> OAM ID: {card.index}"
        if family.serials
        else bus,
        f"{family.label} use (%)": f"{card.use_percent}",
        "Temperature (Sensor edge) (C)": f"{card.temperature - 2}",
        "Temperature (Sensor junction) (C)": f"{card.temperature}",
        "Average Graphics Package Power (W)": f"{card.power}",
        f"vram Total Memory ({family.unit})": f"{card.memory_mib * scale}",
        f"vram Total Used Memory ({family.unit})": f"{card.used_mib * scale}",
    }


_OF_OPTION: Mapping[str, tuple[str, ...]] = {
    "--showid": ("Device ID",),
    "--showbus": ("PCI Bus",),
    "--showproductname": ("Card Series", "Card Vendor"),
    "--showuniqueid": ("Unique ID",),
    "--showmeminfo": ("vram Total Memory", "vram Total Used Memory"),
}


def lines_text(cards: Sequence[Card], family: Family, flags: Sequence[str], driver: str) -> str:
    """Return what the tool prints for one option, a value of a card on each line."""
    if flags[0] == "--showdriverversion":
        return framed(family, [f"Driver Version: {driver}"])
    names = _OF_OPTION[flags[0]]
    return framed(
        family,
        [
            f"{family.label}[{card.index}]\t\t: {key}: {value}"
            for card in cards
            for key, value in values_of(card, family).items()
            if key.partition(" (")[0] in names
        ],
    )


def health_text(cards: Sequence[Card], family: Family) -> str:
    """Return what ``--healthcheck`` prints."""
    lines = [f"{family.label}[{card.index}] : Bus Id : {card.bdf} : {card.health}" for card in cards]
    return framed(family, lines)


def csv_text(cards: Sequence[Card], family: Family) -> str:
    """Return what ``--csv`` prints: the names of the values, then a line for each card, with quotes where needed."""
    out = io.StringIO()
    table = [{"device": f"card{card.index}", **values_of(card, family)} for card in cards]
    writer = csv.DictWriter(out, table[0] if table else ["device"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue() + "\n"


def json_text(cards: Sequence[Card], family: Family, driver: str) -> str:
    """Return what ``--json`` prints, on one line; the empty key comes from a blank line of the text form."""
    objects = {f"card{card.index}": {**values_of(card, family), "": ""} for card in cards}
    text = json.dumps({**objects, "system": {"Driver version": driver}})
    # A release without commas leaves out those between the values of a card, not those between cards.
    return (text if family.commas else text.replace('", "', '""')) + "\n"


def no_such_option(program: str) -> CommandResult:
    """Return what a release says that does not have an option."""
    usage = f"usage: {program} [-h] [--showid] ...\n{program}: error: unrecognized arguments\n"
    return CommandResult(stderr=usage, exit_status=2)
