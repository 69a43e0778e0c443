"""EmbeddingBackendAdapter: the EmbeddingBackend contract over vLLM's AsyncLLM with its pooling runner."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import attrs

from sage_infer_contracts.backend import BackendConfig, BackendHealth, BackendStats
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.engines.lifecycle import Lifecycle
from sage_infer_contracts.engines.texts import check_batch_size, check_texts
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, Unsupported
from sage_infer_contracts.launch import EngineLaunchPlan

from ..description import DEFAULT_WAITING_REQUESTS
from ..engine import Engine
from ..errors import ENGINE_DIED
from ..launch import DEFAULT_BATCH_SIZE, launch_of
from .description import Description, capabilities_of, describe, engine_config, pooler_of
from .options import EmbeddingOptions
from .texts import Texts, load_texts
from .vectors import Vectors

T = TypeVar("T")
TOKENIZE_AT_ONCE = 256
CLOSED = "the embedding backend was closed while the request was pending"
_PROBE = "a"


@attrs.frozen(slots=True)
class _Running:
    """What a started backend has; taken away as a whole when it stops."""

    engine: Engine
    texts: Texts
    vectors: Vectors
    description: Description


class EmbeddingBackendAdapter:
    """One embedding model on one vLLM. Created by :func:`sage_infer_vllm.embedding.plugin.create`."""

    def __init__(self, config: BackendConfig, plan: EngineLaunchPlan | None = None) -> None:
        """Check settings; vLLM is not imported and no process is started."""
        self.config = config
        self.options = EmbeddingOptions.parse(config.options)
        if config.kv_schema is not None:
            raise Unsupported("embeddings give no KV away, so kv_schema has no meaning", param="kv_schema")
        launch_of(config, self.options, plan, runner="pooling")
        waiting = config.max_waiting_requests
        self._max_waiting = DEFAULT_WAITING_REQUESTS if waiting is None else waiting
        self._plan = plan
        self._life = Lifecycle("the vLLM embedding backend")
        self._closing = False
        self._start_over = asyncio.Event()
        self._executor: ThreadPoolExecutor | None = None
        self._engine: Engine | None = None
        self._running: _Running | None = None
        self._calls: set[asyncio.Future[Any]] = set()

    @property
    def capabilities(self) -> frozenset[str]:
        """Vectors, of texts that are cut at the maximum."""
        return capabilities_of(self.config)

    async def start(self) -> None:
        """Start vLLM's processes and load the model."""
        try:
            async with self._life.starting(self._stop):
                self._executor = ThreadPoolExecutor(1, thread_name_prefix="sage-infer-vllm")
                self._running = await self._start(self._executor)
                if self._closing:
                    raise BackendUnavailable("the embedding backend was closed while it was starting")
        finally:
            self._start_over.set()

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector per text, in order; see :meth:`EmbeddingBackend.embed`."""
        return await self.embed_batch(texts, self._ready().description.max_batch_size)

    async def embed_batch(
        self, texts: Sequence[str], batch_size: int = DEFAULT_BATCH_SIZE
    ) -> list[list[float]]:
        """As :meth:`embed`, at most ``batch_size`` texts of this call in the engine at a time."""
        check_texts(texts)
        check_batch_size(batch_size)
        running = self._ready()
        return await self._pending(self._embed(running, texts, batch_size)) if texts else []

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens of each text reach the model: special ones included, cut at the maximum."""
        check_texts(texts)
        running = self._ready()
        prompts = await self._pending(self._tokenize(running.texts, texts)) if texts else []
        return [len(ids) for ids in prompts]

    def get_embedding_dim(self) -> int:
        """Return the length of every vector, as the engine gave it; valid after :meth:`start`."""
        return self._ready().description.dimension

    def get_max_length(self) -> int:
        """Return the most tokens of a text that reach the model; the rest is cut. Valid after :meth:`start`."""
        return self._ready().description.max_tokens

    def get_capability(self) -> CapabilityDescriptor:
        """Describe the instance as the running engine describes itself."""
        return self._ready().description.capability(self.config, self._max_waiting)

    async def health(self) -> BackendHealth:
        """Return the state as the event loop knows it; needs no answer from the engine."""
        if self._running is not None and self._running.engine.died:
            self._life.fail(BackendUnavailable(ENGINE_DIED))
        return self._life.health()

    async def stats(self) -> BackendStats:
        """Return vLLM's own counters and gauges as of its last step."""
        if self._running is None:
            return BackendStats()
        return self._running.engine.counters.stats(self._running.description.usable_blocks)

    async def close(self) -> None:
        """Fail what is pending and end vLLM's processes; idempotent. A start in progress is waited for."""
        self._closing = True
        if self._life.state == "starting":
            await self._start_over.wait()
        await self._life.close(self._stop)

    async def _start(self, executor: ThreadPoolExecutor) -> _Running:
        loop = asyncio.get_running_loop()
        texts = await loop.run_in_executor(executor, load_texts, self.config, self.options)
        config = engine_config(self.config, texts)
        pooler = pooler_of(texts.folder)
        self._engine = engine = Engine(config, self.options, self._plan, runner="pooling", pooler=pooler)
        await engine.start(executor)
        description = describe(self.config, engine.llm, texts, await engine.kv_report())
        texts = attrs.evolve(texts, max_tokens=description.max_tokens)
        vectors = Vectors(engine, normalize=texts.folder.normalize)
        (vector,) = await vectors.of(await self._tokenize(texts, [_PROBE]), at_once=1)
        engine.counters.reset()
        return _Running(engine, texts, vectors, attrs.evolve(description, dimension=len(vector)))

    async def _embed(self, running: _Running, texts: Sequence[str], at_once: int) -> list[list[float]]:
        prompts = await self._tokenize(running.texts, texts)
        running.vectors.check(prompts)
        return await running.vectors.of(prompts, at_once)

    async def _tokenize(self, tokenizer: Texts, texts: Sequence[str]) -> list[list[int]]:
        prompts: list[list[int]] = []
        for start in range(0, len(texts), TOKENIZE_AT_ONCE):
            if self._executor is None:
                raise BackendUnavailable(CLOSED)
            part = list(texts[start : start + TOKENIZE_AT_ONCE])
            loop = asyncio.get_running_loop()
            try:
                prompts += await loop.run_in_executor(self._executor, partial(tokenizer.encode, part))
            except Exception as error:  # the boundary to tokenizers, whose failures have no common type
                raise BackendUnavailable(f"the tokenizer failed: {type(error).__name__}: {error}") from error
        return prompts

    async def _pending(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for ``work``, which :meth:`close` may end; calls beyond the configured number are refused."""
        if len(self._calls) > self._max_waiting:
            work.close()
            raise CapacityExceeded(
                f"{len(self._calls)} embedding calls are in the queue, the limit; try again later"
            )
        call = asyncio.ensure_future(work)
        self._calls.add(call)
        try:
            return await call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if call.cancelled() and not (task is not None and task.cancelling()):
                raise BackendUnavailable(CLOSED) from None
            raise
        finally:
            self._calls.discard(call)

    async def _stop(self) -> None:
        executor, self._executor = self._executor, None
        engine, self._engine = self._engine, None
        self._running = None
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        if executor is None:
            return
        try:
            if engine is not None:
                await engine.close(executor, self.options.close_timeout_s)
        finally:
            # Quick: the wait for the engine's processes was its last task.
            executor.shutdown(wait=True, cancel_futures=True)

    def _ready(self) -> _Running:
        self._life.require_ready()
        assert self._running is not None
        return self._running
