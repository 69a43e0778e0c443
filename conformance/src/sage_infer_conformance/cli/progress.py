"""Progress of a run, on standard error: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_COUNT = re.compile(r"^(?P<scenario>.+?) (?P<done>\d+) of (?P<planned>\d+)$")
_MORE = re.compile(r", \d+ more$")
_PLAIN_PARTS = 4


class ProgressLine:
    """To be called with what a session tells; a context manager. Owned by one thread."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._printed: tuple[str, int] = ("", -1)

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._live = Progress(*columns, console=Console(stderr=True), transient=True)
            self._live.start()
            self._task = self._live.add_task("finding the subject", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, text: str) -> None:
        """Show what is under way, e.g. ``wander 12 of 200``."""
        count = _COUNT.match(text)
        done, planned = (int(count["done"]), int(count["planned"])) if count else (0, 0)
        if self._live is not None and self._task is not None:
            self._live.update(self._task, description=text, total=planned or None, completed=done)
        elif not self._quiet:
            part = done * _PLAIN_PARTS // planned if planned else 0
            self._print(text, count["scenario"] if count else _MORE.sub(", more", text), part)

    def _print(self, text: str, stage: str, part: int) -> None:
        if (stage, part) != self._printed:
            self._printed = (stage, part)
            click.echo(text, err=True)
