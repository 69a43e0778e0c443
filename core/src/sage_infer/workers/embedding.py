"""ProcessEmbedding: an EmbeddingBackend whose model runs in a worker process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sage_infer_contracts.errors import BackendUnavailable

from .codec import vectors_from_plain
from .proxy import WorkerProxy


class ProcessEmbedding(WorkerProxy):
    """The same contract as the backend in the worker."""

    _dimension: int | None = None
    _max_length: int | None = None

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed in the worker; see :meth:`EmbeddingBackend.embed`."""
        return await self._request("embed", list(texts), decode=vectors_from_plain)

    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[list[float]]:
        """Embed in the worker, ``batch_size`` texts at a time on the device."""
        return await self._request("embed_batch", list(texts), batch_size, decode=vectors_from_plain)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count tokens in the worker."""
        return await self._request("count_tokens", list(texts))

    def get_embedding_dim(self) -> int:
        """Return the length of every vector."""
        if self._dimension is None:
            raise BackendUnavailable(f"the backend of {self.label} has not been started")
        return self._dimension

    def get_max_length(self) -> int:
        """Return the most tokens one text may have."""
        if self._max_length is None:
            raise BackendUnavailable(f"the backend of {self.label} has not been started")
        return self._max_length

    def _described(self, snapshot: Any) -> None:
        super()._described(snapshot)
        self._dimension, self._max_length = int(snapshot[2]), int(snapshot[3])
