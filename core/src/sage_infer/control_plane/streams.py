"""The output of one request: deltas of all its sequences, merged, for one consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from sage_infer_contracts.streams import TokenDelta

Batch = list[tuple[int, TokenDelta]]
"""Sequence index and delta, in the order of arrival."""


class RequestStream:
    """Deltas of ``sequences`` sequences, delivered in batches.

    Owned by one event loop. The buffer is bounded by the request's own token limits, so a slow consumer never
    holds an engine slot. The stream ends when every sequence has ended, or with the first error.
    """

    def __init__(
        self, request_id: str, *, sequences: int, prompt_tokens: int, on_cancel: Callable[[], object]
    ) -> None:
        self.request_id = request_id
        self.sequences = sequences
        self.prompt_tokens = prompt_tokens
        self._on_cancel = on_cancel
        self._pending: deque[tuple[int, TokenDelta]] = deque()
        self._open = set(range(sequences))
        self._error: BaseException | None = None
        self._wakeup: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether the last delta or an error was delivered to the buffer."""
        return not self._open

    def push(self, index: int, delta: TokenDelta) -> None:
        """Deliver ``delta`` of sequence ``index``; ignored once that sequence has ended."""
        if index not in self._open:
            return
        self._pending.append((index, delta))
        if delta.finish_reason is not None:
            self._open.discard(index)
        self._wake()

    def fail(self, error: BaseException) -> None:
        """End the stream with ``error``, raised after the deltas already delivered."""
        if not self._open:
            return
        self._error = error
        self._open.clear()
        self._wake()

    def cancel(self) -> None:
        """Give the request up; safe at any time."""
        if self._open:
            self._on_cancel()

    async def next_batch(self) -> Batch:
        """Return everything that has arrived, waiting for the first delta; an empty list is the end.

        The wait is bounded by the request's deadline, which ends the stream with ``DeadlineExceeded``.
        """
        while not self._pending:
            if self._error is not None:
                raise self._error
            if not self._open:
                return []
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup
        batch = list(self._pending)
        self._pending.clear()
        return batch

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)
