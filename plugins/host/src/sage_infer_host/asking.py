"""Asks a probe and keeps a step for every source, so that a report shows what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sage_infer_contracts.detection import DetectionStep
from sage_infer_contracts.probe import Probe, Unknown

COMMAND_TIMEOUT_S = 5.0
Outcome = Literal["used", "absent", "failed", "skipped", "unknown"]


class Asker:
    """A probe whose unknown and missing answers are both None; which it was is kept in :attr:`steps`."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._unknown = False
        self.steps: list[DetectionStep] = []

    def file(self, path: str) -> str | None:
        """Return a file's text."""
        answer = self._probe.read_file(path)
        self._unknown |= isinstance(answer, Unknown)
        return None if isinstance(answer, Unknown) else answer

    def folder(self, path: str) -> Sequence[str]:
        """Return the names in a folder; none when there is no such folder."""
        answer = self._probe.list_dir(path)
        self._unknown |= isinstance(answer, Unknown)
        return () if isinstance(answer, Unknown) or answer is None else answer

    def output(self, *command: str) -> str | None:
        """Return what a program printed when it ended well; a recording may not know its exit status."""
        answer = self._probe.run(command, timeout_s=COMMAND_TIMEOUT_S)
        if isinstance(answer, Unknown):
            self._unknown = True
            return None
        failed = answer.missing or answer.timed_out or answer.exit_status not in (0, None)
        return None if failed or not answer.stdout.strip() else answer.stdout

    def step(self, source: str, found: bool, detail: str = "") -> None:
        """Close one rung: what was asked since the last one was used, absent or unknown."""
        outcome: Outcome = "used" if found else "unknown" if self._unknown else "absent"
        self.steps.append(DetectionStep(source=source, outcome=outcome, detail=detail))
        self._unknown = False

    def failed(self, source: str, detail: str) -> None:
        """Close one rung whose sources contradict each other or cannot be read."""
        self.steps.append(DetectionStep(source=source, outcome="failed", detail=detail))
        self._unknown = False
