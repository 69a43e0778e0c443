"""The list of chips, ``chips.json``, and which of them it is that ``npu-smi`` names.

A system-on-chip's name, as toolkits and builds of engines know it, follows from what the tool prints of a board by the
rules of vllm-project/vllm-ascend@182b75e:setup.py, get_chip_type().
"""

from __future__ import annotations

import re
from importlib.resources import files

from sage_infer_contracts.detecting.chips import ChipSpec, read_chips

from .parsing.boards import Board

CHIPS = read_chips(files(__package__) / "chips.json")
_SAME_AS = {"a2g3": "ascend910b1"}
"""Names that one edition of the tool prints, and what they stand for."""
_TOLD = re.compile(r"(?:ascend[ _]?)?(?:310(?:b\S*)?|minid|910(?:a|proa|prob|premiuma))", re.IGNORECASE)
"""Names of other chips that tell them, though no toolkit's name follows from them."""
_NAMED = re.compile(r"(?:ascend[ _]?)?(910b[0-9]\S*|310p[0-9]\S*|910_93[0-9]{2})", re.IGNORECASE)


def chip_of(name: str | None, soc: str | None = None, pci_device: str | None = None) -> ChipSpec | None:
    """Return the chip with this name of the system-on-chip or of the device, or else with this PCI device id."""
    exact = soc or soc_of_name(name)
    return (CHIPS.find(exact) if exact else None) or CHIPS.find(name, pci_device)


def soc_of(board: Board) -> str | None:
    """Return e.g. ``ascend310p3``, ``ascend910b1``, ``ascend910_9391``, ``ascend950_...``; None if it is not told.

    A3 and A5 print no type of chip, and tell chips apart by the name of the NPU.
    """
    name = (board.chip_name or "").lower().replace(" ", "")
    if not name or name in _SAME_AS:
        return _SAME_AS.get(name)
    if "950" in name or ("910" in name and board.chip_type is None):
        return f"{_prefixed(name)}_{board.npu_name.lower()}" if board.npu_name else None
    if "910" in name or "310" in name:
        return f"{(board.chip_type or 'ascend').lower()}{name.removeprefix('ascend')}"
    return None


def soc_of_name(name: str | None) -> str | None:
    """Return the name where the device's own name is enough: 910B and 310P with their numbers."""
    said = (name or "").strip()
    match = _NAMED.fullmatch(said)
    return f"ascend{match[1].lower()}" if match else _SAME_AS.get(said.lower())


def needs_board(name: str | None) -> bool:
    """Say whether only the board tells which chip it is: ``Ascend910`` is any A3, and some names are masked."""
    return soc_of_name(name) is None and not _TOLD.fullmatch((name or "").strip())


def _prefixed(name: str) -> str:
    return name if name.startswith("ascend") else f"ascend{name}"
