"""Carries out recorded histories against a fresh subject, and judges what comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sage_infer_contracts.certification import Witness
from sage_infer_contracts.errors import InvalidRequest, error_from_wire
from sage_infer_contracts.testing import SubjectKind

from ..history.files import History, read_histories
from ..history.steps import Command, Step
from ..judging.docket import Docket
from ..kinds.table import suite_of
from .hearing import Hearing
from .messages import Begin, Bye, Job, Refusal
from .process import ChildProcess, Died
from .session import ENVIRONMENT, START_S, docket_of


def replay(histories: Sequence[History], subject: str | None = None) -> Docket:
    """Return what is found when the commands of ``histories`` are carried out again, all in one process.

    ``subject`` takes the place of the one that the first header names. Raises an error of the family when the subject
    cannot be found or imported; its death is a finding.
    """
    kind: SubjectKind = histories[0].header.kind
    name = subject or histories[0].header.subject
    suite = suite_of(kind)
    docket = docket_of(suite)
    hearing = Hearing(suite, docket, name)
    commands = tuple(
        tuple(_command_line(step) for step in history.steps(suite.step_type)) for history in histories
    )
    job = Job(subject=name, kind=kind, histories=commands)
    with ChildProcess(job, memory_limit_bytes=suite.memory_limit_bytes, environment=ENVIRONMENT) as child:
        deadline_s = START_S
        try:
            while not isinstance(message := child.next_message(deadline_s), Bye):
                deadline_s = suite.step_deadline_s
                if isinstance(message, Refusal):
                    raise error_from_wire(message.error)
                if isinstance(message, Begin):
                    hearing.begin(histories[message.example].header.scenario)
                else:
                    hearing.take(message)
        except Died as death:
            hearing.bury(death.how)
        finally:
            docket.end_process(child.output_bytes, child.output_tail)
    return docket


def _command_line(step: Step) -> str:
    command: Command = step.command  # type: ignore[attr-defined]  # every kind has one
    return command.model_dump_json()


def judge_recorded(histories: Sequence[History]) -> Docket:
    """Return what the rules of a kind say of histories as they were recorded. No subject is needed."""
    suite = suite_of(histories[0].header.kind)
    docket = Docket(suite.rules, suite.stated)
    for history in histories:
        if history.header.kind != suite.kind:
            raise InvalidRequest(
                f"{history.place}: a history of kind {history.header.kind} among those of {suite.kind}"
            )
        case = docket.open(history.header, suite.make_model())
        for step in history.steps(suite.step_type):
            docket.add(case, step)
    return docket


class Witnesses:
    """Replays witnesses with one subject."""

    def __init__(self, subject: str) -> None:
        self._subject = subject

    def __call__(self, path: Path, clause: str) -> Witness | None:
        """Return how ``clause`` is broken by the history in ``path``, or None."""
        docket = replay(list(read_histories(path)), self._subject)
        for result in docket.results(floors=False):
            if result.clause == clause:
                return result.witness
        return None
