"""Public captures of nvidia-smi, read to values that were written down by hand. Skipped where they are not there."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_cuda.asking import CSV, LIST, NVLINK, TABLE, TEXT, TOOL, TOPOLOGY, XML
from sage_infer_cuda.detector import CudaDetector

FOLDER = Path(
    os.environ.get(
        "SAGE_INFER_HW_SAMPLES", Path(__file__).parents[3] / ".." / "shared" / "data" / "hw_samples"
    )
)
COMMANDS = {
    "L": LIST, "q_idle": TEXT, "table_idle": TABLE, "table_load": TABLE, "topo_m": TOPOLOGY, "nvlink_s": NVLINK,
    "query_gpu_csv_idle": CSV, "q_x": XML,
}  # fmt: skip
MASKED = "GPU-00000000-0000-0000-0000-000000000000"


@attrs.frozen(kw_only=True)
class Row:
    """What one device of a capture must be read as; memory in MiB as the tool prints it."""

    name: str
    total: int | None = None
    used: int | None = None
    busy: float | None = None
    index: int | None = None
    minor: int | None = None
    uuid: str | None = None
    bdf: str | None = None
    units: int | None = None
    numa: int | None = None
    driver: str | None = None
    slice_of: str | None = None
    health: str = "unknown"
    chip: str | None = None


def _h200_slices(used: tuple[int, ...], **facts: object) -> list[Row]:
    sizes, units = (71424, 71424, 33280, 16384, 16384), (16, 32, 32, 16, 16)
    return [
        Row(
            name="NVIDIA H200 MIG",
            total=total,
            used=mib,
            units=sm,
            bdf="0000:83:00.0",
            driver="590.48.01",
            **facts,
        )  # type: ignore[arg-type]
        for total, mib, sm in zip(sizes, used, units, strict=True)
    ]


def _listed_slices(name: str, *profiles: str) -> list[Row]:
    return [
        Row(
            name=f"{name} MIG {profile}",
            uuid=f"MIG-0000000{n}-0000-0000-0000-00000000000{n}",
            slice_of=MASKED,
        )
        for n, profile in enumerate(profiles)
    ]


H200_XML = {
    "name": "NVIDIA H200",
    "total": 143771,
    "driver": "590.48.01",
    "bdf": "0000:83:00.0",
    "chip": "H200-SXM",
}
EXPECTED: dict[str, list[Row]] = {
    "geforce-rtx-2080-super_drv610.57.04__query_gpu_csv_idle": [
        Row(name="NVIDIA GeForce RTX 2080 SUPER", total=8192, used=211, busy=0, index=0, uuid=MASKED,
            bdf="0000:0c:00.0", driver="610.57.04", health="ok")],
    "geforce-rtx-4080-super_drv595.71.05__L": [
        Row(name="NVIDIA GeForce RTX 4080 SUPER", index=0, uuid=MASKED)],
    "geforce-rtx-4080-super_drv595.71.05__q_idle": [
        Row(name="NVIDIA GeForce RTX 4080 SUPER", total=16376, used=596, busy=0, minor=0, uuid=MASKED,
            bdf="0000:01:00.0", driver="595.71.05", health="ok")],
    "geforce-rtx-4080-super_drv595.71.05__table_idle": [
        Row(name="NVIDIA GeForce RTX 4080 ...", total=16376, used=596, busy=0, index=0, bdf="0000:01:00.0",
            driver="595.71.05")],
    "geforce-rtx-4080-super_drv595.71.05__topo_m": [Row(name="unknown", index=0, numa=0)],
    "h100-80gb-hbm3_drv590.48.01__L": [
        Row(name="NVIDIA H100 80GB HBM3", index=0, uuid=MASKED, chip="H100-SXM5-80GB")],
    "h100-80gb-hbm3_drv590.48.01__nvlink_s": [
        Row(name="NVIDIA H100 80GB HBM3", index=0, uuid=MASKED, chip="H100-SXM5-80GB")],
    "h100-80gb-hbm3_drv590.48.01__q_idle": [
        Row(name="NVIDIA H100 80GB HBM3", total=81559, used=0, busy=0, minor=0, uuid=MASKED, bdf="0000:00:09.0",
            driver="590.48.01", health="ok", chip="H100-SXM5-80GB")],
    "h100-80gb-hbm3_drv590.48.01__query_gpu_csv_idle": [
        Row(name="NVIDIA H100 80GB HBM3", total=81559, used=0, busy=0, index=0, uuid=MASKED, bdf="0000:00:09.0",
            driver="590.48.01", health="ok", chip="H100-SXM5-80GB")],
    "h100-mig_drv590.48.01__query_gpu_csv_idle": [
        Row(name="NVIDIA H100 80GB HBM3", total=81559, used=59, index=0, uuid=MASKED, bdf="0000:00:09.0",
            driver="590.48.01", health="ok", chip="H100-SXM5-80GB")],
    "h100-mig_drv590.48.01__table_idle": [
        Row(name="NVIDIA H100 80GB HBM3", total=81559, used=59, index=0, bdf="0000:00:09.0", driver="590.48.01",
            chip="H100-SXM5-80GB"),
        *(Row(name="NVIDIA H100 80GB HBM3 MIG", total=total, used=used, units=units, bdf="0000:00:09.0",
              driver="590.48.01", slice_of="0000:00:09.0")
          for total, used, units in ((40448, 26, 60), (20096, 17, 32), (9984, 9, 16), (9984, 9, 16)))],
    "h200-mig_drv590.48.01__L": [
        Row(name="NVIDIA H200", index=0, uuid=MASKED, chip="H200-SXM"),
        *_listed_slices("NVIDIA H200", "1c.3g.71gb", "2c.3g.71gb", "2g.35gb", "1g.18gb", "1g.18gb")],
    "h200-mig_drv590.48.01__nvlink_s": [Row(name="NVIDIA H200", index=0, uuid=MASKED, chip="H200-SXM")],
    "h200-mig_drv590.48.01__q_idle": [
        Row(**H200_XML, used=55, minor=0, uuid=MASKED, health="ok"),
        *_h200_slices((22, 22, 17, 9, 9), slice_of=MASKED, health="ok")],
    "h200-mig_drv590.48.01__table_load": [
        Row(**H200_XML, used=16959, index=0),
        *_h200_slices((16925, 16925, 17, 9, 9), slice_of="0000:83:00.0")],
    "h200_drv590.48.01__L": [Row(name="NVIDIA H200", index=0, uuid=MASKED, chip="H200-SXM")],
    "h200_drv590.48.01__q_idle": [Row(**H200_XML, used=0, busy=0, minor=0, uuid=MASKED, health="ok")],
    "h200_drv590.48.01__query_gpu_csv_idle": [Row(**H200_XML, used=0, busy=0, index=0, uuid=MASKED, health="ok")],
    "hami_v100_container_slice": [
        Row(name="Tesla V100-PCIE-32GB", total=10240, used=0, busy=0, index=0, bdf="0000:3e:00.0",
            driver="550.54.15", slice_of="0000:3e:00.0", health="ok")],
    "l40s_drv595.80__q_idle": [
        Row(name="NVIDIA L40S", total=46068, used=0, busy=100, minor=0, uuid=MASKED, bdf="0000:01:00.0",
            driver="595.80", health="ok", chip="L40S")],
    "l40s_drv595.80__topo_m": [Row(name="unknown", index=0, numa=0)],
    "telegraf_a10g__q_x": [
        Row(name="NVIDIA A10G", total=23028, used=22, busy=0, minor=0, bdf="0000:00:1e.0", driver="515.105.01",
            uuid="GPU-9a9a6c50-2a47-2f51-a902-b82c3b127e94", health="ok", chip="A10G")],
    "telegraf_rtx-3080-v13__q_x": [
        Row(name="NVIDIA GeForce RTX 3080", total=10240, used=9184, busy=65, minor=0, bdf="0000:0c:00.0",
            driver="595.58.03", uuid="GPU-19d6d965-2acc-f646-00f8-4c76979aabb4", health="ok")],
    "telegraf_rtx-3090-v12__q_x": [
        Row(name="NVIDIA GeForce RTX 3090", total=24576, used=1, busy=0, minor=0, bdf="0000:00:10.0",
            driver="525.147.05", uuid="GPU-12345678-aaaa-bbbb-cccc-0123456789ab", health="ok",
            chip="GeForce RTX 3090")],
}  # fmt: skip
ERRORS = {
    "error_gpu_is_lost": "GPU 0000:02:00.0: GPU is lost",
    "error_gpu_unknown_error_handle": "GPU 0000:0B:00.0: Unknown Error",
    "error_no_driver": "couldn't communicate with the NVIDIA driver",
    "error_nvml_version_mismatch": "Driver/library version mismatch",
}


def look(name: str) -> DetectionReport:
    """Look at a machine of which nothing is known but the capture."""
    path = FOLDER / "cuda" / f"{name}.txt"
    if not path.exists():
        pytest.skip(f"no captures at {FOLDER}")
    arguments = COMMANDS.get(name.partition("__")[2], TABLE)
    text = path.read_text(encoding="utf-8", errors="replace")
    commands = {" ".join((TOOL, *arguments)): CommandResult(stdout=text)}
    return CudaDetector().detect(ProbeRecording(commands=commands).replay())


def _read(report: DetectionReport) -> list[Row]:
    return [
        Row(
            name=one.name, total=None if one.memory_total_bytes is None else one.memory_total_bytes // 2**20,
            used=None if one.memory_used_bytes is None else one.memory_used_bytes // 2**20,
            busy=one.utilisation_percent, index=one.ids.index, minor=one.ids.minor, uuid=one.ids.uuid, bdf=one.ids.bdf,
            units=one.compute_units, numa=one.numa_node, driver=one.driver_version, slice_of=one.slice_of,
            health=one.health, chip=one.chip,
        )
        for one in report.accelerators
    ]  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_a_capture_is_misread(name: str) -> None:
    report = look(name)
    print(name, *(f"\n  {row}" for row in EXPECTED[name]))
    assert (report.state, report.reason) == ("present", None)
    assert _read(report) == EXPECTED[name]
    assert report.links == ()


@pytest.mark.parametrize("name", ERRORS)
def test_a_drivers_error_is_no_device(name: str) -> None:
    report = look(name)
    print(name, report.reason)
    assert (report.state, report.accelerators) == ("unreadable", ())
    assert ERRORS[name] in (report.reason or "")


def test_every_capture_is_expected() -> None:
    if not (FOLDER / "cuda").exists():
        pytest.skip(f"no captures at {FOLDER}")
    assert {path.stem for path in (FOLDER / "cuda").glob("*.txt")} == {*EXPECTED, *ERRORS}


def test_the_rate_of_all_nvlinks_is_lost() -> None:
    figures = dict(look("h100-80gb-hbm3_drv590.48.01__nvlink_s").accelerators[0].figures)
    assert figures["nvlink_bandwidth"].value == pytest.approx(18 * 26.562)


@pytest.mark.parametrize(
    "name", ["h200-mig_drv590.48.01__table_load", "telegraf_a10g__q_x", "h200-mig_drv590.48.01__L"]
)
def test_a_cut_capture_shows_more_or_raises(name: str) -> None:
    whole = look(name)
    arguments = COMMANDS.get(name.partition("__")[2], TABLE)
    text = (FOLDER / "cuda" / f"{name}.txt").read_bytes()
    known = {one.model_dump_json(exclude={"ids", "figures"}) for one in whole.accelerators}
    names = {one.name for one in whole.accelerators} | {"NVIDIA H200 MIG"}
    for size in range(0, len(text), max(1, len(text) // 400)):
        piece = text[:size].decode(errors="replace")
        commands = {" ".join((TOOL, *arguments)): CommandResult(stdout=piece)}
        report = CudaDetector().detect(ProbeRecording(commands=commands).replay())
        assert len(report.accelerators) <= len(whole.accelerators)
        assert {one.name for one in report.accelerators} <= names
        assert report.accelerators or report.state == "unreadable"
    assert known
