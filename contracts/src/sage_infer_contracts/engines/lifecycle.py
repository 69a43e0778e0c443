"""The states of a backend: created, starting, ready, then failed or closed, and never back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal

import attrs

from ..backend import BackendHealth
from ..errors import BackendUnavailable, SageInferError

State = Literal["created", "starting", "ready", "failed", "closed"]


@attrs.define(slots=True)
class Lifecycle:
    """State of one backend, used on its event loop. ``label`` names it in messages, e.g. ``the torch backend``."""

    label: str
    state: State = "created"
    reason: str | None = None

    @asynccontextmanager
    async def starting(self, undo: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Run a start in the block: ready after it, or failed and undone.

        Raises ``BackendUnavailable`` for a second start, and in place of errors outside the family (PK-04).
        """
        if self.state != "created":
            raise BackendUnavailable(f"{self.label} is {self.state}; create a new one to start again")
        self.state = "starting"
        try:
            yield
            self.ready()
        except BaseException as error:
            self.fail(error)
            await undo()
            if isinstance(error, SageInferError) or not isinstance(error, Exception):
                raise
            raise BackendUnavailable(f"{self.label} could not start: {self.reason}") from error

    def ready(self) -> None:
        """Serve from now on; raises ``BackendUnavailable`` for a backend that was closed while it was starting."""
        if self.state == "closed":
            raise BackendUnavailable(f"{self.label} was closed while it was starting")
        self.state = "ready"

    def fail(self, error: BaseException) -> bool:
        """Take note that it cannot serve; False if it could not before."""
        if self.state not in ("starting", "ready"):
            return False
        self.state, self.reason = "failed", f"{type(error).__name__}: {error}"
        return True

    async def close(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Run ``stop`` and be closed; a failed backend says so until it has stopped."""
        if self.state != "failed":
            self.state = "closed"
        await stop()
        self.state = "closed"

    def require_ready(self) -> None:
        """Raise ``BackendUnavailable`` with the state and its reason unless requests are served."""
        if self.state != "ready":
            detail = f": {self.reason}" if self.reason else ""
            raise BackendUnavailable(f"{self.label} is {self.state}{detail}")

    def health(self) -> BackendHealth:
        """Return state and reason as the contract says them."""
        return BackendHealth(state=self.state, reason=self.reason)
