"""Turns what a child tells into findings: one history after the other, its death included."""

from __future__ import annotations

from ..history.files import Header
from ..history.steps import Raised, Step
from ..judging.docket import Case, Docket
from ..kinds.suite import Suite
from .messages import Doing, Done, End, Message


class Hearing:
    """Listens to one child at a time and feeds the docket. Owned by one thread."""

    def __init__(self, suite: Suite, docket: Docket, subject: str) -> None:
        self._suite = suite
        self._docket = docket
        self._subject = subject
        self._case: Case | None = None
        self._pending: str | None = None
        self.last_step: Step | None = None

    def begin(self, scenario: str) -> None:
        """A history begins."""
        header = Header(kind=self._suite.kind, subject=self._subject, scenario=scenario)
        self._case = self._docket.open(header, self._suite.make_model())

    def take(self, message: Message) -> None:
        """Judge what a message tells."""
        if isinstance(message, Doing):
            self._pending = message.command
        elif isinstance(message, Done) and self._case is not None:
            self._pending = None
            self.last_step = self._suite.step_type.model_validate_json(message.step)
            self._docket.add(self._case, self.last_step)
        elif isinstance(message, End) and self._case is not None:
            self._docket.close(self._case, message.residue)
            self._case = None

    def bury(self, how: Raised) -> None:
        """Write the death of the child into the history in which it happened."""
        if self._case is not None and self._pending is not None:
            facts = {"command": self._suite.command(self._pending), "error": how}
            self._docket.add(self._case, self._suite.step_type.model_validate(facts))
        else:
            self._docket.note_death(how)
        self._case = self._pending = None
