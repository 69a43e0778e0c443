"""How GPUs reach each other: the tool's matrix or NVML's answers, as links between the devices that are reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.devices import Figure, LinkProfile

from .merging import identity
from .parsing.nvlink import NvLinks
from .parsing.nvml import LibraryReading, nvlink_pairs
from .parsing.topology import Topology

Pair = tuple[int, int]


def links_by_tool(
    devices: Sequence[Device], topology: Topology, nvlinks: Iterable[NvLinks]
) -> list[LinkProfile]:
    """Return each pair of the matrix once, under the tool's own word. NVn has a rate where ``nvlink -s`` tells it."""
    rates = {one.device.ids.index: one.each_gbps for one in nvlinks}
    found = []
    for (one, other), kind in sorted(topology.links.items()):
        each = {rates.get(one), rates.get(other)}
        rate = each.pop() if len(each) == 1 else None
        figure = None
        if kind.startswith("NV") and rate is not None:
            figure = _rate(int(kind[2:]), rate, "nvidia-smi nvlink -s")
        found.append((one, other, kind, figure))
    return _profiles(devices, found)


def links_by_library(devices: Sequence[Device], library: LibraryReading) -> list[LinkProfile]:
    """Return each pair once: NVLinks where there are any, else the common ancestor in the words of ``topo -m``."""
    nvlinks = nvlink_pairs(library)
    found = []
    for pair in sorted({*library.paths, *nvlinks}):
        number, rate = nvlinks.get(pair, (0, None))
        kind = f"NV{number}" if number else library.paths[pair]
        found.append((*pair, kind, _rate(number, rate, "NVML") if number and rate is not None else None))
    return _profiles(devices, found)


def _rate(links: int, each_gbps: float, source: str) -> Figure:
    value = round(links * each_gbps, 3)
    return Figure(
        value=value, unit="GB/s", source=f"{source}: {links} links of {each_gbps:g} GB/s, one direction"
    )


def _profiles(
    devices: Sequence[Device], found: Iterable[tuple[int, int, str, Figure | None]]
) -> list[LinkProfile]:
    names = _names(devices)
    return [
        LinkProfile(source=names[one], destination=names[other], kind=kind, bandwidth=figure)
        for one, other, kind, figure in found
        if one in names and other in names and names[one] != names[other]
    ]


def _names(devices: Sequence[Device]) -> Mapping[int, str]:
    """Return what stands for each GPU, by its number in the tool."""
    gpus = [one for one in devices if one.key is None]
    names = {one.ids.index: identity(one, gpus) for one in gpus}
    return {number: name for number, name in names.items() if number is not None and name is not None}
