"""``/proc/driver/nvidia``: what the kernel's driver says of each GPU, without a library or a tool."""

from __future__ import annotations

import re

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import lines, pci_address, whole
from sage_infer_contracts.devices import DeviceIds

from .fields import product_name, version
from .records import gpu_uuid

ROOT = "/proc/driver/nvidia"
_DRIVER = re.compile(r"NVRM version:.{0,80}?\s([0-9]{3,4}\.[0-9.]{1,12})\s", re.ASCII)


def parse_information(text: str) -> Device | None:
    """Read ``gpus/<address>/information``; None without an address. A GPU that the driver leaves alone has failed."""
    facts: dict[str, str] = {}
    for line in lines(text):
        label, colon, value = line.partition(":")
        if colon:
            facts.setdefault(label.strip().lower(), value.strip())
    bdf = pci_address(facts.get("bus location"))
    if bdf is None:
        return None
    excluded = facts.get("gpu excluded", facts.get("blacklisted", "")).lower() == "yes"
    return Device(
        ids=DeviceIds(minor=whole(facts.get("device minor")), uuid=gpu_uuid(facts.get("gpu uuid")), bdf=bdf),
        name=product_name(facts.get("model")),
        health="failed" if excluded else "unknown",
        health_reason="the driver is told to leave it alone (GPU Excluded)" if excluded else None,
    )


def parse_version(text: str) -> str | None:
    """Read the driver's version from ``version``."""
    found = next((match for line in lines(text) if (match := _DRIVER.match(f"{line} "))), None)
    return version(found[1]) if found else None
