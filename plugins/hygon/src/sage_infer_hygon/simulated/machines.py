"""Machines with DCUs, written from the formats of Hygon's tools and of sysfs; the detector is judged on them.

The formats are those of captures and of Hygon's own parsers, which the README names.
"""

from __future__ import annotations

from collections.abc import Sequence

from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording

from ..asking import EVERYTHING, HEALTH, ROCMINFO, SINGLY
from ..slices import REGISTRY
from ..visible import VISIBLE_VARIABLES
from . import formats, formats_runtime
from .cards import Card


def pci(cards: Sequence[Card]) -> tuple[PciDevice, ...]:
    """Return the cards, and functions of a Hygon processor, which has the same vendor id."""
    processor = (
        PciDevice(bdf="0000:00:00.0", vendor="1d94", device="1450", device_class="060000", numa_node=0),
        PciDevice(bdf="0000:03:00.2", vendor="1d94", device="1468", device_class="108000", numa_node=0),
        PciDevice(bdf="0000:03:00.3", vendor="1d94", device="145f", device_class="0c0330", numa_node=0),
        PciDevice(bdf="0000:02:00.0", vendor="1a03", device="2000", device_class="030000", driver="ast"),
    )
    own = (
        PciDevice(
            bdf=card.bdf,
            vendor="1d94",
            device=card.device_id,
            device_class=card.device_class,
            numa_node=card.numa_node,
            driver="hycu",
        )
        for card in cards
    )
    return tuple(sorted((*processor, *own), key=lambda one: one.bdf))


def machine(
    cards: Sequence[Card],
    *,
    family: formats.Family = formats.NEW,
    program: str = "hy-smi",
    without: Sequence[str] = (),
    driver: str = "6.3.31-V1.5.0a",
    dtk: str = "DTK-26.04-rc4",
    note: str = "generated",
) -> ProbeRecording:
    """Return a recording.

    ``without`` leaves out ``json``, ``table``, ``lines``, ``topology``, ``rocminfo``, ``health`` or ``pci``. What is
    left out is answered as by a release that has no such option; ``pci`` is unknown.
    """
    files: dict[str, str | None] = {
        "/sys/module/hycu/version": f"{driver}\n",
        "/sys/module/hydcu/version": None,
        "/opt/dtk/.dtk_version": f"{dtk}\n",
    }
    folders: dict[str, tuple[str, ...] | None] = {
        f"/sys/bus/pci/devices/{card.bdf}/drm": (f"card{card.render - 127}", f"renderD{card.render}")
        for card in cards
    }
    instances = {
        f"{REGISTRY}/{name}": text for card in cards for name, text in formats_runtime.instances(card).items()
    }
    if instances:
        folders[REGISTRY] = tuple(name.rpartition("/")[2] for name in instances)
    return ProbeRecording(
        pci=None if "pci" in without else pci(cards),
        files={**files, **instances},
        directories=folders,
        environment=dict.fromkeys(VISIBLE_VARIABLES),
        commands=_commands(cards, family, program, without, driver),
        note=note,
    )


def _commands(
    cards: Sequence[Card], family: formats.Family, program: str, without: Sequence[str], driver: str
) -> dict[str, CommandResult]:
    asked: dict[tuple[str, ...], str] = {}
    if "json" not in without:
        asked[EVERYTHING] = formats.json_text(cards, family, driver)
    if "table" not in without:
        asked[()] = formats.table_text(cards, family)
    if "topology" not in without:
        asked[("--showtopo",)] = formats_runtime.topology_text(cards, family)
    if "lines" not in without:
        asked |= {flags: formats.lines_text(cards, family, flags, driver) for flags in SINGLY}
        asked[("--showhw",)] = formats.hardware_text(cards, family)
    if family.health and "health" not in without:
        asked[HEALTH] = formats.health_text(cards, family)
    known = {
        " ".join((program, *flags)): CommandResult(stdout=text, exit_status=0)
        for flags, text in asked.items()
    }
    every = (EVERYTHING, (), ("--showtopo",), ("--showhw",), HEALTH, *SINGLY)
    no_option = {" ".join((program, *flags)): formats.no_such_option(program) for flags in every}
    other = "rocm-smi" if program == "hy-smi" else "hy-smi"
    missing = {" ".join((other, *flags)): CommandResult(missing=True) for flags in every}
    rocminfo = CommandResult(missing=True)
    if "rocminfo" not in without:
        rocminfo = CommandResult(stdout=formats_runtime.rocminfo_text(cards, family), exit_status=0)
    return {**missing, **no_option, **known, " ".join(ROCMINFO): rocminfo}


def ids_of(cards: Sequence[Card], *, rendered: bool = True, by_uuid: bool = True) -> tuple[DeviceIds, ...]:
    """Return the identities that a detector owes, as far as the machine's sources tell them."""
    return tuple(
        DeviceIds(
            index=card.index,
            bdf=card.bdf,
            minor=card.render if rendered else None,
            uuid=card.uuid if by_uuid else None,
        )
        for card in cards
    )
