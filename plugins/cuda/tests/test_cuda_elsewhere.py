"""GPUs that PCI does not show, GPUs that are a part of one, and GPUs on the bus that are another container's."""

from __future__ import annotations

import attrs
import pytest

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording
from sage_infer_cuda.asking import CSV, LIST, TABLE, TEXT, TOOL, TOPOLOGY
from sage_infer_cuda.detector import CudaDetector
from sage_infer_cuda.given import GIVEN, NODES
from sage_infer_cuda.parsing.proc import ROOT
from sage_infer_cuda.platforms import DEVICE_TREE, JETSON_RELEASE, WSL_LIBRARIES, WSL_TOOL
from sage_infer_cuda.simulated.formats import csv_text, list_text, table_text, topology_text
from sage_infer_cuda.simulated.formats_query import proc_files
from sage_infer_cuda.simulated.gpus import Gpu, divided, gpus
from sage_infer_cuda.simulated.machines import machine, pci

BRIDGE = PciDevice(bdf="0004:00:00.0", vendor="10de", device="229c", device_class="060400")
PARAVIRTUAL = PciDevice(
    bdf="2c51:00:00.0", vendor="1414", device="008e", device_class="030200", driver="dxgkrnl"
)
MISSING = CommandResult(missing=True)
TREE = "nvidia,p3737-0000+p3701-0000\0nvidia,p3701-0000\0nvidia,tegra234\0"


def detect(recording: ProbeRecording) -> DetectionReport:
    return CudaDetector().detect(recording.replay())


def alone(answers: dict[tuple[str, ...], str], tool: str = TOOL, **facts: object) -> ProbeRecording:
    """Return a machine on which the forms in ``answers`` are all that the tool can print."""
    commands = {
        **dict.fromkeys(machine([]).commands, MISSING),
        **{
            " ".join((tool, *arguments)): CommandResult(stdout=text, exit_status=0)
            for arguments, text in answers.items()
        },
    }
    return machine([]).model_copy(update={"commands": commands, **facts})


ORIN = attrs.evolve(
    gpus(1)[0], name="Orin (nvgpu)", memory_mib=0, mig=None, uncorrected=None, busy_percent=None
)


def orin_table() -> str:
    bus, memory = f"{ORIN.bus_id} Off", f"{ORIN.used_mib}MiB / 0MiB"
    text = table_text([ORIN], driver="540.4.0")
    return text.replace(bus, "N/A".ljust(len(bus) - 4) + " N/A").replace(
        memory, "Not Supported".rjust(len(memory))
    )


@pytest.mark.parametrize("file", [{DEVICE_TREE: TREE}, {JETSON_RELEASE: "# R36 (release), REVISION: 4.4\n"}])
def test_a_jetson_has_no_gpu(file: dict[str, str]) -> None:
    report = detect(alone({TABLE: orin_table()}, pci=(BRIDGE,), files=file))
    assert (report.state, report.reason) == ("present", None)
    (gpu,) = report.accelerators
    assert (gpu.name, gpu.ids.index, gpu.ids.bdf, gpu.memory_total_bytes) == ("Orin (nvgpu)", 0, None, None)
    older = detect(alone({}, pci=(BRIDGE,), files=file))
    assert (older.state, older.accelerators) == ("unreadable", ())
    assert "system-on-chip (Jetson) and not on PCI" in (older.reason or "")


def test_a_table_without_addresses_is_one_of_a_jetson_only_if_it_says_nvgpu() -> None:
    report = detect(
        alone({TABLE: orin_table().replace("(nvgpu)", "GPU    ")}, pci=(BRIDGE,), files={DEVICE_TREE: TREE})
    )
    assert report.accelerators == ()


def test_the_gpu_around_a_wsl_is_absent() -> None:
    card = attrs.evolve(
        gpus(1)[0], name="NVIDIA GeForce RTX 4090", memory_mib=24564, mig=None, uncorrected=None
    )
    windows = {WSL_LIBRARIES: ("libcuda.so.1", "libdxcore.so", "libnvidia-ml.so.1", "nvidia-smi")}
    for tool in (TOOL, WSL_TOOL):
        report = detect(alone({CSV: csv_text([card])}, tool, pci=(PARAVIRTUAL,), directories=windows))
        assert (report.state, report.reason) == ("present", None), tool
        (gpu,) = report.accelerators
        assert (gpu.name, gpu.ids.uuid, gpu.ids.bdf) == (card.name, card.uuid, card.bdf)
    broken = detect(alone({}, pci=(PARAVIRTUAL,), directories=windows))
    assert broken.state == "unreadable"
    assert "this is WSL" in (broken.reason or "")


def test_a_wsl_without_nvidias_driver_is_asked() -> None:
    folders = {
        WSL_LIBRARIES: ("libd3d12.so", "libdxcore.so"),
        "/usr/lib/wsl/drivers": ("u0390451.inf", "nvhda.inf"),
    }
    report = detect(alone({CSV: csv_text(gpus(1))}, pci=(PARAVIRTUAL,), directories=folders))
    assert (report.state, report.accelerators) == ("absent", ())


@pytest.mark.parametrize(
    "name", ["GRID T4-4C", "GRID V100D-8C", "NVIDIA A40-48Q", "NVIDIA A100-1-5CME", "NVIDIA L40S-8Q"]
)
def test_a_vgpu_is_a_whole_gpu(name: str) -> None:
    guest: Gpu = attrs.evolve(gpus(1)[0], name=name, memory_mib=8192, pci_device="2330", mig=None)
    (gpu,) = detect(machine([guest], "csv")).accelerators
    assert (gpu.slice_of, gpu.chip, gpu.memory_total_bytes) == (guest.uuid, None, 8192 * 2**20)
    assert not any(key.startswith("spec_") for key, _ in gpu.figures)


@pytest.mark.parametrize(
    "name",
    ["NVIDIA A100-SXM4-80GB", "Tesla V100-PCIE-32GB", "GRID K520", "NVIDIA H100 80GB HBM3", "NVIDIA B200"],
)
def test_a_board_is_a_vgpu(name: str) -> None:
    (gpu,) = detect(machine([attrs.evolve(gpus(1)[0], name=name)], "csv")).accelerators
    assert gpu.slice_of is None


EIGHT = gpus(8)


def in_container(shown: list[Gpu], nodes: tuple[str, ...] | None, value: str | None) -> DetectionReport:
    """Return what a container sees that has the host's bus and /proc, and some GPUs."""
    recording = machine(shown, "csv", "topology", "list", "xml")
    folders = {f"{ROOT}/gpus": tuple(gpu.bdf for gpu in EIGHT), **({} if nodes is None else {NODES: nodes})}
    return detect(
        recording.model_copy(
            update={
                "pci": pci(EIGHT),
                "files": proc_files(EIGHT),
                "directories": folders,
                "environment": {**recording.environment, GIVEN: value},
            }
        )
    )


def test_gpus_of_other_containers_are_lost_or_this_ones() -> None:
    two = EIGHT[2:4]
    nodes = ("null", "nvidiactl", *(f"nvidia{gpu.minor}" for gpu in two))
    for report in (
        in_container(two, nodes, "void"),
        in_container(two, None, ",".join(gpu.uuid for gpu in two)),
    ):
        assert (report.state, report.reason, len(report.accelerators)) == ("present", None, 2)
    host = tuple(f"nvidia{gpu.minor}" for gpu in EIGHT)
    report = in_container(EIGHT[:7], host, None)
    assert report.state == "partial"
    assert f"{EIGHT[7].bdf}: the driver lists it, and no other source shows it" in (report.reason or "")


def test_a_container_with_a_mig_device_misses_the_other_gpus() -> None:
    one = divided()
    given = attrs.evolve(one, migs=one.migs[1:2])
    report = in_container([given], None, given.migs[0].uuid(given))
    assert (report.state, report.reason, len(report.accelerators)) == ("present", None, 2)
    assert in_container([given], None, "0,1").state == "partial"


def test_a_matrix_in_other_words_shows_gpus() -> None:
    two = gpus(2)
    nvidia = detect(
        ProbeRecording(
            commands={" ".join((TOOL, *TOPOLOGY)): CommandResult(stdout=topology_text(two, "NV6"))}
        )
    )
    assert [(link.source, link.destination, link.kind) for link in nvidia.links] == [("GPU0", "GPU1", "NV6")]
    other = topology_text(two, "MX")
    report = detect(ProbeRecording(commands={" ".join((TOOL, *TOPOLOGY)): CommandResult(stdout=other)}))
    assert report.accelerators == ()


def test_masked_uuids_hide_gpus_and_mig_devices() -> None:
    gpu = divided()
    text = list_text([gpu, gpus(2)[1]])
    for one in (gpu.uuid, gpus(2)[1].uuid, *(part.uuid(gpu) for part in gpu.migs)):
        text = text.replace(one, f"{one[:8]}-xxxx-****")
    report = detect(ProbeRecording(commands={" ".join((TOOL, *LIST)): CommandResult(stdout=text)}))
    assert [one.slice_of for one in report.accelerators] == [None, "GPU0", "GPU0", "GPU0", None]
    assert {one.ids.uuid for one in report.accelerators} == {None}


@pytest.mark.parametrize(
    "name", ["MetaX C500", "Iluvatar BI-V150", "P800 OAM", "BW200, UBB BW1000", "PPU-ZW810E", "GPU", "MXC500"]
)
def test_anothers_device_that_a_tool_of_nvidias_name_shows_is_nvidias(name: str) -> None:
    """Beside an NVIDIA card too, which such a tool could be taken to show."""
    foreign = attrs.evolve(gpus(1)[0], name=name)
    for recording in (
        ProbeRecording(commands={" ".join((TOOL, *LIST)): CommandResult(stdout=list_text([foreign]))}),
        alone({LIST: list_text([foreign])}, pci=pci(gpus(1))),
        alone(
            {LIST: list_text([foreign])},
            pci=(PARAVIRTUAL,),
            directories={WSL_LIBRARIES: ("libnvidia-ml.so.1",)},
        ),
    ):
        assert detect(recording).accelerators == ()


def test_part_of_a_query_names_no_gpu() -> None:
    text = (
        "==============NVSMI LOG==============\nAttached GPUs                   : 1\nGPU 00000001:04:00.0\n"
    )
    memory = "    FB Memory Usage\n        Total                             : 97887 MiB\n"
    (gpu,) = detect(
        ProbeRecording(commands={" ".join((TOOL, *TEXT)): CommandResult(stdout=text + memory)})
    ).accelerators
    assert (gpu.ids.bdf, gpu.memory_total_bytes) == ("0001:04:00.0", 97887 * 2**20)
