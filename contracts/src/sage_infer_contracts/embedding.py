"""EmbeddingBackend: texts to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .backend import BackendHealth, BackendStats
from .descriptors import CapabilityDescriptor


class EmbeddingBackend(Protocol):
    """One embedding model on one instance.

    A factory found under ``sage_infer.embedding.v1`` is called as ``factory(config, context)``; nothing is
    loaded before :meth:`start`. ``capabilities`` holds ``backend.embedding``, and ``embedding.truncates`` when
    input past the maximum is cut at the maximum; without it such input MUST be refused (EB-03).
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Names from :class:`Capability`."""
        ...

    async def start(self) -> None:
        """Load the model and become ready; raises as :meth:`InferenceBackend.start` does.

        EB-04: before it, calls MUST be refused with ``BackendUnavailable``.
        """
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector of :meth:`get_embedding_dim` floats per text, in order.

        EB-01: order MUST be kept, dimension MUST be as declared, values MUST be finite, and an empty input
        MUST give an empty list. EB-02: a vector MUST NOT depend on its batch, on
        other calls or on the instance, within the dtype's tolerance. EB-03: input past :meth:`get_max_length`
        tokens MUST be truncated or refused with ``InvalidRequest`` as declared, never silently both; a refusal
        MUST name the limit.
        """
        ...

    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[list[float]]:
        """As :meth:`embed`, at most ``batch_size`` texts at a time on the device (EB-01, EB-02)."""
        ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens of each text reach the model, special tokens included."""
        ...

    def get_embedding_dim(self) -> int:
        """Return the length of every vector (EB-01)."""
        ...

    def get_max_length(self) -> int:
        """Return the most tokens one text may have (EB-03)."""
        ...

    def get_capability(self) -> CapabilityDescriptor:
        """Describe the running instance."""
        ...

    async def health(self) -> BackendHealth:
        """Say whether requests are served; never raises."""
        ...

    async def stats(self) -> BackendStats:
        """Return counters; ``computed_tokens`` counts what went through the model."""
        ...

    async def close(self) -> None:
        """Stop. EB-04: MUST be idempotent and free everything; what is pending MUST end, with its vectors or an
        error; later calls MUST be refused with ``BackendUnavailable``. A new object may be started instead.
        """
        ...
