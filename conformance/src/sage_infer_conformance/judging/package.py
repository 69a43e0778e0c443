"""Rules that every subject is judged by while it runs, whatever its kind: PK-04, PK-05 and PK-08."""

from __future__ import annotations

from collections.abc import Iterable

from ..history.steps import Output, Residue, Step
from .rules import HELD, Check, Rule, broken, check

OUTPUT_BYTES = 64 * 1024
"""What a subject may print in one process on top of what each step allows."""


def only_documented_errors(_: object, step: Step) -> Iterable[Check]:
    """PK-04: what comes out of a subject is a member of the family, and its process lives on."""
    error = step.error
    if error is None or error.code is not None:
        yield HELD
    elif error.fate is not None:
        yield broken(f"the subject took its process with it ({error.fate}): {error.message}")
    else:
        yield broken(f"{error.type} is not of the error family: {error.message}")


def nothing_left_behind(_: object, residue: Residue) -> Iterable[Check]:
    """PK-05: once closed, no thread, file or process of the subject is left."""
    yield check(not residue.threads, f"threads still run after the end: {', '.join(residue.threads)}")
    yield check(not residue.child_processes, f"{residue.child_processes} processes are left after the end")
    yield check(residue.open_files <= 0, f"{residue.open_files} files are still open after the end")


def bounded_output(_: object, output: Output) -> Iterable[Check]:
    """PK-08: what is printed stays bounded."""
    allowed = OUTPUT_BYTES + output.allowed_bytes
    printed = f"{output.bytes} bytes were printed in {output.steps} steps"
    says = f"{printed}; {allowed} are allowed. The last: {output.tail!r}"
    yield check(output.bytes <= allowed, says)


PACKAGE_RULES = (
    Rule("PK-04", "sampled", 100, only_documented_errors),
    Rule("PK-05", "sampled", 12, nothing_left_behind, of="history"),
    Rule("PK-08", "exact", 1, bounded_output, of="process"),
)
