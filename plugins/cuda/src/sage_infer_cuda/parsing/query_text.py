"""``nvidia-smi -q``: labels and values, nested by indentation, in one block for each GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from sage_infer_contracts.detecting.text import lines
from sage_infer_contracts.devices import DeviceIds

from .fields import device_of, version
from .labels import LABELS, Path, fields_of, slice_of_labels
from .records import Reading, Slice, distinct, distinct_slices

_GPU = re.compile(r"(\s*)GPU ([0-9A-Fa-f:.]{7,16})", re.ASCII)
_DRIVER = re.compile(r"\s*(?:Driver|KMD) Version\s*:\s*([0-9][0-9.]{1,30})\s*", re.ASCII)
_MIG = "mig device"


@attrs.define(slots=True)
class _Block:
    """One GPU's lines: the first value of each path, and those of each MIG device apart."""

    address: str
    indent: int
    values: dict[Path, str] = attrs.field(factory=dict)
    slices: list[dict[Path, str]] = attrs.field(factory=list)
    _open: list[tuple[int, str]] = attrs.field(factory=list)

    def add(self, line: str) -> None:
        """Take in one line, below the sections that are indented less."""
        text = line.strip()
        label, colon, value = text.partition(" : ")
        if not colon and text.endswith(" :"):
            label, colon = text[:-2], ":"
        indent = len(line) - len(line.lstrip())
        while self._open and self._open[-1][0] >= indent:
            self._open.pop()
        name = " ".join(label.lower().split())
        if not colon:
            self._open.append((indent, name))
            if name == _MIG and len(self._open) == 1:
                self.slices.append({})
            return
        path = (*(section for _, section in self._open), name)
        into, path = (self.slices[-1], path[1:]) if path[0] == _MIG and self.slices else (self.values, path)
        into.setdefault(path, value.strip())


def parse_query_text(text: str) -> Reading:
    """Read GPUs and MIG devices. Labels that are not known, and sections that moved elsewhere, give nothing."""
    whole = [line.expandtabs() for line in lines(text)]
    if not any("NVSMI LOG" in line for line in whole):
        return Reading()
    driver = next((found[1] for line in whole if (found := _DRIVER.fullmatch(line))), None)
    devices, slices = [], []
    for block in _blocks(whole):
        fields = {**fields_of(block.values, LABELS), "driver_version": driver or ""}
        device = device_of({"pci.bus_id": block.address, **fields})
        if device is not None:
            devices.append(device)
            slices += list(_slices(block, device.ids))
    return Reading(devices=distinct(devices), slices=distinct_slices(slices), driver_version=version(driver))


def _slices(block: _Block, parent: DeviceIds) -> Iterator[Slice]:
    for values in block.slices:
        found = slice_of_labels(values, parent)
        if found is not None:
            yield found


def _blocks(whole: list[str]) -> Iterator[_Block]:
    block: _Block | None = None
    for line in whole:
        heading = _GPU.fullmatch(line)
        if heading:
            if block is not None:
                yield block
            block = _Block(address=heading[2], indent=len(heading[1]))
        elif block is not None and line.strip() and len(line) - len(line.lstrip()) > block.indent:
            block.add(line)
    if block is not None:
        yield block
