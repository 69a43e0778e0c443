"""``npu-smi info -t board``: a card or one of its chips: its names, its place on the bus and the id of its die."""

from __future__ import annotations

import re

import attrs

from sage_infer_contracts.detecting.text import pci_address, whole

from .key_values import Fields, answers, first_of_each, given

_DIE = re.compile(r"(?:\w{1,16}, *)?((?:[0-9A-F]{8} ){4}[0-9A-F]{8})", re.ASCII)


@attrs.frozen(slots=True, kw_only=True)
class Board:
    """What ``-t board -i N`` says of a card of ``chips`` chips, or with ``-c C`` of one chip."""

    npu: int | None = None
    chip: int | None = None
    chips: int | None = None
    chip_type: str | None = None
    chip_name: str | None = None
    npu_name: str | None = None
    product: str | None = None
    software_version: str | None = None
    bdf: str | None = None
    pci_device: str | None = None
    die: str | None = None


def parse_boards(text: str) -> tuple[Board, ...]:
    """Read an answer, or several one after the other; those that tell neither of a card nor of a chip are left out."""
    found = (_board(answer) for answer in answers(text))
    return tuple(board for board in found if board is not None)


def _board(answer: Fields) -> Board | None:
    values = first_of_each(answer)
    if not {"npu id", "chip name", "pcie bus info"} & set(values):
        return None
    return Board(
        npu=whole(values.get("npu id")),
        chip=whole(values.get("chip id")),
        chips=whole(values.get("chip count")),
        chip_type=given(values.get("chip type")),
        chip_name=given(values.get("chip name")),
        npu_name=given(values.get("npu name")),
        product=given(values.get("product name")),
        software_version=given(values.get("software version")),
        bdf=pci_address(values.get("pcie bus info")),
        pci_device=_hex(values.get("pci device id")),
        die=_die(next((values[key] for key in ("vdie id", "ddie id", "die id") if key in values), None)),
    )


def _hex(value: str | None) -> str | None:
    digits = (value or "").strip().lower().removeprefix("0x")
    return digits if len(digits) == 4 and all(digit in "0123456789abcdef" for digit in digits) else None


def _die(value: str | None) -> str | None:
    """Return the id burnt into a die, its five words joined; None unless all are there and one is not zero."""
    match = _DIE.fullmatch((value or "").upper())
    return match[1].replace(" ", "-") if match is not None and match[1].strip("0 ") else None
