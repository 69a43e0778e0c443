"""The function behind the reference: KV of a token from the KV before it, logits from the KV of the last token."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence

from sage_infer_contracts.kv import KVCacheSchema, KVGroup, KVLayout

from .text import EOS, PIECES, TURN, VOCABULARY, bytes_of

LAYERS, HEADS, HEAD_DIM = 2, 2, 4
TOKEN_BYTES = 2 * LAYERS * HEADS * HEAD_DIM
"""K and V of one token, one byte an element."""

_WEIGHTS = 64
_RANGE = 8.0
_UNLIKELY = -_RANGE
_EOS_BONUS = 0.03 * _RANGE
"""Makes about one greedy token in thirty the end of the output."""


def schema_of(page_size: int) -> KVCacheSchema:
    """Describe blocks of ``page_size`` tokens."""
    group = KVGroup(
        num_layers=LAYERS,
        num_heads=HEADS,
        head_dim=HEAD_DIM,
        layout=KVLayout(axes=("block", "token", "kv", "head", "dim"), packing="layers-inside-token"),
    )
    return KVCacheSchema(
        dtype="int8",
        page_size=page_size,
        num_layers=LAYERS,
        num_heads=HEADS,
        head_dim=HEAD_DIM,
        groups=(group,),
    )


class Function:
    """Deterministic and exact: every byte of the KV before a position decides what follows it."""

    def __init__(self, name: str) -> None:
        """Make the weights of the model called ``name``."""
        raw = hashlib.shake_128(name.encode()).digest(4 * _WEIGHTS)
        self.weights = [value / 2**31 for value in struct.unpack(f"<{_WEIGHTS}i", raw)]

    @property
    def fingerprint(self) -> str:
        """Digest of the weights."""
        return self._key().hex()

    def quantise(self, bits: int) -> None:
        """Round the weights to ``bits`` bits over their range."""
        steps = 2 ** (bits - 1) - 1
        scale = max(map(abs, self.weights)) / steps
        self.weights = [round(weight / scale) * scale for weight in self.weights]

    def kv(self, token: int, position: int, read: Callable[[int], bytes]) -> bytes:
        """Return the KV of ``token`` at ``position``; ``read`` gives that of an earlier position."""
        mixed = hashlib.blake2b(struct.pack("<I", token), digest_size=TOKEN_BYTES, key=self._key())
        if position:
            for seen in (position - 1, position // 2, position * 5 // 7):
                mixed.update(read(seen))
        return mixed.digest()

    def logits(self, kv: bytes, before: Sequence[int]) -> list[float]:
        """Return one logit per token after a token with ``kv``; ``before`` are the last tokens, that one included."""
        raw = hashlib.shake_128(kv + self._key()).digest(2 * VOCABULARY)
        values = memoryview(raw).cast("H")
        bias = _BIAS[_missing_bytes(before)]
        return [value * (_RANGE / 65536) + extra for value, extra in zip(values, bias, strict=True)]

    def _key(self) -> bytes:
        return hashlib.sha256(struct.pack(f"<{_WEIGHTS}d", *self.weights)).digest()


def _missing_bytes(before: Sequence[int]) -> int:
    """Return how many bytes the last character still lacks."""
    tail = b"".join(map(bytes_of, before[-4:]))[-4:]
    for back in range(1, min(4, len(tail)) + 1):
        byte = tail[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return max(0, length - back)
        if byte < 0x80:
            return 0
    return 0


def _bias(missing: int) -> list[float]:
    """Favour bytes that go on with a character, or tokens that begin one, so that most of the text is text."""
    bias = [0.0] * VOCABULARY
    for token in range(VOCABULARY):
        first = (bytes_of(token) or b"\0")[0]
        goes_on = 0x80 <= first < 0xC0
        if missing:
            bias[token] = _RANGE / 2 if goes_on and token < EOS else 0.0
        elif goes_on or first < 0x20 or first in (0x7F, 0xC0, 0xC1, 0xE0, 0xED, 0xF0) or first > 0xF3:
            bias[token] = _UNLIKELY
    for token in range(TURN + 1, TURN + 1 + len(PIECES)):
        bias[token] += 0.0 if missing else 0.1 * _RANGE
    bias[EOS], bias[TURN] = _EOS_BONUS + (0.0 if missing else 0.08 * _RANGE), _UNLIKELY
    return bias


_BIAS = tuple(_bias(missing) for missing in range(4))
