"""The vendor's list of chips; every number in ``chips.json`` has its source there."""

from __future__ import annotations

from importlib.resources import files

from sage_infer_contracts.detecting.chips import Chips, read_chips

CHIPS: Chips = read_chips(files(__package__) / "chips.json")


def chip_names(*prefixes: str) -> tuple[str, ...]:
    """Return the names of the chips that begin with one of ``prefixes``, for refusals that hold for a family."""
    return tuple(chip.name for chip in CHIPS.chips if chip.name.startswith(prefixes))
