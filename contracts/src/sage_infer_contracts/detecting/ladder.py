"""Ladder: a probe whose every question becomes a step of the report, with its outcome and the reason (HD-01)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import attrs

from ..detection import DetectionStep
from ..probe import CommandResult, PciDevice, Probe, Unknown

TOOL_TIMEOUT_S = 10.0
ACCELERATOR_CLASSES = ("03", "12")
"""Display controllers and processing accelerators; other functions of a vendor, such as network cards, are none."""
Outcome = Literal["used", "absent", "failed", "skipped", "unknown"]


@attrs.frozen(slots=True)
class Reply:
    """What a tool printed; ``text`` is None unless it is there and may be read."""

    text: str | None
    outcome: Outcome
    detail: str = ""


@attrs.define(slots=True)
class Ladder:
    """Asks ``probe`` and keeps the steps and the failures, in order."""

    probe: Probe
    steps: list[DetectionStep] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)

    def pci(
        self, vendor: str, *, classes: Sequence[str] = ACCELERATOR_CLASSES, but: Collection[str] = ()
    ) -> tuple[PciDevice, ...] | None:
        """Return the vendor's accelerators on the bus, without the device ids in ``but``; None if nobody can tell.

        ``vendor`` is the PCI vendor id in lower-case hex, ``classes`` are prefixes of the PCI class.
        """
        listed = self.probe.pci_devices()
        if isinstance(listed, Unknown):
            self.note("pci", "unknown")
            return None
        found = tuple(
            one
            for one in listed
            if one.vendor == vendor and one.device_class.startswith(tuple(classes)) and one.device not in but
        )
        self.note("pci", "used" if found else "absent", f"{len(found)} functions of vendor {vendor}")
        return found

    def run(
        self, *command: str, timeout_s: float = TOOL_TIMEOUT_S, statuses: Collection[int] = (0,)
    ) -> Reply:
        """Run a tool. A failure is a step and a reason; the outcome ``used`` is noted by whoever can read the text.

        ``statuses`` are the exit statuses of a tool that answered. A plain capture does not know its own, and is read.
        """
        source = " ".join(command)
        result = self.probe.run(command, timeout_s=timeout_s)
        if isinstance(result, Unknown) or result.missing:
            outcome: Outcome = "unknown" if isinstance(result, Unknown) else "absent"
            self.note(source, outcome)
            return Reply(None, outcome)
        failure = failure_of(result, statuses)
        if failure is not None:
            return self.fail(source, failure)
        return Reply(result.stdout, "used")

    def library(self, module: str, call: str) -> Mapping[str, Any] | None:
        """Return what a library script of the plugin replied; None if the library is missing, unknown or failed."""
        source = f"{module} {call}"
        answer = self.probe.library(module, call)
        if isinstance(answer, Unknown) or answer is None:
            self.note(source, "unknown" if isinstance(answer, Unknown) else "absent")
            return None
        reply = _object(answer)
        if "error" in reply:
            self.fail(source, str(reply["error"]))
            return None
        self.note(source, "used")
        return reply

    def file(self, path: str) -> str | None:
        """Return a text file's content; None if it cannot be read or nobody knows."""
        answer = self.probe.read_file(path)
        return None if isinstance(answer, Unknown) else answer

    def folder(self, path: str) -> Sequence[str]:
        """Return the names in a folder; none where there is no such folder or nobody knows."""
        answer = self.probe.list_dir(path)
        return () if isinstance(answer, Unknown) or answer is None else answer

    def variable(self, name: str) -> str | None:
        """Return an environment variable; None if it is not set or nobody knows."""
        answer = self.probe.environ(name)
        return None if isinstance(answer, Unknown) else answer

    def note(self, source: str, outcome: Outcome, detail: str = "") -> None:
        """Keep a step."""
        self.steps.append(DetectionStep(source=source, outcome=outcome, detail=detail))

    def fail(self, source: str, why: str) -> Reply:
        """Keep a step that failed; its reason becomes one of the report's."""
        self.note(source, "failed", why)
        self.failures.append(f"{source}: {why}")
        return Reply(None, "failed", why)


def failure_of(result: CommandResult, statuses: Collection[int] = (0,)) -> str | None:
    """Say how a command failed, with the last line it said; None where it did not."""
    if result.timed_out:
        return "did not answer in time"
    if result.exit_status is not None and result.exit_status not in statuses:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()
        return f"ended with status {result.exit_status}" + (f": {said[-1].strip()[:300]}" if said else "")
    if result.exit_status is None and not result.stdout.strip():
        return result.stderr.strip()[:300] or "printed nothing"
    return None


def _object(answer: str) -> Mapping[str, Any]:
    try:
        reply = json.loads(answer)
    except (ValueError, RecursionError):
        return {"error": "did not answer in JSON"}
    return reply if isinstance(reply, dict) else {"error": "did not answer with an object"}
