"""Forms of other versions and systems, written down as people show them in public: short, and read to the value."""

from __future__ import annotations

import pytest

from sage_infer_cuda.errors import said_in
from sage_infer_cuda.parsing.listing import parse_list
from sage_infer_cuda.parsing.query_text import parse_query_text
from sage_infer_cuda.parsing.query_xml import parse_query_xml
from sage_infer_cuda.parsing.records import Reading
from sage_infer_cuda.parsing.table import parse_table
from sage_infer_cuda.parsing.topology import parse_topology
from sage_infer_cuda.simulated.formats import table_text
from sage_infer_cuda.simulated.gpus import gpus

UUID = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
MIB = 2**20
HANDLE = "Unable to determine the device handle for"


def shown(reading: Reading) -> list[tuple[str | None, str | None, int | None, float | None]]:
    return [
        (one.name, one.ids.bdf, one.memory_total_bytes, one.utilisation_percent) for one in reading.devices
    ]


def test_a_table_without_mig_and_cuda_version_is_not_read() -> None:
    text = """\
+-----------------------------------------------------------------------------+
| NVIDIA-SMI 390.77                 Driver Version: 390.77                    |
|-------------------------------+----------------------+----------------------+
| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |
| Fan  Temp  Perf  Pwr:Usage/Cap|         Memory-Usage | GPU-Util  Compute M. |
|===============================+======================+======================|
|   0  GeForce GTX 108...  Off  | 00000000:02:00.0  On |                  N/A |
| 23%   38C    P8     9W / 250W |    142MiB / 11177MiB |      0%      Default |
+-------------------------------+----------------------+----------------------+
"""
    assert shown(parse_table(text)) == [("GeForce GTX 108...", "0000:02:00.0", 11177 * MIB, 0)]
    assert parse_table(text).driver_version == "390.77"


def test_a_table_of_windows_is_not_read() -> None:
    text = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 610.62                 KMD Version: 610.62        CUDA UMD Version: 13.3     |
+-----------------------------------------+------------------------+----------------------+
| GPU  Name                  Driver-Model | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
|   0  NVIDIA GeForce RTX 2080 ...  WDDM  |   00000000:0C:00.0  On |                  N/A |
| 38%   33C    P8             39W /  250W |     400MiB /   8192MiB |     12%      Default |
|                                         |                        |                  N/A |
+-----------------------------------------+------------------------+----------------------+
"""
    assert shown(parse_table(text)) == [("NVIDIA GeForce RTX 2080 ...", "0000:0c:00.0", 8192 * MIB, 12)]
    assert parse_table(text).driver_version == "610.62"


def test_a_gpu_of_which_only_errors_are_shown_is_dropped_or_named_so() -> None:
    text = """\
| NVIDIA-SMI 535.54.03              Driver Version: 535.54.03    CUDA Version: 12.2     |
| GPU  Name                 Persistence-M | Bus-Id        Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |         Memory-Usage | GPU-Util  Compute M. |
|=========================================+======================+======================|
|   2  ERR!                          ERR! | 00000000:0A:00.0 ERR!|                 ERR! |
|ERR!  ERR!   ERR!           ERR! /  ERR! |     GPU is lost      |     ERR!        ERR! |
|   3  NVIDIA GB10                    On  | 0000000F:01:00.0 Off |                  N/A |
| N/A   41C    P0              12W /  N/A |        Not Supported |      0%      Default |
"""
    lost, unified = parse_table(text).devices
    assert (lost.ids.index, lost.ids.bdf, lost.name, lost.memory_total_bytes) == (
        2,
        "0000:0a:00.0",
        None,
        None,
    )
    assert lost.health == "degraded"
    assert (unified.name, unified.ids.bdf, unified.memory_total_bytes) == (
        "NVIDIA GB10",
        "000f:01:00.0",
        None,
    )


def test_mig_devices_of_an_old_table_and_list_are_not_read() -> None:
    text = """\
| NVIDIA-SMI 470.57.02    Driver Version: 470.57.02    CUDA Version: 11.4     |
| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |
|   0  NVIDIA A100-SXM...  On   | 00000000:07:00.0 Off |                   On |
| MIG devices:                                                                |
| GPU  GI  CI  MIG |         Memory-Usage |        Vol|         Shared        |
|      ID  ID  Dev |           BAR1-Usage | SM     Unc| CE  ENC  DEC  OFA  JPG|
|  0    1   0   0  |     11MiB / 20096MiB | 42      0 |  3   0    2    0    0 |
|                  |      0MiB / 32767MiB |           |                       |
"""
    (one,) = parse_table(text).slices
    assert (one.number, one.instance, one.compute_units, one.memory_total_bytes) == (
        0,
        "1/0",
        42,
        20096 * MIB,
    )
    listed = f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {UUID})\n  MIG 3g.20gb Device 0: (UUID: MIG-{UUID}/1/0)\n"
    (old,) = parse_list(listed).slices
    assert (old.uuid, old.instance, old.profile) == (f"MIG-{UUID}/1/0", "1/0", "3g.20gb")


def test_a_version_that_the_tool_calls_deprecated_is_a_version() -> None:
    text = (
        "==============NVSMI LOG==============\n"
        'Driver Version                          : Deprecated, see "KMD Version" instead\n'
        "KMD Version                             : 610.43.02\nAttached GPUs                   : 1\n"
        "GPU 00000000:83:00.0\n    Product Name                        : NVIDIA H200\n"
        "    GPU Reset Status\n        Reset Required                  : Yes\n"
    )
    (one,) = parse_query_text(text).devices
    assert (one.driver_version, one.health, one.health_reason) == (
        "610.43.02",
        "failed",
        "the GPU needs a reset",
    )


def test_an_old_schema_and_a_foreign_document_are_mistaken() -> None:
    text = (
        '<nvidia_smi_log>\n<driver_version>418.43</driver_version>\n<gpu id="00000000:00:1E.0">\n'
        f"<product_name>Tesla T4</product_name><uuid>{UUID}</uuid><minor_number>0</minor_number>\n"
        "<ecc_errors><volatile><double_bit><total>2</total></double_bit></volatile></ecc_errors>\n"
        "<retired_pages><pending_retirement>Yes</pending_retirement></retired_pages>\n</gpu>\n</nvidia_smi_log>\n"
    )
    (one,) = parse_query_xml(text).devices
    assert (one.name, one.ids.bdf, one.driver_version, one.health) == (
        "Tesla T4",
        "0000:00:1e.0",
        "418.43",
        "degraded",
    )
    assert (
        one.health_reason
        == "retired pages wait for a reset; 2 uncorrected ECC errors since the driver was loaded"
    )
    assert parse_query_xml(text.replace("nvidia_smi_log", "xpu_smi_log")).devices == ()


def test_a_matrix_without_escapes_or_tabs_is_not_read() -> None:
    text = """\
        [4mGPU0    GPU1    mlx5_0  CPU Affinity    NUMA Affinity   GPU NUMA ID[0m
GPU0     X      NV12    PXB     0-23,48-71      0               N/A
GPU1    NV12     X      SYS     24-47           1               N/A
mlx5_0  PXB     SYS      X
"""
    topology = parse_topology(text)
    assert (topology.links, topology.numa_nodes) == ({(0, 1): "NV12"}, {0: 0, 1: 1})
    assert topology.cpu_affinity == {0: "0-23,48-71", 1: "24-47"}


@pytest.mark.parametrize("style", ["old", "new", "610"])
def test_a_table_that_was_quoted_or_logged_is_not_read(style: str) -> None:
    """A quotation mark, spaces or a time before each row."""
    text = table_text(gpus(2), style=style)
    whole = parse_table(text)
    assert len(whole.devices) == 2
    for prefix in ("> ", "    ", "2026-01-02T03:04:05.678Z stdout F ", "26/01/02 03:04:05 INFO Tool: "):
        assert parse_table("".join(f"{prefix}{line}\n" for line in text.splitlines())) == whole


def test_a_table_that_was_broken_at_a_width_shows_another_gpu() -> None:
    """What the break went through is not known; what is shown is right, and a break between words costs nothing."""
    text = table_text(gpus(2))
    whole = {one.ids.bdf: one for one in parse_table(text).devices}
    for width in range(30, 91):
        broken = "".join(f"{line[:width]}\n{line[width:]}".rstrip() + "\n" for line in text.splitlines())
        for one in parse_table(broken).devices:
            assert one.ids.bdf in whole, width
            for name in ("name", "memory_total_bytes", "memory_used_bytes", "utilisation_percent"):
                assert getattr(one, name) in (None, getattr(whole[one.ids.bdf], name)), (width, name)
    at_a_word = "".join(f"{line[:78]}\n{line[78:]}".rstrip() + "\n" for line in text.splitlines())
    assert {one.ids.bdf: one for one in parse_table(at_a_word).devices} == whole


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HANDLE} GPU3: 0000:5F:00.0: Unknown Error", "GPU 3 at 0000:5F:00.0: Unknown Error"),
        (f"{HANDLE} GPU2: Unknown Error", "GPU 2: Unknown Error"),
        (f"{HANDLE} GPU 0000:01:00.0: Not Found", "GPU 0000:01:00.0: Not Found"),
        (f"{HANDLE} gpu 0000:01:00.0: GPU is lost. Reboot", "GPU 0000:01:00.0: GPU is lost"),
        (
            "NVIDIA-SMI couldn't find libnvidia-ml.so library.",
            "NVIDIA-SMI couldn't find libnvidia-ml.so library.",
        ),
    ],
)
def test_a_message_of_another_version_says_nothing(text: str, said: str) -> None:
    assert said_in(f"index, name\n0, NVIDIA L4\n{text}\n1, NVIDIA L4\n")[0].startswith(said)


def test_sixteen_gpus_of_an_old_machine_have_no_links() -> None:
    names = [f"GPU{number}" for number in range(16)]
    rows = [[" X " if one == other else "NV6" for other in names] + ["PIX", "0-23,48-71"] for one in names]
    heading = "\t".join(["", *names, "mlx5_0", "CPU Affinity"])
    text = "\n".join([heading, *("\t".join([name, *row]) for name, row in zip(names, rows, strict=True)), ""])
    topology = parse_topology(text)
    assert topology.gpus == tuple(range(16))
    assert len(topology.links) == 120
    assert set(topology.links.values()) == {"NV6"}
