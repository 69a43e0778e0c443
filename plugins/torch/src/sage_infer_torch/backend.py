"""TorchBackend: the InferenceBackend contract over an engine thread."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence as Items
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NoReturn

from sage_infer_contracts.backend import BackendConfig, BackendHealth, BackendStats, Prompt
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.engines.lifecycle import Lifecycle
from sage_infer_contracts.engines.live import check_prompts, sequence_names
from sage_infer_contracts.engines.tokenizer import ModelTokenizer
from sage_infer_contracts.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    InvalidRequest,
    Unsupported,
)
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.runtime import DeviceRuntime
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeResult, DecodeState, KVExport, PrefilledSequence, PrefillResult
from sage_infer_contracts.streams import TokenStream

from .engine import Engine
from .kv_moves import export_kv, import_kv
from .options import EngineOptions
from .requests import PrefillSink, StreamSink, new_sequence
from .sequence import Sequence, Sink

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
    }
)
ACKNOWLEDGE_TIMEOUT_S = 60.0
"""How long :meth:`TorchBackend.release` waits for the engine, which answers between two steps."""


class TorchBackend:
    """One model on one device. Created by :func:`sage_infer_torch.plugin.create`."""

    def __init__(
        self, config: BackendConfig, runtime: DeviceRuntime, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Check settings; nothing is loaded. ``clock`` gives seconds and measures leases."""
        self.options = EngineOptions.parse(config.options)
        if config.tensor_parallel_size != 1:
            raise Unsupported(
                f"the torch engine runs on one device; tensor_parallel_size {config.tensor_parallel_size} "
                f"is not supported",
                capability=Capability.BACKEND_TENSOR_PARALLEL,
                param="tensor_parallel_size",
            )
        if len(config.device_ids) != 1:
            raise InvalidRequest(
                f"the torch engine runs on one device; device_ids names {len(config.device_ids)}",
                param="device_ids",
            )
        self.config = config
        self._runtime = runtime
        self._clock = clock
        self._life = Lifecycle("the torch backend")
        self._engine: Engine | None = None
        self._tokenizer: ModelTokenizer | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._file_executor: ThreadPoolExecutor | None = None

    @property
    def capabilities(self) -> frozenset[str]:
        """What this engine can do, whatever the model."""
        return CAPABILITIES

    @property
    def tokenizer(self) -> ModelTokenizer:
        """The model's tokenizer; raises ``BackendUnavailable`` before start and after close."""
        self._ready()
        assert self._tokenizer is not None
        return self._tokenizer

    async def start(self) -> None:
        """Load the model on the engine's thread and become ready."""
        async with self._life.starting(self._stop):
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="sage-infer-tokenizer")
            self._file_executor = ThreadPoolExecutor(1, thread_name_prefix="sage-infer-kv-files")
            self._engine = Engine(
                self.config, self.options, self._runtime, self._clock, on_failure=self._failed
            )
            model = await self._engine.start()
            from jinja2 import TemplateError

            self._tokenizer = ModelTokenizer(model.tokenizer, self._executor, template_error=TemplateError)

    async def generate(
        self, prompts: Items[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        """Start generation and return one stream per prompt, in order."""
        group = request_id or uuid.uuid4().hex
        engine, prompt_ids = await self._accept(prompts, params, group)
        streams: list[TokenStream] = []
        sequences: list[Sequence] = []
        outputs = [(ids, index) for ids in prompt_ids for index in range(params.n)]
        for name, (ids, index) in zip(sequence_names(group, len(outputs)), outputs, strict=True):
            stream = TokenStream(name, on_cancel=partial(self._cancel_stream, name))
            leader = sequences[-index] if index else None
            sequence = self._sequence(engine, ids, params, name, group, index=index, leader=leader)
            sequence.sink = StreamSink(stream, partial(engine.live.leave, sequence))
            streams.append(stream)
            sequences.append(sequence)
        engine.submit(sequences)
        return streams

    async def prefill(
        self, prompts: Items[Prompt], *, request_id: str, params: SamplingParams | None = None
    ) -> PrefillResult:
        """Compute the KV of ``prompts`` and their first tokens, and hold it under a lease."""
        params = params or SamplingParams()
        if params.n != 1:
            raise Unsupported("prefill makes one sequence of each prompt; n must be 1", param="n")
        engine, prompt_ids = await self._accept(prompts, params, request_id)
        futures: list[asyncio.Future[PrefilledSequence]] = []
        sequences: list[Sequence] = []
        for name, ids in zip(sequence_names(request_id, len(prompt_ids)), prompt_ids, strict=True):
            future: asyncio.Future[PrefilledSequence] = asyncio.get_running_loop().create_future()
            sequence = self._sequence(engine, ids, params, name, request_id, park=True)
            sequence.sink = PrefillSink(future, partial(engine.live.leave, sequence))
            futures.append(future)
            sequences.append(sequence)
        engine.submit(sequences)
        try:
            results = await asyncio.gather(*futures)
        except BaseException:
            # All prompts or none: what the others hold goes back.
            engine.cancel(sequences)
            raise
        return PrefillResult(request_id, tuple(results))

    async def decode(self, state: DecodeState, *, request_id: str) -> DecodeResult:
        """Continue from ``state`` on the KV it holds."""
        engine = self._ready()
        engine.live.reserve(request_id, 1)
        sequence = engine.leases.take(state)
        stream = TokenStream(request_id, on_cancel=partial(self._cancel_stream, request_id))
        sequence.request_id = sequence.group = request_id
        sequence.sink = StreamSink(stream, partial(engine.live.leave, sequence))
        engine.resume(sequence)
        return DecodeResult(request_id, stream)

    async def cancel(self, request_id: str) -> bool:
        """Stop a request, or give back its parked prefill; False if it is unknown or over."""
        return self._cancel(request_id)

    async def release(self, state: DecodeState) -> None:
        """Give back the KV of ``state``; it is free when this returns."""
        engine = self._ready()
        sequence = engine.leases.take(state)
        try:
            await asyncio.wait_for(engine.discard([sequence]), ACKNOWLEDGE_TIMEOUT_S)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the engine did not confirm the release within {ACKNOWLEDGE_TIMEOUT_S:g} s; it frees the KV "
                f"when its step ends"
            ) from error

    async def export_kv(self, state: DecodeState, location: str) -> KVExport:
        """Move the KV of ``state`` to a new file or piece of shared memory; after an error it is still here."""
        return await export_kv(self._ready(), self._files(), state, location)

    async def import_kv(self, export: KVExport, state: DecodeState) -> DecodeState:
        """Take KV into blocks of this pool under a lease; shared memory is gone then, a file stays."""
        return await import_kv(self._ready(), self._files(), export, state)

    def load_quant_profile(self, profile: QuantizationProfile) -> None:
        """Refuse: this engine does not quantise."""
        _refuse(Capability.BACKEND_QUANTIZATION, "quantisation")

    async def health(self) -> BackendHealth:
        """Return the state as the event loop knows it; needs no answer from the engine."""
        if self._engine is not None and not self._engine.alive:
            self._life.fail(BackendUnavailable("the engine's thread ended"))
        return self._life.health()

    async def stats(self) -> BackendStats:
        """Return counters and gauges as of the last step."""
        return self._engine.stats if self._engine is not None else BackendStats()

    def get_capability(self) -> CapabilityDescriptor:
        """Describe the instance with the limits it enforces; hints are null, nothing was measured."""
        engine = self._ready()
        schema, limits = engine.schema, engine.limits
        return CapabilityDescriptor(
            backend_name="torch",
            hardware_backend=self._runtime.name,
            max_batch_size=limits.max_batch_size,
            max_sequence_length=limits.max_sequence_length,
            kv_cache_capacity_gb=limits.num_blocks * schema.block_bytes / 1e9,
            supported_precisions=self._runtime.dtypes(),
            kv_schema=schema,
            capabilities=CAPABILITIES,
            max_waiting_requests=limits.max_waiting_requests,
        )

    def get_kv_schema(self) -> KVCacheSchema:
        """Describe the pages of the pool."""
        return self._ready().schema

    async def close(self) -> None:
        """Stop, fail what is pending and free the pool; idempotent.

        Raises ``DeadlineExceeded`` when the running step does not end in time.
        """
        await self._life.close(self._stop)

    async def _stop(self) -> None:
        engine, self._engine = self._engine, None
        executor, self._executor = self._executor, None
        files, self._file_executor = self._file_executor, None
        self._tokenizer = None
        if engine is None or executor is None or files is None:
            return
        try:
            await engine.close(self.options.close_timeout_s, executor)
            # A file that is being written is written to its end.
            await asyncio.get_running_loop().run_in_executor(executor, files.shutdown)
        finally:
            files.shutdown(wait=False)
            # Quick: the wait for the engine was its last task.
            executor.shutdown(wait=True, cancel_futures=True)

    def _ready(self) -> Engine:
        self._life.require_ready()
        assert self._engine is not None
        return self._engine

    def _files(self) -> ThreadPoolExecutor:
        """Return the thread that reads and writes KV, so that neither the loop nor tokenising waits for a disk."""
        assert self._file_executor is not None
        return self._file_executor

    def _failed(self, error: BaseException) -> None:
        """Take note, on the loop, that the engine gave up."""
        if self._life.fail(error) and self._engine is not None:
            self._engine.fail_pending(f"the engine failed: {self._life.reason}")

    async def _accept(
        self, prompts: Items[Prompt], params: SamplingParams, request_id: str
    ) -> tuple[Engine, list[Items[int]]]:
        """Tokenise and check ``prompts``; nothing has been started when this raises."""
        self._ready()
        params.require(CAPABILITIES)
        check_prompts(prompts)
        prompt_ids = [
            await self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt for prompt in prompts
        ]
        engine = self._ready()  # again: tokenising gave up control
        for ids in prompt_ids:
            engine.limits.check(ids, params)
        engine.live.reserve(request_id, len(prompt_ids) * params.n)
        return engine, prompt_ids

    def _sequence(
        self, engine: Engine, ids: Items[int], params: SamplingParams, name: str, group: str, *,
        park: bool = False, index: int = 0, leader: Sequence | None = None,
    ) -> Sequence:  # fmt: skip
        nowhere: Sink = lambda event: None  # noqa: E731 - replaced by the caller before anything runs
        return new_sequence(
            ids, params, request_id=name, group=group, sink=nowhere, limits=engine.limits,
            decode=engine.decode, park=park, index=index, leader=leader,
        )  # fmt: skip

    def _cancel_stream(self, request_id: str) -> None:
        self._cancel(request_id)

    def _cancel(self, request_id: str) -> bool:
        if self._engine is None or self._life.state != "ready":
            return False
        return self._engine.cancel_request(request_id)


def _refuse(capability: Capability, what: str) -> NoReturn:
    raise Unsupported(f"the torch engine does not support {what}", capability=capability)
