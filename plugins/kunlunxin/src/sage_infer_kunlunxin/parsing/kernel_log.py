"""The kernel's log: what Kunlunxin's driver says of cards. A card that hangs answers its tool as a healthy one does.

Lines of the driver begin with ``KLRM:`` and name the card as ``PCI:0000:16:00``. Messages: a published report of a P800
whose every kernel hung while xpu-smi showed 0 %, 0 MiB and no ECC error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import lines, pci_address
from sage_infer_contracts.devices import HealthState

_CARD = re.compile(r"\bPCI:([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2})(\.[0-7])?\)", re.IGNORECASE)
_WHEN = re.compile(r"\s*\[([^\]]{1,40})\]")
_XID = re.compile(r"\bKL_XID_[A-Z0-9_]{1,40}")
_SESSION = re.compile(r"\bXPUERR_[A-Z0-9_]{1,40}")
HANG = "kl3_wait_for_noc_idle() timeout"
_HANG = re.compile(r"wait_for_noc_idle\(\) timeout|wait for noc idle timeout")
_HARMLESS = frozenset({"XPUERR_INTERRUPTED"})


@attrs.define(slots=True)
class CardLog:
    """What is said of one card: how often each error, and when the last one was."""

    errors: Counter[str] = attrs.field(factory=Counter)
    last: str | None = None

    def verdict(self) -> tuple[HealthState, str]:
        """Return the state and the reason. A timeout of the chip's own network is what a hung card shows."""
        times = ", ".join(f"{name} ({count})" for name, count in sorted(self.errors.items()))
        when = f", last at {self.last}" if self.last else ""
        if self.errors[HANG]:
            advice = "it may hang at any work while its tool shows nothing: reset or replace it"
            return "failed", f"kernel log: {times}{when}; {advice}"
        return "degraded", f"kernel log: {times}{when}; a faulty card or a faulty program"


def parse_kernel_log(text: str) -> Mapping[str, CardLog]:
    """Read the errors of cards by PCI address; a card without any is not in the answer."""
    found: dict[str, CardLog] = {}
    for line in lines(text) if "KLRM" in text else ():
        card = _CARD.search(line) if "KLRM" in line else None
        bdf = pci_address(f"{card[1]}{card[2] or '.0'}") if card else None
        names = _errors(line) if bdf is not None else []
        if bdf is None or not names:
            continue
        log = found.setdefault(bdf, CardLog())
        log.errors.update(names)
        when = _WHEN.match(line)
        log.last = when[1].strip() if when else log.last
    return found


def _errors(line: str) -> list[str]:
    if _HANG.search(line):
        return [HANG]
    return [name for name in (*_XID.findall(line), *_SESSION.findall(line)) if name not in _HARMLESS]


def judged(device: Device, logs: Mapping[str, CardLog] | None) -> Device:
    """Return the device with what the log (None: it could not be read) adds to what its tool said of its health."""
    log = (logs or {}).get(device.ids.bdf or "")
    if log is not None:
        state, reason = log.verdict()
        if state == "failed" or device.health != "degraded":
            return attrs.evolve(device, health=state, health_reason=reason)
        return attrs.evolve(device, health_reason=f"{device.health_reason}; {reason}")
    if device.health != "ok":
        return device
    # A log without an error of the card leaves nothing to explain.
    alone = f"{device.health_reason}; the kernel's log, which shows cards that hang, was not read"
    return attrs.evolve(device, health_reason=None if logs is not None else alone)
