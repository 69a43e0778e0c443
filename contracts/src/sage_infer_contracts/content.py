"""Identity of KV blocks: what they were computed from, and in which form they are stored."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import NewType

from pydantic import Field, NonNegativeInt

from .wire import FrozenModel

ContentKey = NewType("ContentKey", bytes)
"""SHA-256 digest (32 bytes) of a block's whole history: see :class:`ContentRoot` and :func:`chain_key`."""


class ContentRoot(FrozenModel):
    """What, besides the tokens, decides the values in a block. The namespace separates tenants."""

    model_fingerprint: str = Field(description="model weights and quantisation")
    namespace: str = ""
    adapter: str = Field(default="", description="LoRA or other adapter")
    extras: str = Field(default="", description="digest of multimodal inputs")

    def key(self) -> ContentKey:
        """Return the parent key of the first block."""
        digest = hashlib.sha256(b"sage-kv-1")
        for part in (self.model_fingerprint, self.namespace, self.adapter, self.extras):
            encoded = part.encode()
            digest.update(struct.pack("<I", len(encoded)) + encoded)
        return ContentKey(digest.digest())


def chain_key(parent: ContentKey, token_ids: Sequence[int]) -> ContentKey:
    """Return the key of the block that holds ``token_ids`` after the block ``parent``."""
    return ContentKey(hashlib.sha256(parent + struct.pack(f"<{len(token_ids)}I", *token_ids)).digest())


class Variant(FrozenModel):
    """In which form a block is stored. Blocks are interchangeable only when key and variant agree."""

    schema_fingerprint: str
    tensor_parallel_rank: NonNegativeInt = 0
    tensor_parallel_size: int = Field(default=1, ge=1)
    numerics: str = Field(default="exact", description="class of arithmetic that made the values")
