"""Asks child processes about an installed package."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from sage_infer_contracts.testing import SubjectKind

from ..history.steps import Raised
from ..kinds.table import suite_of
from ..running.names import FullName
from .facts import Entries, Entry, PackageFacts, Question, Starts, Use
from .metadata import claims_of, driver_group, read_metadata

_DEADLINE_S, _DEADLINE_STEPS = 120.0, 2.0
"""A child may take this much, and this many times what a step of the kind may take: it starts a subject thrice."""
_REAP_S = 5.0
_TAIL_BYTES = 4096
_WORKERS = 2


def gather(subject: str, kind: SubjectKind, distribution: str) -> PackageFacts:
    """Return the facts about ``distribution``, from which ``subject`` (a full name) came.

    Whatever the subject does to the processes that look at it becomes a fact, too.
    """
    bare_name = FullName.read(subject).bare
    group = driver_group(kind)
    question = Question(what="entries", subject=subject, kind=kind, distribution=distribution)
    with ThreadPoolExecutor(_WORKERS) as pool:
        starts = pool.submit(_ask, question.model_copy(update={"what": "starts"}))
        loading = pool.submit(_ask, question)
        bare = pool.submit(_ask, question.model_copy(update={"what": "bare"}))
        return PackageFacts(
            subject=bare_name,
            distribution=distribution,
            metadata=read_metadata(distribution),
            claims=tuple(claims_of(group, bare_name.rpartition(":")[2])) if group else (),
            loading=_entries(loading.result()),
            starts=_starts(starts.result()),
            bare=_use(bare.result()),
        )


def _entries(answer: str | Raised) -> Entries:
    if isinstance(answer, str):
        return Entries.model_validate_json(answer)
    return Entries(entries=(Entry(group="all", name="entry points", value="of the package", error=answer),))


def _starts(answer: str | Raised) -> Starts:
    return Starts.model_validate_json(answer) if isinstance(answer, str) else Starts(use=_use(answer))


def _use(answer: str | Raised) -> Use:
    return Use.model_validate_json(answer) if isinstance(answer, str) else Use(error=answer)


def _ask(question: Question) -> str | Raised:
    """Return a child's answer as JSON, or what became of the child."""
    deadline_s = _DEADLINE_S + _DEADLINE_STEPS * suite_of(question.kind).step_deadline_s
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        answer = Path(folder) / "answer.json"
        module = f"{__package__}.child"
        process = subprocess.Popen(
            [sys.executable, "-m", module, question.model_dump_json(), str(answer)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return Raised(type="Hang", message=f"no end after {deadline_s:g} s", fate="hang")
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_REAP_S)
        if answer.exists():
            return answer.read_text(encoding="utf-8")
        return Raised(type="Exit", message=f"exited with status {code}{_last_line(output)}", fate="exit")


def _last_line(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _TAIL_BYTES))
    lines = output.read().decode(errors="replace").strip().splitlines()
    return f"; last output: {lines[-1][:300]}" if lines else ""
