"""A small correct embedding backend, to hold the rules against, and for broken ones to be made from.

It has what an encoder has: a tokenizer with special tokens, batches padded to their longest text, a mask, a step in
which tokens see each other, and a mean over tokens.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache

import attrs

from sage_infer_contracts.backend import BackendConfig, BackendHealth, BackendStats
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.engines.lifecycle import Lifecycle
from sage_infer_contracts.engines.texts import check_batch_size, check_texts
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.names import InstanceType

DIMENSION = 16
MAX_TOKENS = 24
MAX_BATCH = 8
FIRST, LAST, PAD = "<s>", "</s>", "<pad>"
_PIECE = 10
Row = list[str]
Vector = list[float]


@lru_cache(maxsize=4096)
def token_values(token: str, place: int) -> tuple[float, ...]:
    """Return what the model knows of ``token`` at ``place``: values in [-1, 1)."""
    digest = hashlib.shake_128(f"{place} {token}".encode()).digest(2 * DIMENSION)
    return tuple(int.from_bytes(digest[at : at + 2], "big") / 32768 - 1 for at in range(0, 2 * DIMENSION, 2))


def mean(rows: Sequence[Sequence[float]]) -> Vector:
    """Return the mean of vectors of the same length; zeros for none."""
    return (
        [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)] if rows else [0.0] * DIMENSION
    )


@attrs.define(slots=True)
class Batch:
    """Texts that go through the model at once: rows of equal length, and which places hold a token."""

    rows: list[Row]
    mask: list[list[bool]]


class ReferenceEmbedding:
    """Truncates at the maximum. Words are tokens; a word of more than ten letters is several."""

    capabilities = frozenset({Capability.BACKEND_EMBEDDING.value, Capability.EMBEDDING_TRUNCATES.value})

    def __init__(self, config: BackendConfig, _: BackendContext) -> None:
        self.config = config
        self.name = config.model.model_id
        self.max_tokens = config.max_sequence_length or MAX_TOKENS
        self.life = Lifecycle("the embedding backend")
        self.computed_tokens = 0

    async def start(self) -> None:
        """Become ready."""
        async with self.life.starting(self._stop):
            await asyncio.sleep(0)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector per text, in order."""
        return await self.embed_batch(texts, MAX_BATCH)

    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        """As :meth:`embed`, at most ``batch_size`` texts at a time. Texts of like length go together."""
        check_texts(texts)
        check_batch_size(batch_size)
        self.life.require_ready()
        rows = [self.encode(text) for text in texts]
        vectors: list[Vector] = [[]] * len(rows)
        for places in self.batches(rows, batch_size):
            await asyncio.sleep(0)
            self.life.require_ready()
            batch = self.pad([rows[place] for place in places])
            self.computed_tokens += sum(map(sum, batch.mask))
            for place, vector in zip(places, self.forward(batch), strict=True):
                vectors[place] = vector
        return vectors

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens of each text reach the model."""
        check_texts(texts)
        self.life.require_ready()
        return [len(self.encode(text)) for text in texts]

    def get_embedding_dim(self) -> int:
        """Return the length of every vector."""
        return DIMENSION

    def get_max_length(self) -> int:
        """Return the most tokens one text may have."""
        return self.max_tokens

    def get_capability(self) -> CapabilityDescriptor:
        """Describe the instance."""
        return CapabilityDescriptor(
            backend_name="reference",
            instance_type=InstanceType.EMBEDDING,
            hardware_backend="cpu",
            max_batch_size=MAX_BATCH,
            max_sequence_length=self.max_tokens,
            kv_cache_capacity_gb=0.0,
            supported_precisions=("fp32",),
            capabilities=self.capabilities,
        )

    async def health(self) -> BackendHealth:
        """Say whether requests are served."""
        return self.life.health()

    async def stats(self) -> BackendStats:
        """Return how many tokens went through the model."""
        return BackendStats(computed_tokens=self.computed_tokens)

    async def close(self) -> None:
        """Stop; what is pending finds out at its next batch."""
        await self.life.close(self._stop)

    async def _stop(self) -> None:
        await asyncio.sleep(0)

    def tokens(self, text: str) -> Row:
        """Cut a text into words, and long words into pieces."""
        return [word[at : at + _PIECE] for word in text.split() for at in range(0, len(word), _PIECE)]

    def encode(self, text: str) -> Row:
        """Return the tokens that reach the model: special ones around what fits."""
        return [FIRST, *self.tokens(text)[: self.max_tokens - 2], LAST]

    def batches(self, rows: Sequence[Row], batch_size: int) -> list[list[int]]:
        """Return the places of texts that go together, the longest first."""
        order = sorted(range(len(rows)), key=lambda place: -len(rows[place]))
        return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]

    def pad(self, rows: Sequence[Row]) -> Batch:
        """Bring rows to one length."""
        width = max(map(len, rows))
        padded = [row + [PAD] * (width - len(row)) for row in rows]
        return Batch(padded, [[place < len(row) for place in range(width)] for row in rows])

    def forward(self, batch: Batch) -> list[Vector]:
        """Run one batch through the model."""
        return [
            self.pool(self.mix(row, mask), mask) for row, mask in zip(batch.rows, batch.mask, strict=True)
        ]

    def mix(self, row: Row, mask: list[bool]) -> list[Vector]:
        """Let each token see all others of its text."""
        states = [token_values(f"{self.name} {token}", place) for place, token in enumerate(row)]
        context = mean([state for state, real in zip(states, mask, strict=True) if real])
        return [[math.tanh(own + seen) for own, seen in zip(state, context, strict=True)] for state in states]

    def pool(self, states: list[Vector], mask: list[bool]) -> Vector:
        """Return the normalised mean over tokens."""
        pooled = mean([state for state, real in zip(states, mask, strict=True) if real])
        length = math.hypot(*pooled)
        return [value / length for value in pooled] if length else pooled


class RefusingEmbedding(ReferenceEmbedding):
    """The same, but over-long input is refused."""

    capabilities = frozenset({Capability.BACKEND_EMBEDDING.value})

    def encode(self, text: str) -> Row:
        """Return all tokens; refuse a text that has too many."""
        row = [FIRST, *self.tokens(text), LAST]
        if len(row) > self.max_tokens:
            says = f"a text has {len(row)} tokens; a text may have {self.max_tokens}"
            raise InvalidRequest(says, param="texts")
        return row
