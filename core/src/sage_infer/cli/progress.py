"""Progress of long work, on standard error: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_STEP = 0.1


class StageReporter:
    """A ``ProgressCallback`` to use as a context manager; safe to call from any thread.

    Off a terminal a stage is printed once, and again for every tenth of it that is done.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._printed: tuple[str, float] = ("", 0.0)

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._live = Progress(*columns, console=Console(stderr=True), transient=True)
            self._live.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, stage: str, share: float | None) -> None:
        """Show that ``stage`` is under way and which share of it, 0 to 1, is done."""
        if self._live is not None:
            self._update(self._live, stage, share)
        elif not self._quiet:
            self._print(stage, share)

    def _update(self, live: Progress, stage: str, share: float | None) -> None:
        total = None if share is None else 1.0
        if self._task is None or live.tasks[-1].description != stage:
            if self._task is not None:
                live.remove_task(self._task)
            self._task = live.add_task(stage, total=total)
        live.update(self._task, total=total, completed=share or 0.0)

    def _print(self, stage: str, share: float | None) -> None:
        last_stage, last_share = self._printed
        if stage == last_stage and (share is None or share < last_share + _STEP):
            return
        self._printed = (stage, share or 0.0)
        click.echo(stage if share is None else f"{stage} ({share:.0%})", err=True)
