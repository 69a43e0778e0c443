"""NVIDIA's GPUs that PCI does not show: part of a system-on-chip (Jetson), or of the Windows machine around a WSL 2."""

from __future__ import annotations

from sage_infer_contracts.detecting.ladder import Ladder

DEVICE_TREE = "/proc/device-tree/compatible"
JETSON_RELEASE = "/etc/nv_tegra_release"
"""Written by Jetson Linux; containers of NVIDIA's runtime have it, where the device tree is hidden from them."""
WSL_LIBRARIES = "/usr/lib/wsl/lib"
"""The Windows driver's libraries for Linux; NVML is among them only if that driver is NVIDIA's."""
WSL_DRIVERS = "/usr/lib/wsl/drivers"
"""Every driver of the Windows machine; in a container only that of the GPU which it was given."""
WSL_TOOL = f"{WSL_LIBRARIES}/nvidia-smi"

JETSON = (
    "its GPU is part of a Tegra system-on-chip (Jetson) and not on PCI; what describes it are NVML and nvidia-smi as "
    "they come with JetPack 6 and later"
)
WSL = (
    "this is WSL, and its GPU is on the bus of the Windows machine; what describes it are NVML and nvidia-smi in "
    f"{WSL_LIBRARIES}"
)


def off_the_bus(ladder: Ladder) -> str | None:
    """Say where an NVIDIA GPU is that the bus does not show; None where nothing says that there is one."""
    if "nvidia,tegra" in (ladder.file(DEVICE_TREE) or "") or "# R" in (ladder.file(JETSON_RELEASE) or ""):
        return JETSON
    libraries, drivers = ladder.folder(WSL_LIBRARIES), ladder.folder(WSL_DRIVERS)
    given = bool(drivers) and all(name.startswith("nv") for name in drivers)
    return WSL if given or any(name.startswith("libnvidia-ml.so") for name in libraries) else None
