"""``nvidia-smi nvlink -s``: the state and rate of each NVLink of each GPU, one direction."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import lines

from .listing import listed_gpu

_LINK = re.compile(
    r"\s*Link\s+([0-9]{1,2}):\s+(?:([0-9]{1,5}(?:\.[0-9]{1,4})?)\s+GB/s|<?inactive>?)", re.ASCII
)


@attrs.frozen(slots=True)
class NvLinks:
    """One GPU's NVLinks: GB/s by number, None where inactive."""

    device: Device
    rates_gbps: Mapping[int, float | None]

    @property
    def each_gbps(self) -> float | None:
        """The rate of one link, if all that are active have the same."""
        rates = {rate for rate in self.rates_gbps.values() if rate}
        return rates.pop() if len(rates) == 1 else None

    @property
    def total_gbps(self) -> float | None:
        """The rates of all active links together."""
        return round(sum(rate for rate in self.rates_gbps.values() if rate), 3) or None

    @property
    def active(self) -> int:
        """How many links are active."""
        return sum(1 for rate in self.rates_gbps.values() if rate)


def parse_nvlink(text: str) -> tuple[NvLinks, ...]:
    """Read each GPU with its links; a GPU whose links cannot be queried has none."""
    found: list[tuple[Device, dict[int, float | None]]] = []
    for line in lines(text):
        device = listed_gpu(line)
        link = _LINK.fullmatch(line)
        if device is not None:
            found.append((device, {}))
        elif link and found:
            found[-1][1].setdefault(int(link[1]), float(link[2]) if link[2] else None)
    seen: dict[object, NvLinks] = {}
    for device, rates in found:
        seen.setdefault((device.ids.uuid, device.ids.index), NvLinks(device, rates))
    return tuple(seen.values())
