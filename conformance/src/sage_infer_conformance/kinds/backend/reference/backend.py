"""ReferenceBackend: the whole contract over the engine of this folder."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Sequence as Many
from functools import partial
from pathlib import Path
from typing import ClassVar

from sage_infer_contracts.backend import BackendConfig, BackendHealth, BackendStats, Prompt
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.content import ContentKey, ContentRoot
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.engines.leases import LeaseTable
from sage_infer_contracts.engines.lifecycle import Lifecycle
from sage_infer_contracts.engines.limits import RequestLimits
from sage_infer_contracts.engines.live import LiveRequests, check_prompts, sequence_names
from sage_infer_contracts.errors import BackendUnavailable, DeadlineExceeded, InvalidRequest, Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeResult, DecodeState, KVExport, PrefilledSequence, PrefillResult
from sage_infer_contracts.streams import TokenStream

from . import transfer
from .engine import Engine
from .function import Function, schema_of
from .options import ReferenceOptions
from .pool import Pool
from .sequence import Event, Sequence
from .text import VOCABULARY, ReferenceTokenizer, encode

CAPABILITIES: frozenset[str] = frozenset(
    {
        Capability.BACKEND_GENERATE,
        Capability.BACKEND_SPLIT_PREFILL,
        Capability.BACKEND_PREFIX_REUSE,
        Capability.BACKEND_CHUNKED_PREFILL,
        Capability.BACKEND_KV_EXPORT,
        Capability.BACKEND_LOGPROBS,
        Capability.BACKEND_PARALLEL_SAMPLING,
        Capability.BACKEND_PENALTIES,
        Capability.BACKEND_LOGIT_BIAS,
        Capability.BACKEND_MIN_P,
        Capability.BACKEND_MIN_TOKENS,
        Capability.BACKEND_QUANTIZATION,
    }
)
STOP_TIMEOUT_S = 10.0


class ReferenceBackend:
    """One reference model. All of it runs in this process; ``engine`` is there while it is started."""

    engine_type: ClassVar[type[Engine]] = Engine
    capabilities = CAPABILITIES

    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        self.config = config
        self.options = ReferenceOptions.parse(config.options)
        if config.tensor_parallel_size != 1:
            capability = Capability.BACKEND_TENSOR_PARALLEL
            raise Unsupported("the reference backend runs in one thread", capability=capability)
        self.life = Lifecycle("the reference backend")
        self.engine: Engine | None = None
        self.limits = RequestLimits(
            max_sequence_length=config.max_sequence_length or 512,
            max_batch_size=config.max_batch_size or 8,
            max_waiting_requests=32 if config.max_waiting_requests is None else config.max_waiting_requests,
            vocabulary=VOCABULARY,
        )
        self.live: LiveRequests[Sequence] = LiveRequests(self.limits)
        self.leases: LeaseTable[Sequence] = LeaseTable(self.options.lease_s, time.monotonic)
        self.schema = self._schema()
        self.quant_profile: str | None = None

    def _schema(self) -> KVCacheSchema:
        request = self.config.kv_schema
        schema = schema_of((request.page_size if request is not None else None) or self.options.block_size)
        mismatches = request.mismatches(schema) if request is not None else []
        if mismatches:
            raise Unsupported(
                f"the reference keeps one byte an element: {'; '.join(mismatches)}", param="kv_schema"
            )
        return schema

    @property
    def tokenizer(self) -> ReferenceTokenizer:
        """Bytes and a few pieces."""
        self.ready()
        return ReferenceTokenizer()

    def ready(self) -> Engine:
        """Return the running engine; raises ``BackendUnavailable`` without one."""
        self.life.require_ready()
        assert self.engine is not None
        return self.engine

    async def start(self) -> None:
        """Make the pool and start the engine's thread."""
        async with self.life.starting(self.stop):
            self.check_model()
            function = Function(self.config.model.model_id)
            pool = Pool(self._num_blocks(), self.schema, self._root(function))
            loop = asyncio.get_running_loop()

            def deliver(sequence: Sequence, event: Event) -> None:
                loop.call_soon_threadsafe(lambda: sequence.sink(event))

            tokens = self.config.max_batched_tokens or 64
            self.engine = self.engine_type(function, pool, self.limits, tokens, self.leases, deliver)
            self.engine.start()

    def check_model(self) -> None:
        """Raise ``InvalidRequest`` for a folder that is not there, or a dtype that is not computed in."""
        if not Path(self.config.model.path).is_dir():
            raise InvalidRequest(f"there is no model folder {self.config.model.path}", param="model")
        if self.config.dtype not in ("auto", "fp32"):
            raise InvalidRequest(f"the reference computes in fp32, not {self.config.dtype}", param="dtype")

    def _root(self, function: Function) -> ContentKey:
        return ContentRoot(model_fingerprint=function.fingerprint).key()

    def _num_blocks(self) -> int:
        one = -(-self.limits.max_sequence_length // self.schema.page_size)
        if self.config.kv_cache_memory_bytes is None:
            return one * (self.limits.max_batch_size + 8)
        blocks = self.config.kv_cache_memory_bytes // self.schema.block_bytes
        if blocks < one:
            message = f"kv_cache_memory_bytes holds {blocks} blocks; the longest sequence needs {one}"
            raise InvalidRequest(message, param="kv_cache_memory_bytes")
        return blocks

    async def generate(
        self, prompts: Many[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        """Start one sequence per prompt and sample."""
        group = request_id or uuid.uuid4().hex
        engine, sequences = self.accept(prompts, params, group)
        streams = [self.stream(engine, sequence) for sequence in sequences]
        engine.add(sequences)
        return streams

    async def prefill(
        self, prompts: Many[Prompt], *, request_id: str, params: SamplingParams | None = None
    ) -> PrefillResult:
        """Compute first tokens, and keep the KV under leases."""
        params = params or SamplingParams()
        self.ready()
        if params.n != 1:
            raise Unsupported("prefill makes one sequence of each prompt; n must be 1", param="n")
        engine, sequences = self.accept(prompts, params, request_id)
        futures = [self.prefilled(sequence) for sequence in sequences]
        engine.add(sequences)
        try:
            return PrefillResult(request_id, tuple(await asyncio.gather(*futures)))
        except BaseException:
            await self.cancel(request_id)
            raise

    async def decode(self, state: DecodeState, *, request_id: str) -> DecodeResult:
        """Let the sequence behind ``state`` go on."""
        engine = self.ready()
        self.live.reserve(request_id, 1)
        sequence = self.leases.take(state)
        sequence.request_id = sequence.group = request_id
        stream = self.stream(engine, sequence)
        engine.resume(sequence)
        return DecodeResult(request_id, stream)

    async def cancel(self, request_id: str) -> bool:
        """End live sequences and free parked ones."""
        if self.engine is None or self.life.state != "ready":
            return False
        live, fresh = self.live.to_cancel(request_id)
        self.engine.cancel(fresh)
        parked = self.leases.take_request(request_id)
        self.engine.discard(parked)
        return live or bool(parked)

    async def release(self, state: DecodeState) -> None:
        """Free the KV of ``state``."""
        engine = self.ready()
        engine.discard([self.leases.take(state)])

    async def export_kv(self, state: DecodeState, location: str) -> KVExport:
        """Move the KV of ``state`` to a file; it is not here any more then."""
        engine = self.ready()
        transfer.path_of(location)
        sequence = self.leases.take(state)
        try:
            with engine.changed:
                return transfer.export(engine.pool, sequence, location)
        finally:
            engine.discard([sequence])

    async def import_kv(self, export: KVExport, state: DecodeState) -> DecodeState:
        """Take exported KV into blocks of this pool, under a lease."""
        engine = self.ready()
        with engine.changed:
            sequence = transfer.restore(engine.pool, export, state, self.limits.max_sequence_length)
            handle = self.leases.grant(sequence)
            engine.changed.notify()
        return state.model_copy(update={"kv": handle})

    async def health(self) -> BackendHealth:
        """Return the state."""
        return self.life.health()

    async def stats(self) -> BackendStats:
        """Return the engine's counters."""
        return self.engine.stats() if self.engine is not None else BackendStats()

    def get_capability(self) -> CapabilityDescriptor:
        """Describe the instance."""
        pool = self.ready().pool
        return CapabilityDescriptor(
            backend_name="reference",
            hardware_backend="cpu",
            max_batch_size=self.limits.max_batch_size,
            max_sequence_length=self.limits.max_sequence_length,
            kv_cache_capacity_gb=pool.total * pool.schema.block_bytes / 1e9,
            supported_precisions=("fp32",),
            kv_schema=self.get_kv_schema(),
            quant_profile_id=self.quant_profile,
            capabilities=self.capabilities,
            max_waiting_requests=self.limits.max_waiting_requests,
        )

    def get_kv_schema(self) -> KVCacheSchema:
        """Describe the blocks of the pool."""
        self.ready()
        return self.schema

    def load_quant_profile(self, profile: QuantizationProfile) -> None:
        """Round the weights; refuses what it cannot do for real, and while KV of the old weights is held."""
        engine = self.ready()
        if min(profile.activation_bits, profile.kv_bits_prefill, profile.kv_bits_decode) < 16:
            raise Unsupported("only weights are quantised", capability=Capability.BACKEND_QUANTIZATION)
        if profile.weight_bits > 8 or profile.sparsity_ratio:
            raise Unsupported(
                "weights become 8 or 4 bits, and are not pruned", capability=Capability.BACKEND_QUANTIZATION
            )
        with engine.changed:
            if engine.pool.free < engine.pool.total:
                raise InvalidRequest("requests hold KV of the present weights; let them end first")
            engine.function.quantise(profile.weight_bits)
            engine.pool.forget(self._root(engine.function))
        self.quant_profile = f"w{profile.weight_bits}"

    async def close(self) -> None:
        """Fail what is pending and end the thread."""
        await self.life.close(self.stop)

    async def stop(self) -> None:
        """End the engine, if there is one."""
        engine, self.engine = self.engine, None
        if engine is None:
            return
        self.fail_pending()
        if not engine.stop(STOP_TIMEOUT_S):
            raise DeadlineExceeded(f"the engine's step did not end within {STOP_TIMEOUT_S:g} s")

    def fail_pending(self) -> None:
        """Tell every consumer that there is nothing more to come."""
        for sequence in self.live.all():
            sequence.ended = True
            sequence.sink(BackendUnavailable("the backend was closed"))

    def accept(
        self, prompts: Many[Prompt], params: SamplingParams, group: str
    ) -> tuple[Engine, list[Sequence]]:
        """Check a call whole, then take note of its sequences; nothing has begun when this raises."""
        engine = self.ready()
        params.require(self.capabilities)
        check_prompts(prompts)
        ids = [encode(prompt) if isinstance(prompt, str) else list(prompt) for prompt in prompts]
        for prompt in ids:
            self.check(prompt, params)
        self.live.reserve(group, len(ids) * params.n)
        names = sequence_names(group, len(ids) * params.n)
        pairs = [(prompt, index) for prompt in ids for index in range(params.n)]
        return engine, [
            self.sequence(name, group, prompt, params, index)
            for name, (prompt, index) in zip(names, pairs, strict=True)
        ]

    def check(self, prompt: list[int], params: SamplingParams) -> None:
        """Raise ``InvalidRequest`` naming the limit that is broken."""
        self.limits.check(prompt, params)

    def sequence(
        self, name: str, group: str, prompt: list[int], params: SamplingParams, index: int
    ) -> Sequence:
        """Return the ``index``-th sequence of a prompt; without a seed it gets a random one."""
        room = self.limits.max_sequence_length - len(prompt)
        return Sequence(
            request_id=name,
            group=group,
            tokens=list(prompt),
            prompt_tokens=len(prompt),
            max_total_tokens=len(prompt) + (params.max_tokens or room),
            params=params,
            seed=secrets.randbits(62) if params.seed is None else params.seed + index,
        )

    def stream(self, engine: Engine, sequence: Sequence) -> TokenStream:
        """Return the stream that ``sequence`` feeds from now on."""
        name = sequence.request_id
        stream = TokenStream(name, on_cancel=lambda: engine.cancel(self.live.to_cancel(name)[1]))
        sequence.sink = partial(self.feed, sequence, stream)
        self.live.enter(sequence)
        return stream

    def feed(self, sequence: Sequence, stream: TokenStream, event: Event) -> None:
        """Give a stream its next event."""
        if stream.ended or isinstance(event, PrefilledSequence):
            return
        if isinstance(event, BaseException):
            stream.fail(event)
        else:
            stream.push(event)
        if stream.ended:
            self.live.leave(sequence)

    def prefilled(self, sequence: Sequence) -> asyncio.Future[PrefilledSequence]:
        """Return the future of a sequence that parks after its first token."""
        future: asyncio.Future[PrefilledSequence] = asyncio.get_running_loop().create_future()
        sequence.park = True

        def sink(event: Event) -> None:
            if future.done():
                return
            self.live.leave(sequence)
            if isinstance(event, BaseException):
                future.set_exception(event)
            else:
                future.set_result(
                    event if isinstance(event, PrefilledSequence) else PrefilledSequence(event, None)
                )

        sequence.sink = sink
        self.live.enter(sequence)
        return future
