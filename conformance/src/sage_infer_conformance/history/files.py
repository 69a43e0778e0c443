"""Histories as JSON lines: a header, then one step a line. A file holds one history or several."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs
from pydantic import ValidationError

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.testing import SubjectKind
from sage_infer_contracts.wire import WireModel

from .steps import Step


class Header(WireModel):
    """First line of a history."""

    kind: SubjectKind
    subject: str = "recorded"
    scenario: str = "recorded"


@attrs.frozen(slots=True)
class History:
    """A history as it was written: its header, and the steps with the numbers of their lines."""

    header: Header
    place: str
    lines: tuple[tuple[int, str], ...]

    def steps(self, step_type: type[Step]) -> list[Step]:
        """Read every step; raises ``InvalidRequest`` that names the line of the first that is none."""
        return [self._step(step_type, number, line) for number, line in self.lines]

    def _step(self, step_type: type[Step], number: int, line: str) -> Step:
        try:
            return step_type.model_validate_json(line)
        except ValidationError as error:
            says = f"not a step of kind {self.header.kind} ({_first_problem(error)})"
            raise InvalidRequest(f"{self.place}, line {number}: {says}", param="file") from error


def dump(header: Header, steps: Sequence[Step]) -> list[str]:
    """Return the lines of one history."""
    return [header.model_dump_json(), *(step.model_dump_json(exclude_none=True) for step in steps)]


def read_histories(path: Path, kind: SubjectKind | None = None) -> Iterator[History]:
    """Yield each history of a file. With ``kind``, steps that no header precedes are a history of that kind.

    Raises ``InvalidRequest`` that names the line, for a file that cannot be read or is not one of histories.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", param="file") from error
    yield from parse_histories(lines, str(path), kind)


def parse_histories(lines: Iterable[str], place: str, kind: SubjectKind | None = None) -> Iterator[History]:
    """Yield each history in ``lines``; ``place`` is what errors call them."""
    header: Header | None = Header(kind=kind) if kind is not None else None
    steps: list[tuple[int, str]] = []
    seen = False
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line:
            continue
        if _is_step(line, place, number):
            if header is None:
                says = "a step before any header; begin the file with one, or give --kind"
                raise InvalidRequest(f"{place}, line {number}: {says}", param="file")
            steps.append((number, line))
            continue
        if header is not None and (seen or steps):
            yield History(header, place, tuple(steps))
        header, steps, seen = _header(place, number, line), [], True
    if header is None or not (seen or steps):
        raise InvalidRequest(f"{place} is empty: it holds no history", param="file")
    yield History(header, place, tuple(steps))


def _is_step(line: str, place: str, number: int) -> bool:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"{place}, line {number}: not JSON ({error})", param="file") from error
    return isinstance(value, dict) and "command" in value


def _header(place: str, number: int, line: str) -> Header:
    try:
        return Header.model_validate_json(line)
    except ValidationError as error:
        says = f"neither a step (it has no 'command') nor the header of a history ({_first_problem(error)})"
        raise InvalidRequest(f"{place}, line {number}: {says}", param="file") from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    where = ".".join(map(str, problem["loc"])) or "it"
    return f"{where}: {problem['msg']}"
