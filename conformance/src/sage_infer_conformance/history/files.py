"""Histories as JSON lines: a header, then one step a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.testing import SubjectKind
from sage_infer_contracts.wire import WireModel

from .steps import Step


class Header(WireModel):
    """First line of a history."""

    kind: SubjectKind
    subject: str
    scenario: str = "recorded"


def dump(header: Header, steps: Sequence[Step]) -> list[str]:
    """Return the lines of one history."""
    return [header.model_dump_json(), *(step.model_dump_json(exclude_none=True) for step in steps)]


def read_histories(path: Path) -> Iterator[tuple[Header, list[str]]]:
    """Yield each history of a file: its header and the lines of its steps.

    Raises ``InvalidRequest`` for a file that cannot be read or does not begin with a header.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", param="file") from error
    header: Header | None = None
    steps: list[str] = []
    for number, line in enumerate(filter(None, map(str.strip, lines)), start=1):
        if header is None or '"command"' not in line:
            if header is not None:
                yield header, steps
            header, steps = _header(path, number, line), []
        else:
            steps.append(line)
    if header is None:
        raise InvalidRequest(f"{path} is empty: it holds no history", param="file")
    yield header, steps


def _header(path: Path, number: int, line: str) -> Header:
    try:
        return Header.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "it"
        raise InvalidRequest(
            f"{path}, line {number}: not the header of a history ({where}: {problem['msg']})", param="file"
        ) from error
