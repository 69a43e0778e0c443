"""Questions about single NPUs: what the table does not tell, and all there is where the table does not come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import attrs

from sage_infer_contracts.detecting.devices import Device, merged
from sage_infer_contracts.detecting.text import whole

from .asking import Tool
from .chips import needs_board
from .devices import chip_id, is_slice, of_board, of_facts, of_list, same_places
from .parsing.boards import Board, parse_boards
from .parsing.listing import parse_list
from .parsing.usages import parse_chips

Found = TypeVar("Found")
MOST_NPUS = 16
"""NPUs of one machine that are asked about one by one."""


def listed(tool: Tool) -> list[Device]:
    """Return the devices of ``npu-smi info -l``."""
    return of_list(tool.read(_or_none(parse_list), "-l") or ())


def in_detail(tool: Tool, devices: Sequence[Device]) -> list[Device]:
    """Return ``devices``, known by NPU and chip, with memory, load and address of each, asked one by one."""
    found = list(devices)
    for npu in _npus(devices):
        facts = tool.read(_or_none(parse_chips), "-t", "usages", "-i", str(npu))
        if facts is None:
            break  # what one NPU does not answer, none does
        found = merged(found, of_facts(facts, npu))
    for device in list(found)[: 2 * MOST_NPUS]:
        chip = chip_id(device)
        of_chip = ("-c", str(chip)) if chip is not None else ()
        said = tool.read(_or_none(parse_boards), "-t", "board", "-i", str(device.ids.index), *of_chip)
        if said is None:
            break
        found = merged(found, of_board(said[0], device.ids.index))
    return found


def boards(tool: Tool, devices: Sequence[Device]) -> dict[tuple[int, int], Board]:
    """Return boards by NPU and chip: where the name does not tell the chip, and where chips share an address.

    Of the first, one for each NPU: its chips are alike, and those of another NPU may not be.
    """
    shared = same_places(devices)
    wanted: dict[tuple[int, int], str] = {}
    for device in devices:
        npu, chip, name = device.ids.index, chip_id(device) or 0, device.name or ""
        if npu is None or is_slice(device):
            continue
        first = all(npu != other for other, _ in wanted)
        if device.ids.bdf in shared or (first and needs_board(name)):
            wanted[npu, chip] = name
    found: dict[tuple[int, int], Board] = {}
    for (npu, chip), name in list(wanted.items())[: 2 * MOST_NPUS]:
        of_chip = () if "950" in name else ("-c", str(chip))
        said = tool.read(_or_none(parse_boards), "-t", "board", "-i", str(npu), *of_chip, vital=False)
        if said is None:
            break  # what one does not answer, none does
        found[npu, chip] = said[0]
    return found


def recorded_alone(tool: Tool) -> list[Device]:
    """Return devices of a recording that holds nothing but answers about single NPUs.

    Last comes each question without a number: a recording may answer for an NPU of any, and say itself for which.
    """
    found: list[Device] = []
    numbers = [("-i", str(npu)) for npu in range(MOST_NPUS)]
    chips: list[tuple[str, ...]] = [(), ("-c", "0"), ("-c", "1")]
    for of_one in [*(number + chip for number in numbers for chip in chips), ()]:
        for kind in ("usages", "common", "memory", "health", "board"):
            text = tool.peek("-t", kind, *of_one)
            if text is not None:
                more = _read(kind, text, dict(zip(of_one[::2], of_one[1::2], strict=True)))
                tool.ladder.note(" ".join(("npu-smi info -t", kind, *of_one)), "used" if more else "failed")
                for device in more:  # one by one: an answer given twice is about one device
                    found = merged(found, [device], add=True)
    return found


def _read(kind: str, text: str, asked: Mapping[str, str]) -> list[Device]:
    """Return the devices of an answer about the NPU ``asked["-i"]`` and the chip ``asked["-c"]``; either may lack."""
    npu, chip = whole(asked.get("-i")), whole(asked.get("-c"))
    if kind != "board":
        return of_facts(parse_chips(text), npu)
    boards_said = parse_boards(text)
    chips = [one if one.chip is not None else attrs.evolve(one, chip=chip) for one in boards_said]
    return [device for one in chips for device in of_board(one, npu)]


def _npus(devices: Sequence[Device]) -> list[int]:
    numbers = {device.ids.index: None for device in devices if device.ids.index is not None}
    return list(numbers)[:MOST_NPUS]


def _or_none(parse: Callable[[str], tuple[Found, ...]]) -> Callable[[str], tuple[Found, ...] | None]:
    return lambda text: parse(text) or None
