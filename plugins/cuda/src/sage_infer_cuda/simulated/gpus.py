"""GPUs of generated machines: what every printed form of them is made from."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_OID, uuid5

import attrs

from sage_infer_contracts.devices import DeviceIds


@attrs.frozen(slots=True, kw_only=True)
class Mig:
    """A MIG device."""

    number: int
    gpu_instance: int
    profile: str
    memory_mib: int
    used_mib: int
    processors: int
    compute_instance: int = 0

    def uuid(self, gpu: Gpu) -> str:
        """Return its UUID, the same at each run."""
        return f"MIG-{uuid5(NAMESPACE_OID, f'{gpu.uuid} {self.number}')}"


@attrs.frozen(slots=True, kw_only=True)
class Gpu:
    """A GPU. ``uncorrected`` None: it has no ECC; ``busy_percent`` None: not available, as in MIG mode."""

    index: int
    minor: int
    bdf: str
    name: str = "NVIDIA H200"
    pci_device: str = "2335"
    memory_mib: int = 143771
    used_mib: int = 4321
    busy_percent: int | None = 37
    compute_capability: str = "9.0"
    uncorrected: int | None = 0
    mig: bool | None = False
    migs: tuple[Mig, ...] = ()
    numa_node: int = 0
    remap_failure: bool = False
    cores: int = 16896

    @property
    def uuid(self) -> str:
        """Its UUID, the same at each run."""
        return f"GPU-{uuid5(NAMESPACE_OID, f'{self.bdf} {self.name}')}"

    @property
    def bus_id(self) -> str:
        """Its address as NVIDIA's tools print it: eight digits of domain, capitals."""
        return f"0000{self.bdf}".upper()

    @property
    def mig_mode(self) -> str:
        """The MIG mode as a word."""
        return "[N/A]" if self.mig is None else "Enabled" if self.mig else "Disabled"

    def ids(self, *names: str) -> DeviceIds:
        """Return the identities that sources show which print ``names``."""
        known: dict[str, Any] = {"index": self.index, "minor": self.minor, "uuid": self.uuid, "bdf": self.bdf}
        return DeviceIds(**{name: known[name] for name in names})


def gpus(count: int, *, first_bus: int = 0x18, **facts: Any) -> list[Gpu]:
    """Return like GPUs whose numbers differ: node numbers are swapped in pairs, memory in use is not the same."""
    made = [
        Gpu(
            index=number,
            minor=number ^ 1 if number ^ 1 < count else number + 16,
            bdf=f"0000:{first_bus + 0x10 * (number % 8) + number // 8:02x}:00.0",
            used_mib=4321 + number,
            numa_node=0 if number < (count + 1) // 2 else 1,
        )
        for number in range(count)
    ]
    return [attrs.evolve(one, **facts) for one in made]


H200_SLICES = (
    Mig(number=0, gpu_instance=2, profile="3g.71gb", memory_mib=71424, used_mib=46, processors=60),
    Mig(number=1, gpu_instance=3, profile="2g.35gb", memory_mib=33280, used_mib=17, processors=32),
    Mig(number=2, gpu_instance=9, profile="1g.18gb", memory_mib=16384, used_mib=27, processors=16),
)
"""Sizes of profiles as driver 590 reports them on an H200."""


def divided(**facts: Any) -> Gpu:
    """Return an H200 in MIG mode with three MIG devices."""
    one = gpus(1)[0]
    return attrs.evolve(one, mig=True, migs=H200_SLICES, busy_percent=None, used_mib=90, **facts)
