"""Waivers: what a plugin knowingly does otherwise, in a ``deviations.toml`` that ships with it.

Only a SHOULD can be waived, until a date, with a reason, a link and a history that shows the deviation. That history
is replayed in every run: a waiver for what no longer happens fails the run, and so does an expired one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import UTC, date, datetime
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated

import attrs
from pydantic import Field, ValidationError

from sage_infer_contracts.certification import ClauseResult, SubjectFacts, Witness
from sage_infer_contracts.clauses import CLAUSES
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.wire import FrozenModel

FILE_NAME = "deviations.toml"
ShowAgain = Callable[[Path, str], Witness | None]
"""Replays the history in a file; returns how the clause is broken by it, or None."""


class Waiver(FrozenModel):
    """One ``[[deviation]]``."""

    clause: str
    reason: Annotated[str, Field(min_length=1)]
    link: Annotated[str, Field(pattern=r"^https?://\S+$")]
    expires: date
    witness: str = Field(description="file of the history that shows it, relative to deviations.toml")

    def explanation(self) -> str:
        """Return why, where to read more, and until when."""
        return f"{self.reason} ({self.link}, until {self.expires.isoformat()})"


class _Document(FrozenModel):
    deviation: tuple[Waiver, ...] = ()


@attrs.frozen(slots=True)
class Waiving:
    """The waivers that stand, with the deviation as it showed again, and what is wrong with the others."""

    standing: dict[str, tuple[Waiver, Witness]] = attrs.field(factory=dict)
    problems: tuple[str, ...] = ()

    def apply(self, result: ClauseResult) -> ClauseResult:
        """Return the verdict ``waived`` for a clause whose waiver stands, else what was found."""
        if result.clause not in self.standing or result.verdict not in ("violated", "held", "thin"):
            return result
        waiver, shown = self.standing[result.clause]
        witness = result.witness or shown
        return result.model_copy(
            update={"verdict": "waived", "reason": waiver.explanation(), "witness": witness}
        )


def read_waivers(path: Path) -> tuple[Waiver, ...]:
    """Return what the file says; raises ``InvalidRequest`` where it is no list of waivers."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return _Document.model_validate(document).deviation
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", param="deviations") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in problem["loc"])
        raise InvalidRequest(f"{path}, {where}: {problem['msg']}", param="deviations") from error


def weigh(path: Path, show_again: ShowAgain, today: date | None = None) -> Waiving:
    """Check every waiver of the file: level, date, and that its history still shows the deviation."""
    day = today or datetime.now(UTC).date()
    standing: dict[str, tuple[Waiver, Witness]] = {}
    problems: list[str] = []
    for waiver in read_waivers(path):
        found = _fault(waiver, path, day) or _shown(waiver, path, show_again)
        if isinstance(found, str):
            problems.append(found)
        elif waiver.clause in standing:
            problems.append(f"{waiver.clause} is waived twice in {path}")
        else:
            standing[waiver.clause] = (waiver, found)
    return Waiving(standing, tuple(problems))


def _fault(waiver: Waiver, path: Path, day: date) -> str | None:
    clause = CLAUSES.get(waiver.clause)
    if clause is None:
        return f"{waiver.clause} is waived in {path} and is no clause of the contract"
    if clause.level != "SHOULD":
        return f"{waiver.clause} is a {clause.level}: it cannot be waived ({path})"
    if day > waiver.expires:
        ended = waiver.expires.isoformat()
        return f"the waiver of {waiver.clause} expired on {ended}: repair it, or renew the waiver in {path}"
    return None


def _shown(waiver: Waiver, path: Path, show_again: ShowAgain) -> str | Witness:
    what = f"the waiver of {waiver.clause}"
    file = path.parent / waiver.witness
    if not file.is_file():
        return f"{what} names the witness {waiver.witness}, and there is no file {file}"
    witness = show_again(file, waiver.clause)
    if witness is None:
        return f"{what} is out of date: its witness no longer breaks the clause; take it out of {path}"
    return witness


def find_deviations(facts: SubjectFacts) -> Path | None:
    """Return the ``deviations.toml`` of a subject: of its distribution, or beside its module. Imports nothing."""
    for file in _files_of(facts.distribution):
        if file.name == FILE_NAME and file.is_file():
            return file
    folder = _folder_of(facts.target)
    if folder is not None and (folder / FILE_NAME).is_file():
        return folder / FILE_NAME
    return None


def _files_of(name: str | None) -> list[Path]:
    if name is None:
        return []
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files]


def _folder_of(target: str) -> Path | None:
    """Return the folder of ``./file.py:attr``, or of the top-level package of ``module:attr``."""
    place = target.rpartition(":")[0]
    if place.endswith(".py"):
        return Path(place).resolve().parent
    spec = PathFinder.find_spec(place.partition(".")[0], None)
    if spec is None:
        spec = PathFinder.find_spec(place.partition(".")[0], [str(Path.cwd())])
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin).parent if spec.origin else None
