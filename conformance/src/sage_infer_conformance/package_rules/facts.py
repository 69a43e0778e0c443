"""What is found out about an installed package, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt

from sage_infer_contracts.launch import BackendRecipe, VersionWindow
from sage_infer_contracts.testing import SubjectKind
from sage_infer_contracts.wire import FrozenModel

from ..history.steps import Raised


class Question(FrozenModel):
    """What a child process is to find out."""

    what: Literal["entries", "starts", "bare"]
    subject: str
    kind: SubjectKind
    distribution: str


class Metadata(FrozenModel):
    """Fields of a distribution's metadata; None for one that is not there."""

    name: str | None = None
    version: str | None = None
    summary: str | None = None
    license: str | None = None
    requires_python: str | None = None
    requires: tuple[str, ...] = ()


class Entry(FrozenModel):
    """One entry point, loaded in a fresh process."""

    group: str
    name: str
    value: str
    heavy: tuple[str, ...] = ()
    """Heavy modules that loading it imported."""
    error: Raised | None = None

    def __str__(self) -> str:
        return f"{self.group} {self.name} = {self.value}"


class Window(FrozenModel):
    """A declared version window, and the version that is installed here."""

    name: str
    declared: VersionWindow | None = None
    """None: the entry point resolved to something else."""
    installed: str | None = None


class Recipe(FrozenModel):
    """A recipe that an entry point resolved to."""

    entry: str
    """Name of the entry point."""
    group: str
    recipe: BackendRecipe | None = None
    """As it came back from JSON; None where it did not."""
    lost: str | None = None
    """What is lost on the way through JSON."""
    chips: tuple[str, ...] | None = None
    """Names in the list of chips beside it; None: there is no list."""
    runtimes: tuple[str, ...] = ()
    """Device runtimes that its distribution, or one that it requires, publishes."""


class Entries(FrozenModel):
    """What loading every entry point of a distribution showed."""

    entries: tuple[Entry, ...] = ()
    windows: tuple[Window, ...] = ()
    recipes: tuple[Recipe, ...] = ()


class Owner(FrozenModel):
    """A distribution that installed a file."""

    name: str
    publishes_drivers: bool = False
    is_required: bool = False
    """Whether the judged distribution requires it, directly or not."""
    has_changed: bool = False
    """Whether the file is another than the one that this distribution installed, by its recorded digest."""


class Origin(FrozenModel):
    """Where code that ran came from."""

    what: str
    file: str | None = None
    owners: tuple[Owner, ...] = ()


class Use(FrozenModel):
    """What happened when the subject was found, made and used for a few steps."""

    refusal: Raised | None = None
    """Why it could not even be found and loaded."""
    error: Raised | None = None
    """The first error of a step, or the end of the process."""
    steps: NonNegativeInt = 0
    module: Origin | None = None
    made: Origin | None = None
    unlike_driver: str | None = None
    """How what was made differs from the driver of that name in the same distribution."""
    heavy: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Modules that were looked for in vain."""

    def same_end(self, other: Use) -> bool:
        """Say whether both came to the same end, as far as a caller can tell."""
        return _gist(self.refusal) == _gist(other.refusal) and _gist(self.error) == _gist(other.error)


def _gist(raised: Raised | None) -> tuple[str, str | None, str | None] | None:
    return None if raised is None else (raised.type, raised.code, raised.fate)


class Start(FrozenModel):
    """The same use in a process that was started in one way."""

    method: str
    use: Use


class Starts(FrozenModel):
    """A use in an ordinary process, and in processes that it started."""

    use: Use
    started: tuple[Start, ...] = ()
    default_before: str | None = None
    default_after: str | None = None
    """The process's own default start method; None while nothing has set it."""


class PackageFacts(FrozenModel):
    """Everything that the rules of a package look at."""

    subject: str
    distribution: str
    metadata: Metadata
    claims: tuple[str, ...] = ()
    """Distributions that publish a driver of this kind and name."""
    loading: Entries
    starts: Starts
    bare: Use
    """The same where nothing is installed but what the distribution requires without extras."""
