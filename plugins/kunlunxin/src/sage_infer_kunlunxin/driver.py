"""What the driver says of itself and of devices, in its folders of /proc and /sys."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detecting.text import lines, pci_address

from .gate import PROC

_RELEASE = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,6}){2,4}(?![0-9.])", re.ASCII)
_ALIAS = re.compile(r"[1-9][0-9]{2}\.[0-9]+(?:\.[0-9]+)?", re.ASCII)
"""What the CUDA look-alike in containers calls the driver, e.g. 515.58 where it is 5.0.21.47."""
_RUNS = frozenset({"RUNNING", "NORMAL"})
_DISTURBED = {
    "IN_RESET": "it is being reset",
    "IN_EXCEPTION": "a program failed on it, or it is faulty",
}
"""Other states of a device, by their names in xpuml.h."""


def with_release(ladder: Ladder, devices: Sequence[Device]) -> list[Device]:
    """Return the devices with the driver's version, which is the driver's own word where the tool tells an alias."""
    shown = {one.driver_version for one in devices} - {None}
    aliases = sorted(one for one in shown if one and _ALIAS.fullmatch(one))
    if not devices or (shown and not aliases):
        return list(devices)
    release = _release(ladder)
    if aliases:
        ladder.note(
            "driver version",
            "used",
            f"{aliases[0]} is the CUDA layer's alias; the driver is {release or 'not known'}",
        )
    return [attrs.evolve(one, driver_version=release) for one in devices]


def _release(ladder: Ladder) -> str | None:
    for path in (*(f"{folder}/version" for folder in PROC), "/sys/module/kunlun/version"):
        text = ladder.file(path) or ""
        # Installers take the version from the line with the driver's name; others may name a compiler's.
        own = next((line for line in lines(text) if "KUNLUN" in line.upper()), text)
        match = _RELEASE.search(own)
        if match is not None:
            return match[0]
    return None


def failed_to_start(ladder: Ladder) -> list[str]:
    """Return what the driver says of cards that it could not initialise, a line each."""
    texts = (ladder.file(f"{folder}/probe_error") or "" for folder in PROC)
    found = [" ".join(line.split())[:200] for text in texts for line in lines(text)]
    return [f"the driver could not start {line}" for line in found if line and pci_address(line.split()[0])]


def with_state(ladder: Ladder, device: Device) -> Device:
    """Return the device with the state that the driver keeps of it; RUNNING and NORMAL are well."""
    minor = device.ids.minor
    if minor is None:
        return device
    texts = ((path, ladder.file(path)) for path in (f"{folder}/dev{minor}/state" for folder in PROC))
    path, word = next(((path, text.strip().upper()) for path, text in texts if text is not None), ("", ""))
    if word == "ERROR":
        return attrs.evolve(device, health="failed", health_reason=f"{path} says {word}: it has to be reset")
    if word in _DISTURBED and device.health != "failed":
        return attrs.evolve(
            device, health="degraded", health_reason=f"{path} says {word}: {_DISTURBED[word]}"
        )
    if word in _RUNS and device.health == "unknown":
        return attrs.evolve(device, health="ok", health_reason=f"{path} says {word}")
    return device
