"""Correct embedding backends that do things in their own way; no rule may object to any of them."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Sequence

from sage_infer_conformance.kinds.embedding.reference import (
    FIRST,
    LAST,
    ReferenceEmbedding,
    RefusingEmbedding,
    Row,
    Vector,
)  # fmt: skip
from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded
from sage_infer_contracts.launch import BackendContext


class Characters(RefusingEmbedding):
    """A token is a character, none is special, and the count of a text is told whether it fits or not."""

    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        super().__init__(config, context)
        self.max_tokens = 48

    def tokens(self, text: str) -> Row:
        return list(text)

    def encode(self, text: str) -> Row:
        return super().encode(text)[1:-1] if len(text) > self.max_tokens - 2 else list(text)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        self.life.require_ready()
        return [len(text) for text in texts]

    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        self.max_tokens = 50  # the special tokens of the parent, which are taken away again
        try:
            return await super().embed_batch(texts, batch_size)
        finally:
            self.max_tokens = 48


class Bytes(ReferenceEmbedding):
    """A token is a byte, a prompt stands before each text, and only the last token's state counts."""

    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        super().__init__(config, context)
        self.max_tokens = 64

    def tokens(self, text: str) -> Row:
        return [f"{byte:02x}" for byte in ("query: " + text).encode()]

    def encode(self, text: str) -> Row:
        return [*self.tokens(text)[: self.max_tokens - 1], LAST]

    def pool(self, states: list[Vector], mask: list[bool]) -> Vector:
        return states[sum(mask) - 1]


class OneAtATime(ReferenceEmbedding):
    """Batches are of one text, and a second call at once is turned away."""

    busy = False

    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        self.life.require_ready()
        if self.busy:
            raise CapacityExceeded("one call at a time")
        self.busy = True
        try:
            return await super().embed_batch(texts, 1)
        finally:
            self.busy = False


class Rounded(ReferenceEmbedding):
    """Computes in bf16, so that values differ a little with the size of the batch."""

    def get_capability(self) -> CapabilityDescriptor:
        return super().get_capability().model_copy(update={"supported_precisions": ("bf16",)})

    def batches(self, rows: Sequence[Row], batch_size: int) -> list[list[int]]:
        found = super().batches(rows, batch_size)
        self.size = max(map(len, found), default=1)
        return found

    def pool(self, states: list[Vector], mask: list[bool]) -> Vector:
        off = 1 + 0.004 * (self.size % 3)
        return [round(value * off * 128) / 128 for value in super().pool(states, mask)]


class FinishesFirst(ReferenceEmbedding):
    """Close waits for the calls that are under way."""

    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        super().__init__(config, context)
        self.calls = 0
        self.idle = asyncio.Event()

    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        if self.calls < 0:
            raise BackendUnavailable("closing")
        self.calls += 1
        self.idle.clear()
        try:
            return await super().embed_batch(texts, batch_size)
        finally:
            self.calls -= 1
            if not self.calls:
                self.idle.set()

    async def close(self) -> None:
        if self.life.state == "ready" and self.calls:
            await self.idle.wait()
        await super().close()


class Hashing(ReferenceEmbedding):
    """No model at all: signs of hashed words, in whole numbers, with zeros for a text without words."""

    def forward(self, batch: object) -> list[Vector]:
        rows = [[token for token in row if token not in ("<pad>", FIRST, LAST)] for row in batch.rows]  # type: ignore[attr-defined]
        return [self.hashed(row) for row in rows]

    def hashed(self, row: Row) -> Vector:
        vector = [0.0] * self.get_embedding_dim()
        for place, token in enumerate(row):
            digest = hashlib.blake2b(f"{place} {token}".encode(), digest_size=8).digest()
            number = int.from_bytes(digest, "big")
            vector[(number >> 1) % len(vector)] += (1.0 if number & 1 else -1.0) * (1 + math.log1p(place))
        return vector

    def get_embedding_dim(self) -> int:
        return 512
