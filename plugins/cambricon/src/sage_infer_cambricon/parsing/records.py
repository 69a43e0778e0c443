"""Card: one device as a source shows it, whatever the source; None where it says nothing."""

from __future__ import annotations

import re

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import whole
from sage_infer_contracts.devices import DeviceIds, HealthState

_MIB = re.compile(r"([0-9]{1,9})\s*MiB", re.ASCII | re.IGNORECASE)
_UUID = re.compile(
    r"(?:MLU-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16}", re.ASCII | re.IGNORECASE
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{1,15}(?:[-_ ][A-Za-z0-9.]{1,12}){0,3}", re.ASCII)
_VERSION = re.compile(r"v?[0-9]{1,4}(?:\.[0-9]{1,6}){1,3}[0-9A-Za-z+.-]{0,16}", re.ASCII)


@attrs.frozen(slots=True, kw_only=True)
class Card:
    """One device. ``instance`` numbers a slice of card ``index``; ``ecc_errors`` None: ECC is off or unknown."""

    index: int | None = None
    instance: int | None = None
    name: str | None = None
    uuid: str | None = None
    bdf: str | None = None
    minor: int | None = None
    serial: str | None = None
    driver: str | None = None
    firmware: str | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation_percent: float | None = None
    ecc_errors: int | None = None
    mode: str | None = None
    health: HealthState = "unknown"
    health_reason: str | None = None

    @property
    def key(self) -> str | None:
        """What tells an instance from its card and from others of it."""
        return None if self.instance is None else f"instance {self.instance}"

    def device(self) -> Device:
        """Return the device as detectors share it; features are put together from all sources later."""
        return Device(
            ids=DeviceIds(index=self.index, minor=self.minor, uuid=self.uuid, bdf=self.bdf),
            key=self.key,
            name=self.name,
            memory_total_bytes=self.memory_total_bytes,
            memory_used_bytes=self.memory_used_bytes,
            utilisation_percent=self.utilisation_percent,
            driver_version=self.driver,
            health=self.health,
            health_reason=self.health_reason,
        )

    def features(self) -> tuple[str, ...]:
        """Return what this source says of ECC and of the mode."""
        ecc = () if self.ecc_errors is None else ("ecc",)
        return ecc if self.mode is None else (*ecc, f"mode:{self.mode.lower()}")


def mebibytes(text: str | None) -> int | None:
    """Read ``23374 MiB`` as bytes. The tool prints whole numbers, so one with a separator is None."""
    match = _MIB.fullmatch((text or "").strip())
    return int(match[1]) * 2**20 if match else None


def usage(text: str | None) -> tuple[int | None, int | None]:
    """Read ``0 MiB/ 23374 MiB`` as used and total bytes, each None where it is no number; total 0 is None too."""
    used, slash, total = (text or "").partition("/")
    if not slash:
        return None, None
    return mebibytes(used), mebibytes(total) or None


def uuid_of(text: str | None) -> str | None:
    """Read a UUID; None for anything else, and for one of zeros only, which names no device."""
    stripped = (text or "").strip()
    if not _UUID.fullmatch(stripped) or not set(stripped.upper().removeprefix("MLU-")) - set("0-"):
        return None
    return stripped


def name_of(text: str | None) -> str | None:
    """Read a product name such as ``MLU370-X8``; None for ``N/A`` and what cannot be one."""
    stripped = (text or "").strip()
    return (
        stripped if _NAME.fullmatch(stripped) and stripped.upper() not in ("NA", "UNKNOWN", "NULL") else None
    )


def version_of(text: str | None) -> str | None:
    """Read ``v5.10.13``; None for what is no version."""
    stripped = (text or "").strip()
    return stripped if _VERSION.fullmatch(stripped) else None


def number_of(text: str | None) -> int | None:
    """Read a card's number: at most four digits."""
    value = whole(text)
    return value if value is not None and value < 10_000 else None
