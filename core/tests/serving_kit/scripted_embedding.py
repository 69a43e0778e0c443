"""An embedding backend for tests: a vector is a fixed function of its text."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from sage_infer_contracts.backend import BackendHealth, BackendStats
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.errors import BackendUnavailable, InvalidRequest
from sage_infer_contracts.names import InstanceType

DIMENSION = 8
MAX_LENGTH = 256


def vector_of(text: str) -> list[float]:
    """Return the vector of ``text``."""
    digest = hashlib.sha256(text.encode()).digest()
    return [(byte - 128) / 128 for byte in digest[:DIMENSION]]


class ScriptedEmbedding:
    """The embedding contract over a hash."""

    capabilities = frozenset({"backend.embedding"})

    def __init__(self, *, max_batch_size: int = 8) -> None:
        self._max_batch_size = max_batch_size
        self._state = BackendHealth(state="created")
        self.gate = asyncio.Event()
        self.gate.set()
        self.calls = 0
        self.busy = 0

    async def start(self) -> None:
        self._state = BackendHealth(state="ready")

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return await self.embed_batch(texts)

    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[list[float]]:
        if self._state.state != "ready":
            raise BackendUnavailable(f"backend is {self._state.state}")
        if any(len(text.encode()) > MAX_LENGTH for text in texts):
            raise InvalidRequest(f"a text has more than {MAX_LENGTH} tokens, the maximum", param="input")
        self.calls += 1
        self.busy += 1
        try:
            await self.gate.wait()
        finally:
            self.busy -= 1
        return [vector_of(text) for text in texts]

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.encode()) for text in texts]

    def get_embedding_dim(self) -> int:
        return DIMENSION

    def get_max_length(self) -> int:
        return MAX_LENGTH

    def get_capability(self) -> CapabilityDescriptor:
        return CapabilityDescriptor(
            backend_name="scripted",
            instance_type=InstanceType.EMBEDDING,
            hardware_backend="cpu",
            max_batch_size=self._max_batch_size,
            max_sequence_length=MAX_LENGTH,
            kv_cache_capacity_gb=0.0,
            supported_precisions=("fp32",),
        )

    async def health(self) -> BackendHealth:
        return self._state

    async def stats(self) -> BackendStats:
        return BackendStats()

    async def close(self) -> None:
        self._state = BackendHealth(state="closed")
