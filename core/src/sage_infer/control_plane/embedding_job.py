"""The unit of work that embeds: the texts of one request, on one backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.errors import DeadlineExceeded, SageInferError
from sage_infer_contracts.streams import Usage

from .jobs import Job
from .metrics_collector import SequenceTimer
from .requests import EmbeddingResult
from .types import RequestMetadata, RequestStatus


class EmbeddingJob(Job[EmbeddingBackend]):
    """Texts to embed, ``batch_size`` at a time; the outcome is put into ``result``."""

    def __init__(
        self,
        metadata: RequestMetadata,
        timer: SequenceTimer,
        *,
        texts: Sequence[str],
        batch_size: int,
        timeout_s: float,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(metadata, (timer,), weight=min(len(texts), batch_size) or 1, on_end=on_end)
        self._timer = timer
        self._texts = texts
        self._batch_size = batch_size
        self._timeout_s = timeout_s
        self.result: asyncio.Future[EmbeddingResult] = asyncio.get_running_loop().create_future()

    async def run(self, backend: EmbeddingBackend) -> None:
        """Embed. A caller that went away does not stop it: the contract has no way to, so the slot stays taken."""
        try:
            async with asyncio.timeout(self._timeout_s):
                vectors = await backend.embed_batch(self._texts, batch_size=self._batch_size)
                tokens = sum(await backend.count_tokens(self._texts))
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"embedding {len(self._texts)} texts took over {self._timeout_s:g} s"
            ) from error
        self.metadata.prompt_tokens = tokens
        usage = Usage(tokens, 0, tokens, 0)
        self._timer.finished("eos", usage, self._now())
        if not self.result.done():
            self.result.set_result(EmbeddingResult(vectors, tokens))
        self.end(RequestStatus.FINISHED)

    def abandon(self) -> None:
        """Cancel the waiting caller."""
        self._timer.finished("cancelled", None, self._now())
        self.result.cancel()
        super().abandon()

    def fail(self, error: SageInferError) -> None:
        """End the job and hand ``error`` to the waiting caller."""
        self.deliver_error(error)
        super().fail(error)

    def deliver_error(self, error: SageInferError) -> None:
        """Hand ``error`` to the waiting caller, if it still waits."""
        if not self.result.done():
            self.result.set_exception(error)
