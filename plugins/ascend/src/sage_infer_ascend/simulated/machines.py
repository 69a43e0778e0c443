"""Recordings of machines with Ascend NPUs of every family, written from the formats, to judge the detector on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording

from ..gate import DRIVER_FILE, PCI_VENDOR
from ..visible import VARIABLE
from . import formats
from .formats import Family, Npu

PCI_DEVICES: dict[Family, str] = {"310P": "d500", "910A": "d801", "A2": "d802", "A3": "d803", "A5": "d806"}
"""What lspci shows of the families, in Huawei's and Paddle's installation guides."""
_BUSES = (0xC1, 0x01, 0xC2, 0x02, 0x81, 0x41, 0x82, 0x42)
Kinds = Sequence[Sequence[str]]


def bridges(*more: PciDevice) -> tuple[PciDevice, ...]:
    """Return what the bus of Huawei's servers shows besides displays and accelerators."""
    return _with(more, ("0000:03:00.0", "a120", "060400"), ("0000:7d:00.0", "a222", "020000"))


def kunpeng(*more: PciDevice) -> tuple[PciDevice, ...]:
    """Return what the bus of a Kunpeng server shows besides accelerators, the board controller's display among it."""
    return _with(bridges(*more), ("0000:06:00.0", "1711", "030000"))


COMPRESSION_ENGINE = PciDevice(bdf="0000:75:00.0", vendor=PCI_VENDOR, device="a250", device_class="120000")
"""A part of Kunpeng processors of the class that NPUs are of; the kit, which goes by class, would take it for one."""


def _with(others: Sequence[PciDevice], *own: tuple[str, str, str]) -> tuple[PciDevice, ...]:
    listed = [
        PciDevice(bdf=bdf, vendor=PCI_VENDOR, device=device, device_class=kind) for bdf, device, kind in own
    ]
    return tuple(sorted((*listed, *others), key=lambda one: one.bdf))


def cards_of(family: Family, npus: Sequence[Npu]) -> tuple[PciDevice, ...]:
    """Return the PCI functions of ``npus``, half of them on NUMA node 0."""
    buses = sorted({one.bus for one in npus if one.bus is not None})
    return tuple(
        PciDevice(
            bdf=f"0000:{bus:02x}:00.0",
            vendor=PCI_VENDOR,
            device=PCI_DEVICES[family],
            device_class="120000",
            numa_node=0 if bus < 0x80 else 1,
            driver="devdrv_device_driver",
        )
        for bus in buses
    )


@attrs.frozen(slots=True, kw_only=True)
class Host:
    """A machine: NPUs of one family, and what its tool answers. ``kinds`` is the matrix of links; None: none."""

    family: Family
    npus: tuple[Npu, ...]
    kinds: Kinds | None = None
    cpus: tuple[str, ...] = ()
    version: str = "25.5.1"
    extra: int = 0
    mcu: bool = False
    noise: str = ""
    nodes: tuple[int, ...] | None = None
    boards: bool = False

    def recording(self, note: str = "generated", **replaced: CommandResult) -> ProbeRecording:
        """Return the machine; ``replaced`` are outcomes of ``info``, ``map``, ``topo`` in place of its own."""
        # Where the bus shows another display or accelerator, the kit expects no device that is not on it.
        pci = bridges() if self.family == "A5_UB" else kunpeng(*cards_of(self.family, self.npus))
        nodes = self.nodes if self.nodes is not None else tuple(one.physical for one in self.npus)
        commands = {f"npu-smi info{key}": _said(text) for key, text in self._texts().items()}
        names = {"info": "npu-smi info", "map": "npu-smi info -m", "topo": "npu-smi info -t topo"}
        commands.update({names[name]: result for name, result in replaced.items()})
        return ProbeRecording(
            pci=pci,
            files={DRIVER_FILE: f"Version={self.version}\nascendhal_version=7.35.23\n"},
            directories={
                "/dev": ("davinci_manager", "devmm_svm", "hisi_hdc", *(f"davinci{node}" for node in nodes))
            },
            environment={VARIABLE: None},
            commands=commands,
            note=note,
        )

    def _texts(self) -> Mapping[str, str]:
        matrix = (
            formats.topology(self.family, self.npus, self.kinds, self.cpus)
            if self.kinds is not None
            else "This device does not support querying topo.\n"
        )
        texts = {
            "": self.noise + formats.info(self.family, self.npus, self.version, extra=self.extra),
            " -m": formats.mapping(self.family, self.npus, mcu=self.mcu),
            " -t topo": matrix,
        }
        for one in self.npus if self.boards else ():
            if one.chip == 0 or self.family == "310P":
                of_chip = "" if self.family.startswith("A5") else f" -c {one.chip}"
                texts[f" -t board -i {one.npu}{of_chip}"] = formats.board(self.family, one, self.version)
        return texts


def all_to_all(number: int, kind: Callable[[int, int], str] | str) -> Kinds:
    """Return a matrix of links, each of ``kind``."""
    return [[kind if isinstance(kind, str) else kind(i, j) for j in range(number)] for i in range(number)]


def a2(number: int = 8, **more: Any) -> Host:
    """An Atlas 800 of A2: 910B3, all joined by HCCS, two NPUs near each NUMA node."""
    npus = tuple(
        Npu(npu=at, logic=at, physical=at, bus=_BUSES[at], used_mib=3410 + at, power_w=90.4 + at)
        for at in range(number)
    )
    cpus = tuple(f"{48 * (at // 2)}-{48 * (at // 2) + 23}" for at in range(number))
    return attrs.evolve(
        Host(family="A2", npus=npus, kinds=all_to_all(number, "HCCS"), cpus=cpus, mcu=True), **more
    )


def a3(number: int = 8, **more: Any) -> Host:
    """An Atlas 800 of A3: two dies on each NPU, joined by SIO, and NPUs by a switch."""
    npus = tuple(
        Npu(
            npu=die // 2,
            chip=die % 2,
            logic=die,
            physical=die,
            bus=0x9D - 4 * (die // 2) + 2 * (die % 2),
            name="Ascend910",
            npu_name="9392",
            used_mib=3412 - die,
        )
        for die in range(2 * number)
    )
    kinds = all_to_all(len(npus), lambda i, j: "SIO" if i // 2 == j // 2 else "HCCS_SW")
    return attrs.evolve(Host(family="A3", npus=npus, kinds=kinds, mcu=True, boards=True), **more)


def a5(number: int = 8, *, on_pci: bool = True, **more: Any) -> Host:
    """A machine of A5, on PCI or on the unified bus."""
    npus = tuple(
        Npu(
            npu=at,
            logic=at,
            physical=at,
            bus=_BUSES[at] if on_pci else None,
            name="Ascend950PR",
            npu_name="9579",
            total_mib=114688,
        )
        for at in range(number)
    )
    family: Family = "A5" if on_pci else "A5_UB"
    return attrs.evolve(Host(family=family, npus=npus, version="25.7.rc1", boards=True), **more)


def a1(number: int = 8, **more: Any) -> Host:
    """An Atlas 800 of the first generation: 910A, with DDR besides HBM."""
    npus = tuple(
        Npu(
            npu=at,
            logic=at,
            physical=at,
            bus=_BUSES[at],
            name="910A",
            total_mib=32768,
            pages=(1232, 1232),
            health="Warning" if at == 3 else "OK",
        )
        for at in range(number)
    )
    return attrs.evolve(Host(family="910A", npus=npus, version="23.0.rc1", mcu=True), **more)


def p310(number: int = 2, first: int = 4, per_card: int = 1, **more: Any) -> Host:
    """Atlas 300I cards of 310P3, whose NPU ids do not begin at 0; a Duo has two chips at one PCI address."""
    npus = tuple(
        Npu(
            npu=first + at // per_card,
            chip=at % per_card,
            logic=at,
            physical=at,
            bus=0x81 + 4 * (at // per_card),
            name="310P3",
            total_mib=21525,
            used_mib=1848 + at,
        )
        for at in range(number)
    )
    return attrs.evolve(Host(family="310P", npus=npus, mcu=True, boards=per_card > 1), **more)


def _said(text: str) -> CommandResult:
    return CommandResult(stdout=text, exit_status=0)
