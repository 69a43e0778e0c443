"""Uses a subject in processes that this one starts, by both methods that leave nothing inherited by accident."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from multiprocessing.context import BaseContext
from pathlib import Path

from sage_infer_contracts.testing import SubjectKind

from ..history.steps import Raised
from .facts import Question, Start, Starts, Use
from .using import use_once

_DEADLINE_S = 15.0
_DEADLINE_USES = 10.0
"""A started process may take this much, and this many times what the use took here."""
_REAP_S = 5.0


def use_in_started_processes(question: Question) -> Starts:
    """Use the subject here first, as a parent that has it loaded, then under spawn and fork-server."""
    before = multiprocessing.get_start_method(allow_none=True)
    began = time.monotonic()
    use = use_once(question.subject, question.kind, trace=True)
    deadline_s = _DEADLINE_S + _DEADLINE_USES * (time.monotonic() - began)
    after = multiprocessing.get_start_method(allow_none=True)
    spawn, server = multiprocessing.get_context("spawn"), multiprocessing.get_context("forkserver")
    if use.module is not None:
        # A server that has the entry module loaded hands on whatever the import started or opened.
        server.set_forkserver_preload([use.module.what.removeprefix("module ")])
    started = (
        Start(method="spawn", use=_use_in(spawn, question, deadline_s)),
        Start(method="fork-server", use=_use_in(server, question, deadline_s)),
    )
    return Starts(use=use, started=started, default_before=before, default_after=after)


def _use_in(context: BaseContext, question: Question, deadline_s: float) -> Use:
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "use.json"
        process = context.Process(target=_use_into, args=(answer, question.subject, question.kind))  # type: ignore[attr-defined]
        process.start()
        process.join(deadline_s)
        if process.is_alive():
            process.kill()
            process.join(_REAP_S)
            return Use(error=Raised(type="Hang", message=f"no end after {deadline_s:.0f} s", fate="hang"))
        if not answer.exists():
            message = f"the process ended with status {process.exitcode}"
            return Use(error=Raised(type="Exit", message=message, fate="exit"))
        return Use.model_validate_json(answer.read_text(encoding="utf-8"))


def _use_into(answer: Path, subject: str, kind: SubjectKind) -> None:
    answer.write_text(use_once(subject, kind).model_dump_json(), encoding="utf-8")
