"""The driver and DTK, Hygon's toolkit: which versions are here, and whether Hygon lists them as a pair for a chip."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import attrs
from pydantic import Field

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.wire import FrozenModel

MODULES = ("hycu", "hydcu")
"""Names of the kernel module; a machine has one of them."""
DTK_FILES = ("/opt/dtk/.dtk_version", "/opt/dtk/.info/rocm_version")
_DTK = re.compile(r"(?:dtk[-_ ]?v?)?([0-9]{2}\.[0-9]{2}(?:\.[0-9]{1,2})*)\b", re.ASCII | re.IGNORECASE)
_NUMBERS = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4})+", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,6}){1,4}[\w.+-]{0,40}", re.ASCII)


class Tier(FrozenModel):
    """Releases of DTK that go with drivers from ``minimum_driver`` on, up to the next tier."""

    minimum_driver: str
    dtk: tuple[str, ...]


class Compatibility(FrozenModel):
    """The file ``compatibility.json``."""

    source: str = Field(min_length=1)
    chips: Mapping[str, tuple[Tier, ...]]
    also: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict, description="other chips that sources give the same PCI device id"
    )


@attrs.frozen(slots=True)
class Software:
    """Versions as written, None where unknown. ``loaded``: a folder of the driver's module is there."""

    driver: str | None = None
    dtk: str | None = None
    loaded: bool = False


def read_software(ladder: Ladder) -> Software:
    """Read the versions from the module's folder and from DTK's own files."""
    driver, loaded = _driver(ladder)
    dtk = next((found for path in DTK_FILES if (found := dtk_version(ladder.file(path)))), None)
    return Software(driver, dtk or _only_folder(ladder), loaded)


def driver_version(text: str | None) -> str | None:
    """Read a driver's version, e.g. ``6.3.31-V1.5.0a``."""
    word = (text or "").strip()
    return word if _VERSION.fullmatch(word) else None


def dtk_version(text: str | None) -> str | None:
    """Read DTK's version, e.g. ``26.04`` of ``DTK-26.04-rc4``."""
    match = _DTK.match((text or "").strip())
    return match[1] if match else None


def _driver(ladder: Ladder) -> tuple[str | None, bool]:
    for module in MODULES:
        path = f"/sys/module/{module}/version"
        text = ladder.file(path)
        if text is not None:
            version = driver_version(text)
            ladder.note(path, "used" if version else "failed", version or "no version in it")
            return version, True
    return None, False


def _only_folder(ladder: Ladder) -> str | None:
    """Return the version in the name of the one DTK that is installed; with several nobody knows which is used."""
    found = {version for name in ladder.folder("/opt") if (version := dtk_version(_folder_version(name)))}
    return found.pop() if len(found) == 1 else None


def _folder_version(name: str) -> str | None:
    return name if name.lower().startswith("dtk-") else None


@cache
def compatibility() -> Compatibility:
    """Return which drivers and releases of DTK go together, as Hygon's own tool has it."""
    text = (files(__package__) / "compatibility.json").read_text(encoding="utf-8")
    return Compatibility.model_validate_json(text)


def mismatch(chip: str | None, software: Software) -> str | None:
    """Say why this driver and this DTK do not go together on ``chip``; None where they do, or nobody says.

    Where sources give the chip's device id to others too, a pair that is listed for any of them is none to complain of.
    """
    if chip is None:
        return None
    said = [_mismatch(name, software) for name in (chip, *compatibility().also.get(chip, ()))]
    return said[0] if all(said) else None


def _mismatch(chip: str, software: Software) -> str | None:
    tiers = compatibility().chips.get(chip, ())
    driver, dtk = _numbers(software.driver), _numbers(software.dtk)
    if not tiers or not driver or not dtk:
        return None
    fitting = [tier for tier in tiers if driver >= _numbers(tier.minimum_driver)]
    tier = fitting[-1] if fitting else tiers[0]
    listed = any(dtk[: len(_numbers(release))] == _numbers(release) for release in tier.dtk)
    if fitting and listed:
        return None
    return (
        f"driver {software.driver} and DTK {software.dtk} are not listed as a pair for {chip}: "
        f"DTK {' or '.join(tier.dtk)} goes with drivers from {tier.minimum_driver}"
    )


def _numbers(version: str | None) -> tuple[int, ...]:
    match = _NUMBERS.match(version or "")
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def with_software(devices: Sequence[Device], chips: Sequence[str | None], software: Software) -> list[Device]:
    """Give devices the driver's version, and a reason where driver and DTK do not go together on their chip."""
    found = []
    for device, chip in zip(devices, chips, strict=True):
        why = mismatch(chip, software)
        known = attrs.evolve(device, driver_version=device.driver_version or software.driver)
        if why is not None and known.health in ("unknown", "ok"):
            known = attrs.evolve(known, health="degraded", health_reason=why)
        found.append(known)
    return found
