"""What passes between prefill and decode."""

from __future__ import annotations

import attrs
from pydantic import Field, NonNegativeInt, PositiveInt

from .sampling import SamplingParams
from .streams import TokenDelta, TokenStream
from .wire import FrozenModel, WireModel


class KVHandle(FrozenModel):
    """KV that lives in an instance. It is named, never copied: a handle is good for one decode (IB-13).

    ``instance`` is unique per start of a backend, so that a handle from before a restart is foreign.
    ``generation`` rises each time the lease is granted anew.
    """

    instance: str
    generation: NonNegativeInt
    lease: str
    lease_expires_at_s: float | None = Field(
        default=None,
        description="the holder's monotonic clock, in seconds; only the instance itself compares it",
    )


class RngState(FrozenModel):
    """Counter-based sampling randomness: the draw after ``draws`` others depends on ``seed`` and it alone."""

    seed: int
    draws: NonNegativeInt


class DetokeniserState(FrozenModel):
    """Position of incremental detokenisation inside ``prompt_token_ids + output_token_ids``."""

    prefix_offset: NonNegativeInt
    read_offset: NonNegativeInt
    held_text: str = Field(
        default="", description="decoded text held back as a possible start of a stop string"
    )


class DecodeState(WireModel):
    """Everything decode needs to go on exactly where prefill ended, here or in another process.

    Penalties are functions of the token ids, so the ids are their state.
    """

    request_id: str
    prompt_token_ids: tuple[NonNegativeInt, ...]
    output_token_ids: tuple[NonNegativeInt, ...]
    params: SamplingParams
    rng: RngState
    detokeniser: DetokeniserState
    kv: KVHandle
    reused_prompt_tokens: NonNegativeInt = 0


@attrs.frozen(slots=True)
class PrefilledSequence:
    """One prompt after prefill: its first token, and the state to go on from (None if already finished)."""

    first: TokenDelta
    state: DecodeState | None


@attrs.frozen(slots=True)
class PrefillResult:
    """Result of :meth:`InferenceBackend.prefill`, one sequence per prompt, in order."""

    request_id: str
    sequences: tuple[PrefilledSequence, ...]

    @property
    def states(self) -> tuple[DecodeState, ...]:
        """The states of the sequences that are not finished yet."""
        return tuple(sequence.state for sequence in self.sequences if sequence.state is not None)


@attrs.frozen(slots=True)
class DecodeResult:
    """Result of :meth:`InferenceBackend.decode`: the tokens after the first, as a stream."""

    request_id: str
    stream: TokenStream


class KVExport(WireModel):
    """Receipt for KV written outside the instance, enough to import it elsewhere."""

    location: str = Field(description="file:///path or shm://name")
    schema_fingerprint: str
    num_tokens: PositiveInt
    num_bytes: PositiveInt
    checksum: str = Field(description="algorithm:hex, over all bytes")
    token_digest: str | None = Field(
        default=None, description="algorithm:hex of the ids whose KV it is, 8 bytes each, little-endian"
    )
