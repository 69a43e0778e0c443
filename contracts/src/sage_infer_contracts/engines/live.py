"""The requests that an engine has accepted and not ended, as its event loop knows them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from ..backend import Prompt
from ..errors import CapacityExceeded, InvalidRequest
from .limits import RequestLimits


class Named(Hashable, Protocol):
    """A sequence: it has a name of its own, and that of the call it belongs to."""

    @property
    def request_id(self) -> str:
        """Name of this sequence, e.g. ``r/0``."""
        ...

    @property
    def group(self) -> str:
        """Request id of the call, which several sequences share."""
        ...


S = TypeVar("S", bound=Named)


class LiveRequests(Generic[S]):
    """Sequences that are queued or running. Used on the event loop only, so a check and its change are one."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._live: dict[str, list[S]] = {}
        self._cancelled: set[S] = set()
        self.count = 0

    def reserve(self, request_id: str, count: int) -> None:
        """Check that ``count`` sequences may enter under ``request_id``.

        Raises ``CapacityExceeded`` when they are too many now, ``InvalidRequest`` when they always are or the
        id is taken.
        """
        limits, bound = self._limits, self._limits.max_live
        described = (
            f"max_batch_size {limits.max_batch_size} + max_waiting_requests {limits.max_waiting_requests}"
        )
        if count > bound:
            raise InvalidRequest(
                f"{count} sequences in one call; the limit is {described} = {bound}", param="prompts"
            )
        if request_id in self._live:
            raise InvalidRequest(f"request id {request_id!r} is in use", param="request_id")
        if self.count + count > bound:
            raise CapacityExceeded(
                f"{self.count} sequences are running or waiting and {count} more are asked for; "
                f"the limit is {described} = {bound}; try again later"
            )

    def enter(self, sequence: S) -> None:
        """Take note of a sequence that goes to the engine."""
        for name in {sequence.request_id, sequence.group}:
            self._live.setdefault(name, []).append(sequence)
        self.count += 1

    def leave(self, sequence: S) -> None:
        """Forget a sequence that is over or parked."""
        for name in {sequence.request_id, sequence.group}:
            self._live[name].remove(sequence)
            if not self._live[name]:
                del self._live[name]
        self._cancelled.discard(sequence)
        self.count -= 1

    def to_cancel(self, request_id: str) -> tuple[bool, list[S]]:
        """Say whether the request is live, and which of its sequences were not told to stop yet."""
        live = self._live.get(request_id, [])
        fresh = [sequence for sequence in live if sequence not in self._cancelled]
        self._cancelled.update(fresh)
        return bool(live), fresh

    def all(self) -> list[S]:
        """Return every live sequence."""
        return list({sequence: None for group in self._live.values() for sequence in group})


def check_prompts(prompts: Sequence[Prompt]) -> None:
    """Raise ``InvalidRequest`` unless ``prompts`` is a list of at least one prompt, and not a prompt itself."""
    if isinstance(prompts, str) or any(isinstance(prompt, int) for prompt in prompts):
        raise InvalidRequest("prompts is a list of prompts; wrap a single one in a list", param="prompts")
    if not prompts:
        raise InvalidRequest("prompts is empty", param="prompts")


def sequence_names(group: str, count: int) -> list[str]:
    """Return the names of a call's sequences: the request id itself for one, ``id/0``, ``id/1`` for several."""
    return [group] if count == 1 else [f"{group}/{index}" for index in range(count)]
