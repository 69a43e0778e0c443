"""Asking nvidia-smi: each command at most once, none after one that hung, and a failure's output is read too."""

from __future__ import annotations

import re

import attrs

from sage_infer_contracts.detecting.ladder import Ladder, failure_of
from sage_infer_contracts.probe import CommandResult, Unknown

from .errors import said_in

TOOL = "nvidia-smi"
TIMEOUT_S = 8.0
"""Of one command. nvidia-smi starts the driver where nothing keeps it loaded, which takes seconds on many cards."""
FIELDS = (
    "index", "uuid", "pci.bus_id", "name", "driver_version", "memory.total", "memory.used", "utilization.gpu",
    "ecc.mode.current", "ecc.errors.uncorrected.volatile.total", "mig.mode.current", "compute_cap",
)  # fmt: skip
"""What is asked of each GPU: fields that drivers since 510 know. An older one refuses all, and ``-q -x`` is asked."""
_NO_DRIVER = re.compile("NVIDIA-SMI (?:has failed|couldn't find)|Failed to initialize NVML")
_NO_FIELD = re.compile("is not a valid field to query")
CSV = f"--query-gpu={','.join(FIELDS)}", "--format=csv"
XML = "-q", "-x"
TEXT = ("-q",)
TABLE: tuple[str, ...] = ()
LIST = ("-L",)
TOPOLOGY = "topo", "-m"
NVLINK = "nvlink", "-s"


@attrs.define(slots=True)
class Tool:
    """nvidia-smi on one machine."""

    ladder: Ladder
    elsewhere: str = ""
    """Its path where it may be and PATH does not lead."""
    program: str = TOOL
    stopped: str = ""
    """Why no further form of it is asked: it hung, or it says that it cannot reach the driver at all."""
    _said: dict[tuple[str, ...], str | None] = attrs.field(factory=dict)

    def ask(self, *arguments: str) -> str | None:
        """Return what the command printed; None where there is nothing to read. Steps and failures are kept.

        A GPU that is lost makes the tool fail after it has printed the others, so output of a failure counts too.
        """
        if arguments not in self._said:
            self._said[arguments] = self._ask(arguments)
        return self._said[arguments]

    def _run(self, arguments: tuple[str, ...]) -> CommandResult | Unknown:
        result = self.ladder.probe.run((self.program, *arguments), timeout_s=TIMEOUT_S)
        if isinstance(result, CommandResult) and result.missing and self.elsewhere:
            self.program, self.elsewhere = self.elsewhere, ""
            return self._run(arguments)
        return result

    def _ask(self, arguments: tuple[str, ...]) -> str | None:
        source = f"{TOOL} --query-gpu" if arguments == CSV else " ".join((TOOL, *arguments))
        if self.stopped:
            self.ladder.note(source, "skipped", self.stopped)
            return None
        result = self._run(arguments)
        if isinstance(result, Unknown) or result.missing:
            self.ladder.note(source, "unknown" if isinstance(result, Unknown) else "absent")
            return None
        failure = failure_of(result)
        said = said_in(result.stdout)
        if result.timed_out:
            self.stopped = f"{TOOL} hung before"
        elif any(_NO_DRIVER.match(one) for one in said):
            self.stopped = f"{TOOL} said before that it cannot reach the driver"
        if failure is not None and said:
            failure = f"{failure.partition(':')[0]}: {'; '.join(said)}"
        elif failure is None and said:
            failure = "; ".join(said)
        if failure is None:
            self.ladder.note(source, "used")
        elif _NO_FIELD.search(failure):  # an older driver, and nothing about its GPUs
            self.ladder.note(source, "failed", failure)
        else:
            self.ladder.fail(source, failure)
        return result.stdout or None
