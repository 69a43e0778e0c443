"""What comes back from a backend, as it is recorded."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt

from sage_infer_contracts.backend import BackendStats
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.names import DType
from sage_infer_contracts.streams import FinishReason
from sage_infer_contracts.wire import FrozenModel

from ...history.steps import Raised


class About(FrozenModel):
    """A started instance as it describes itself."""

    max_batch_size: int
    max_sequence_length: int
    max_waiting_requests: int | None = None
    capacity_bytes: int
    """``kv_cache_capacity_gb`` in bytes."""

    dtype: DType
    """What it computes in, as far as that is known: configured, or that of its KV."""

    schema_: KVCacheSchema | None = None
    schemas_agree: bool = True
    """Whether the descriptor and ``get_kv_schema`` say the same."""

    stats: BackendStats
    health: str

    @property
    def max_live(self) -> int | None:
        """Sequences that may run or wait at once; None: not told."""
        waiting = self.max_waiting_requests
        return None if waiting is None else self.max_batch_size + waiting


class Logprob(FrozenModel):
    """Log-probability of one emitted token and of the best alternatives."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Delta(FrozenModel):
    """One delivery of a stream."""

    tokens: tuple[int, ...]
    text: str
    last: bool = False


class Usage(FrozenModel):
    """Counts of the last delta."""

    prompt: int
    completion: int
    computed: int
    reused: int


class Queue(FrozenModel):
    """How full it was when a call came: sequences whose consumers had not seen their end, before and after."""

    before: NonNegativeInt
    after: NonNegativeInt
    tokens: NonNegativeInt = 0
    """Tokens that the calls before it had delivered by then."""


class Cancelled(FrozenModel):
    """What came of cancelling."""

    said: bool | None = None
    """What ``cancel`` returned; None: it was done through the stream."""

    said_again: bool | None = None
    """What it returned once the stream had ended."""

    had_ended: bool = False
    """Whether the stream was over before it could be cancelled."""

    tokens_after: NonNegativeInt = 0
    """Tokens delivered after ``cancel`` returned."""

    steps_until_free: int | None = None
    """Steps of the engine until its blocks were back, by its own counter; None: others were running."""


class Outcome(FrozenModel):
    """What became of one stream of a call, or of a call that gave none."""

    call: str
    index: int = 0
    stream: str | None = None
    """Name that the stream bears."""

    prompt_ids: tuple[int, ...] = ()
    deltas: tuple[Delta, ...] = ()
    finish: FinishReason | None = None
    stop: str | int | None = None
    usage: Usage | None = None
    logprobs: tuple[Logprob, ...] = ()
    decoded: tuple[str, ...] = ()
    """The whole output, decoded by the tokenizer alone and as it follows the prompt."""

    error: Raised | None = None
    lengths: tuple[int, ...] = ()
    """Tokens of every prompt of a call that gave no stream."""

    began: bool = False
    """Whether there was a stream, so that an error is the end of one."""

    hung: bool = False
    queue: Queue | None = None
    first_at: int | None = None
    """Place of its first token among all events of the step."""

    ended_at: int | None = None
    cancelled: Cancelled | None = None

    @property
    def tokens(self) -> tuple[int, ...]:
        """All tokens that came."""
        return tuple(token for delta in self.deltas for token in delta.tokens)

    @property
    def text(self) -> str:
        """All text that came."""
        return "".join(delta.text for delta in self.deltas)


class TieFound(FrozenModel):
    """How near two tokens were: their distance in log-probability, or how often each was drawn."""

    gap: float | None = None
    drawn: tuple[int, int] | None = None


class Timing(FrozenModel):
    """Best times to the first token of fresh prompts and of repeated ones, with what was reported for them."""

    cold_s: float
    warm_s: float
    short_s: float
    """The same for fresh prompts as short as what is left to compute of the repeated ones."""

    decode_s: float | None = None
    """From the call of decode to the second token of a fresh prompt; None where prefill is not separate."""

    prompt_tokens: int
    reused_tokens: int
    """Smallest report of the repetitions."""


class Closing(FrozenModel):
    """What closing did."""

    second: Raised | None = None
    """What a second ``close`` raised."""

    hung: bool = False
    pending: tuple[Outcome, ...] = ()
    health: str = ""
    refused: Raised | None = None
    """What ``generate`` raised afterwards; None: nothing."""

    threads: tuple[str, ...] = ()
    child_processes: NonNegativeInt = 0
    open_files: int = 0
    """Descriptors more than after the first instance of this process was closed."""


Part = Literal["instance", "generation", "lease", "prompt", "output", "params"]
"""Which part of a state is forged."""

Damage = Literal["byte", "short", "schema"]
"""What is done to exported KV on its way."""
