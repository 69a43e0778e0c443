"""Health from what the tools say: a state with its reason, ``unknown`` where no indicator could be read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sage_infer_contracts.detecting.text import whole
from sage_infer_contracts.devices import HealthState

_YES = {"yes", "active", "1", "true"}
_NO = {"no", "not active", "0", "false"}
_LOST = re.compile(r"gpu is lost|requires reset", re.IGNORECASE)
_ERR = re.compile(r"\s*(?:err!|\[?unknown error\]?)\s*", re.IGNORECASE)

_FLAGS: tuple[tuple[str, HealthState, str], ...] = (
    ("remapped_rows.failure", "failed", "a memory row could not be remapped"),
    ("unrepairable_memory", "failed", "memory that cannot be repaired"),
    ("sram_threshold_exceeded", "degraded", "more SRAM errors than the threshold"),
    ("reset_required", "failed", "the GPU needs a reset"),
    ("drain_and_reset_recommended", "degraded", "a reset is recommended"),
    ("remapped_rows.pending", "degraded", "remapped rows wait for a reset"),
    ("retired_pages.pending", "degraded", "retired pages wait for a reset"),
    ("channel_repair_pending", "degraded", "a memory channel waits for its repair"),
    ("tpc_repair_pending", "degraded", "a processing cluster waits for its repair"),
    ("clocks_event_reasons.hw_slowdown", "degraded", "the hardware slows the clocks down"),
    ("clocks_event_reasons.hw_thermal_slowdown", "degraded", "the clocks are slowed down by heat"),
    ("clocks_event_reasons.hw_power_brake_slowdown", "degraded", "the power brake slows the clocks down"),
)
UNCORRECTED = "ecc.errors.uncorrected.volatile"
"""Prefix of the counters of uncorrected ECC errors since the driver was loaded."""
_ACTIONS: Mapping[str, HealthState] = {
    "reset": "failed",
    "reboot": "failed",
    "gpu reset": "failed",
    "node reboot": "failed",
    "drain p2p": "degraded",
    "drain and reset": "degraded",
}
"""What ``gpu_recovery_action`` names; ``None`` is the tool's word for no action needed."""


def judged(fields: Mapping[str, str]) -> tuple[HealthState, str | None]:
    """Return state and reason; the worst indicator decides, and all that are bad are in the reason.

    ``ok`` needs at least one indicator that was read: a GPU without ECC and flags is ``unknown``.
    """
    found = [*_broken_cells(fields), *_flags(fields), *_ecc(fields), *_action(fields)]
    bad = [(state, why) for state, why in found if state != "ok"]
    if bad:
        states = {state for state, _ in bad}
        return ("failed" if "failed" in states else "degraded"), "; ".join(why for _, why in bad)
    return ("ok", None) if found else ("unknown", None)


def _broken_cells(fields: Mapping[str, str]) -> list[tuple[HealthState, str]]:
    lost = [text.strip("[] ") for text in fields.values() if _LOST.search(text)]
    if lost:
        return [("failed", f"the tool says: {lost[0][:80]}")]
    broken = sorted(name for name, text in fields.items() if _ERR.fullmatch(text))
    return [("degraded", f"the tool shows an error for {', '.join(broken)}")] if broken else []


def _flags(fields: Mapping[str, str]) -> list[tuple[HealthState, str]]:
    found: list[tuple[HealthState, str]] = []
    for name, state, why in _FLAGS:
        said = fields.get(name, "").strip().lower()
        if said in _YES:
            found.append((state, why))
        elif said in _NO:
            found.append(("ok", ""))
    return found


def _ecc(fields: Mapping[str, str]) -> list[tuple[HealthState, str]]:
    counts = {name: whole(text) for name, text in fields.items() if name.startswith(UNCORRECTED)}
    read = [count for count in counts.values() if count is not None]
    if not read:
        return []
    total = counts.get(f"{UNCORRECTED}.total")
    errors = sum(read) if total is None else total
    return [
        ("degraded", f"{errors} uncorrected ECC errors since the driver was loaded") if errors else ("ok", "")
    ]


def _action(fields: Mapping[str, str]) -> list[tuple[HealthState, str]]:
    said = fields.get("gpu_recovery_action", "").strip().lower()
    if said == "none":
        return [("ok", "")]
    state = _ACTIONS.get(said)
    return [] if state is None else [(state, f"the driver asks for recovery: {said}")]
