"""InferenceBackend: one model, served. Every MUST carries the id of the clause the conformance kit judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from pydantic import Field, NonNegativeInt, PositiveInt

from .chat import ChatMessage
from .descriptors import CapabilityDescriptor, ModelType
from .kv import KVCacheSchema, KVSchemaRequest
from .names import DType, HardwareName
from .quantization import QuantizationProfile
from .sampling import SamplingParams
from .states import DecodeResult, DecodeState, KVExport, PrefillResult
from .streams import TokenStream
from .wire import WireModel

Prompt = str | Sequence[int]
"""Text, or token ids."""

OptionValue = str | int | float | bool | None


class ModelLocation(WireModel):
    """A model on this machine: where it lies and under which name it is served."""

    model_id: str = Field(min_length=1, description="name that requests use")
    path: str = Field(description="folder in Hugging Face layout")
    model_type: ModelType = "llm"
    source: str = Field(default="folder", description="folder, hub, or the model source plugin that made it")
    revision: str | None = None


class BackendConfig(WireModel):
    """What a backend is created with. Null leaves the choice to the backend, which reports what it chose."""

    model: ModelLocation
    device: HardwareName = "cpu"
    device_ids: tuple[NonNegativeInt, ...] = (0,)
    dtype: DType | Literal["auto"] = "auto"
    max_sequence_length: PositiveInt | None = None
    max_batch_size: PositiveInt | None = None
    max_batched_tokens: PositiveInt | None = Field(
        default=None, description="token budget of one engine step"
    )
    max_waiting_requests: NonNegativeInt | None = None
    kv_cache_memory_bytes: PositiveInt | None = None
    kv_schema: KVSchemaRequest | None = None
    tensor_parallel_size: PositiveInt = 1
    threads: PositiveInt | None = Field(default=None, description="CPU threads of the engine")
    options: Mapping[str, OptionValue] = Field(
        default_factory=dict, description="the plugin's own, by its own names"
    )


class BackendHealth(WireModel):
    """Whether a backend can serve, and why not."""

    state: Literal["created", "starting", "ready", "failed", "closed"]
    reason: str | None = None


class BackendStats(WireModel):
    """Counters since start, and gauges now. Counters never fall while a backend lives."""

    computed_tokens: NonNegativeInt = Field(default=0, description="prompt tokens whose KV was computed")
    reused_tokens: NonNegativeInt = Field(
        default=0, description="prompt tokens whose KV was not computed (IB-08)"
    )
    generated_tokens: NonNegativeInt = 0
    running: NonNegativeInt = 0
    waiting: NonNegativeInt = 0
    blocks_total: NonNegativeInt = 0
    blocks_held: NonNegativeInt = Field(default=0, description="blocks referenced by a sequence or a lease")
    blocks_free: NonNegativeInt = Field(default=0, description="blocks available, cached ones included")
    preemptions: NonNegativeInt = 0
    steps: NonNegativeInt = 0

    @property
    def kv_usage(self) -> float:
        """Held share of the KV pool, 0 to 1."""
        return self.blocks_held / self.blocks_total if self.blocks_total else 0.0


class Tokenizer(Protocol):
    """The model's own tokenizer, reachable where the engine may live in another process."""

    async def encode(self, text: str) -> list[int]:
        """Return the token ids of ``text``, with the special tokens the model puts around a prompt."""
        ...

    async def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Return the ids of ``messages`` under the model's chat template, ready for the assistant's turn.

        Raises ``Unsupported`` when the model has no template, ``InvalidRequest`` when the template refuses.
        """
        ...

    async def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of ``token_ids`` without special tokens."""
        ...


class InferenceBackend(Protocol):
    """One model on one instance.

    A factory found under ``sage_infer.backend.v1`` is called as ``factory(config, context)`` and returns
    quickly: nothing is loaded before :meth:`start`. All methods are called on the event loop that called
    ``start``; the engine's own loop runs elsewhere. Only members of the error family escape (PK-04).
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Names from :class:`Capability`.

        IB-14: a parameter or call whose capability is not declared MUST be refused with ``Unsupported`` before work
        starts, and what is declared MUST be there and do what it says.
        """
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer; valid after :meth:`start`."""
        ...

    async def start(self) -> None:
        """Load the model and become ready.

        Raises ``DeviceUnavailable``, ``InvalidRequest`` (bad model, dtype or schema request), ``Unsupported``
        or ``CapacityExceeded``; after a failure nothing is left running.
        """
        ...

    async def prefill(
        self, prompts: Sequence[Prompt], *, request_id: str, params: SamplingParams | None = None
    ) -> PrefillResult:
        """Compute the KV of ``prompts`` and their first tokens. Needs ``backend.split_prefill``.

        IB-02: :meth:`decode` of the returned states MUST give the tokens :meth:`generate` gives.
        IB-08: tokens reported as reused MUST NOT have been computed.
        IB-13: each state MUST be usable once, and an abandoned one MUST free its blocks when its lease ends.
        """
        ...

    async def decode(self, state: DecodeState, *, request_id: str) -> DecodeResult:
        """Continue from ``state`` without computing its prompt again. Needs ``backend.split_prefill``.

        IB-02: the first token and the stream together MUST equal what generate gives.
        IB-13: an expired, foreign, stale, altered or repeated state MUST be refused with ``InvalidRequest``; altered is
        one whose tokens or parameters are not those its KV was computed for.
        """
        ...

    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        """Start generation and return one stream per prompt, in order.

        Streams of several prompts are named ``request_id/0``, ``request_id/1`` and so on; :meth:`cancel` takes
        either form. All prompts are accepted, or none is. With ``params.n`` above 1 (``backend.parallel_sampling``)
        the ``n`` streams of the first prompt come first, then those of the second, and so on.

        IB-01: greedy output MUST be a function of the prompt alone: alone, batched, chunked or whole, cold or warm.
        IB-03: a declared limit MUST be enforced before work starts, by ``InvalidRequest`` naming the limit;
        everything within the limits MUST be served. A full queue raises ``CapacityExceeded``.
        IB-05: max_tokens, stop strings, stop tokens, EOS and ignore_eos MUST do what they say, and
        finish_reason MUST say which one ended the output. The token that ends it is its last; a stop string is
        cut from the text.
        IB-06: streams MUST yield each token once, in order, and their text MUST join to the decoded whole.
        IB-11: a seed MUST make sampling reproducible; temperature 0 MUST be greedy; logprobs, where declared,
        MUST be those of the emitted tokens.
        IB-12: concurrent requests MUST neither starve nor see each other's tokens, KV or parameters.
        """
        ...

    async def cancel(self, request_id: str) -> bool:
        """Stop a request; False if it is unknown or already over.

        IB-04: its streams MUST end with finish_reason "cancelled" within a bounded number of steps. A request that
        is over, however it ended, MUST have returned every KV block it held.
        """
        ...

    async def release(self, state: DecodeState) -> None:
        """Give back the KV of a prefill that will not be decoded; refuses like :meth:`decode` (IB-13)."""
        ...

    async def export_kv(self, state: DecodeState, location: str) -> KVExport:
        """Write the KV of ``state`` to ``file:///path`` or ``shm://name``. Needs ``backend.kv_export``.

        IB-07: the bytes MUST be those :meth:`get_kv_schema` describes, and decode after an import MUST give
        identical tokens.
        """
        ...

    async def import_kv(self, export: KVExport, state: DecodeState) -> DecodeState:
        """Take over exported KV and return ``state`` with a handle of this instance. Needs ``backend.kv_export``.

        Raises ``IntegrityError`` when checksum or schema disagree; nothing is kept then (IB-07).
        """
        ...

    async def health(self) -> BackendHealth:
        """Say whether requests are served; never raises, and answers while the engine is busy."""
        ...

    async def stats(self) -> BackendStats:
        """Return counters and gauges as of one moment (IB-08)."""
        ...

    def get_capability(self) -> CapabilityDescriptor:
        """Describe the running instance; limits in it are the ones enforced (IB-03)."""
        ...

    def get_kv_schema(self) -> KVCacheSchema:
        """Describe the KV as stored. IB-07: MUST match the bytes actually kept.

        Raises ``Unsupported`` where no KV is kept; ``get_capability().kv_schema`` is null then.
        """
        ...

    def load_quant_profile(self, profile: QuantizationProfile) -> None:
        """Quantise the loaded model. IB-09: MUST change the weights or raise ``Unsupported``; never pretend."""
        ...

    async def close(self) -> None:
        """Stop. IB-10: MUST be idempotent, free devices, processes and files, and fail pending requests."""
        ...
