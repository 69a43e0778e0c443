"""What is asked of a detector: to look at a machine, whole or changed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.wire import FrozenModel

from ...history.steps import Command, Step
from .edits import Edits
from .shown import Shown, Source


class Load(Command):
    """Take up the ``ordinal``-th of the author's machines, counted round; without any, only the facts are told."""

    op: Literal["load"] = "load"
    ordinal: NonNegativeInt

    def story(self) -> str:
        """Number the machine."""
        return f"take machine {self.ordinal}"


class Make(Command):
    """Take up a machine that the kit has made."""

    op: Literal["make"] = "make"
    name: str
    shown: Shown

    def story(self) -> str:
        """Name the machine."""
        return f"make a machine: {self.name}"


class Detect(Command):
    """Look at the machine after ``edits``. Every command takes ``seconds_per_command``, at most its own limit."""

    op: Literal["detect"] = "detect"
    edits: Edits = ()
    seconds_per_command: NonNegativeFloat = 0.0

    def story(self) -> str:
        """Say what was done to the machine."""
        slow = f" (each command takes {self.seconds_per_command:g} s)" if self.seconds_per_command else ""
        changes = "; ".join(edit.story() for edit in self.edits)
        return f"detect{slow}" + (f" after: {changes}" if changes else "")


class Again(Command):
    """Look at everything so far again in another process, in another order.

    The process has another hash seed, a clock that leaps an hour at every reading, and other environment variables.
    """

    op: Literal["again"] = "again"
    hash_seed: NonNegativeInt

    def story(self) -> str:
        """Say what differs."""
        return "look at the same machines again in another process"


DetectorCommand = Annotated[Load | Make | Detect | Again, Field(discriminator="op")]


class Facts(FrozenModel):
    """What the author tells of the detector, and what it calls itself."""

    hardware_backend: str
    pci_vendors: tuple[str, ...] = ()
    pci_classes: tuple[str, ...] = ()
    """Classes of the vendors' accelerators, or how they begin; none: the kit goes by what is claimed."""
    visible_variables: tuple[str, ...] = ()
    visible_uuids: bool = False
    machines: NonNegativeInt = 0


class Loaded(FrozenModel):
    """A machine of the author's, and what is known of it."""

    name: str
    shown: Shown
    state: str | None = None
    devices: NonNegativeInt | None = None
    ids: tuple[DeviceIds, ...] = ()


class Seen(FrozenModel):
    """What came of one look."""

    report: DetectionReport | None = None
    returned: str | None = None
    """The type of what was returned, where that is no report."""
    round_trip: str | None = None
    """What is lost on the way through JSON."""
    asked: tuple[Source, ...] = ()
    touched: tuple[str, ...] = ()
    """What of the real machine, and which frameworks, it reached for past the probe."""
    simulated_s: NonNegativeFloat = 0.0
    """Time that commands and pauses would have taken; it is not part of ``seconds``."""
    endless: bool = False
    """It had to be stopped: long after the deadline it still asked or slept."""


class Repeated(FrozenModel):
    """One look in another process."""

    step: NonNegativeInt
    """Number of the step in this history that looked at the same."""
    error: str | None = None
    report: DetectionReport | None = None


class DetectorStep(Step):
    """One step of a detector."""

    command: DetectorCommand
    facts: Facts | None = None
    loaded: Loaded | None = None
    seen: Seen | None = None
    again: tuple[Repeated, ...] | None = None

    @property
    def report(self) -> DetectionReport | None:
        """What was reported; None where nothing was."""
        return self.seen.report if self.seen is not None and self.error is None else None

    @property
    def edits(self) -> Edits:
        """What was done to the machine."""
        return self.command.edits if isinstance(self.command, Detect) else ()

    @property
    def looks_at_the_whole(self) -> bool:
        """Whether the machine is shown as it is, and answers at once."""
        command = self.command
        return isinstance(command, Detect) and not command.edits and not command.seconds_per_command

    def answer(self) -> str:
        """Return what was found, in a few words."""
        if self.loaded is not None:
            return self.loaded.name
        if self.again is not None:
            return f"{len(self.again)} reports"
        if self.seen is None:
            return ""
        report = self.seen.report
        if report is None:
            return f"no report ({self.seen.returned or self.seen.round_trip or 'stopped'})"
        names = ", ".join(
            f"{one.name} {one.ids.bdf or one.ids.uuid or ''}".strip() for one in report.accelerators
        )
        return f"{report.state}: {names or 'nothing'}" + (f" ({report.reason})" if report.reason else "")
