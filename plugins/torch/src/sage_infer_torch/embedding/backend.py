"""TorchEmbeddingBackend: the EmbeddingBackend protocol around an encoder on a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from sage_infer_contracts.backend import BackendConfig, BackendHealth, BackendStats
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.engines.sentence_folder import read_folder
from sage_infer_contracts.engines.texts import check_batch_size, check_texts
from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeadlineExceeded,
    InvalidRequest,
    SageInferError,
    Unsupported,
)
from sage_infer_contracts.names import InstanceType
from sage_infer_contracts.runtime import DeviceRuntime

from .batching import batches
from .encoder import Encoded, Encoder
from .loading import Loaded, load
from .options import EmbeddingOptions

T = TypeVar("T")
State = Literal["created", "starting", "ready", "failed", "closed"]
DEFAULT_BATCH = 32
DEFAULT_BATCH_TOKENS = 8192
DEFAULT_WAITING = 256
TOKENIZE_AT_ONCE = 256


class TorchEmbeddingBackend:
    """Serves one sentence-transformers folder.

    One thread owns tokenizer and model. A call goes to it batch by batch, so that concurrent calls take turns and a
    cancelled or closed one stops after its running batch.
    """

    capabilities = frozenset({Capability.BACKEND_EMBEDDING.value, Capability.EMBEDDING_TRUNCATES.value})

    def __init__(self, config: BackendConfig, runtime: DeviceRuntime) -> None:
        self._options = EmbeddingOptions.parse(config.options)
        _refuse_unserved(config)
        self._config = config
        self._runtime = runtime
        self._state: State = "created"
        self._reason: str | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._encoder: Encoder | None = None
        self._loaded: Loaded | None = None
        self._max_calls = (
            DEFAULT_WAITING if config.max_waiting_requests is None else config.max_waiting_requests
        )
        self._calls = 0
        self._computed_tokens = 0
        self._steps = 0

    async def start(self) -> None:
        """Load the model; raises as :meth:`EmbeddingBackend.start` does."""
        if self._state != "created":
            raise InvalidRequest(f"the embedding backend is {self._state}; create a new one to start it")
        self._state = "starting"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sage-embedding")
        try:
            loaded, encoder = await self._on_thread(self._load)
        except (SageInferError, asyncio.CancelledError) as error:
            if self._thread is not None:
                self._thread.shutdown(wait=False, cancel_futures=True)
                self._state, self._reason = "failed", str(error) or "cancelled"
            raise
        if self._thread is None:
            raise BackendUnavailable("the embedding backend was closed while it was starting")
        self._loaded, self._encoder, self._state = loaded, encoder, "ready"

    def _load(self) -> tuple[Loaded, Encoder]:
        folder = read_folder(
            Path(self._config.model.path), pooling=self._options.pooling, normalize=self._options.normalize
        )
        loaded = load(folder, self._config, self._runtime)
        return loaded, Encoder(folder, loaded)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector per text, in order; see :meth:`EmbeddingBackend.embed`."""
        return await self.embed_batch(texts, self._config.max_batch_size or DEFAULT_BATCH)

    async def embed_batch(self, texts: Sequence[str], batch_size: int = DEFAULT_BATCH) -> list[list[float]]:
        """As :meth:`embed`, at most ``batch_size`` texts at a time on the device."""
        check_batch_size(batch_size)
        size = min(batch_size, self._config.max_batch_size or batch_size)
        budget = self._config.max_batched_tokens or DEFAULT_BATCH_TOKENS
        async with self._call(texts) as encoder:
            encoded = await self._tokenize(encoder, texts)
            vectors: list[list[float]] = [[]] * len(encoded)
            lengths = [len(text.token_ids) for text in encoded]
            for indices in batches(lengths, max_texts=size, max_tokens=budget):
                batch = [encoded[index] for index in indices]
                results = await self._on_thread(partial(encoder.encode, batch))
                for index, vector in zip(indices, results, strict=True):
                    vectors[index] = vector
                self._steps += 1
                self._computed_tokens += sum(lengths[index] for index in indices)
            return vectors

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens of each text reach the model: special ones included, cut at the maximum."""
        async with self._call(texts) as encoder:
            return [len(text.token_ids) for text in await self._tokenize(encoder, texts)]

    def get_embedding_dim(self) -> int:
        """Return the length of every vector; valid after :meth:`start`."""
        return self._ready_model().dimension

    def get_max_length(self) -> int:
        """Return the most tokens of a text that reach the model; the rest is cut. Valid after :meth:`start`."""
        return self._ready_model().max_tokens

    def get_capability(self) -> CapabilityDescriptor:
        """Describe the running instance."""
        loaded = self._ready_model()
        return CapabilityDescriptor(
            backend_name="torch",
            instance_type=InstanceType.EMBEDDING,
            hardware_backend=self._runtime.name,
            max_batch_size=self._config.max_batch_size or DEFAULT_BATCH,
            max_sequence_length=loaded.max_tokens,
            kv_cache_capacity_gb=0.0,
            supported_precisions=(loaded.dtype,),
            capabilities=self.capabilities,
            max_waiting_requests=self._max_calls,
        )

    async def health(self) -> BackendHealth:
        """Say whether requests are served."""
        return BackendHealth(state=self._state, reason=self._reason)

    async def stats(self) -> BackendStats:
        """Return counters; a call that is in the thread's queue counts as waiting."""
        return BackendStats(
            computed_tokens=self._computed_tokens,
            running=min(self._calls, 1),
            waiting=max(self._calls - 1, 0),
            steps=self._steps,
        )

    async def close(self) -> None:
        """Stop after the running batch, fail what is pending, free the model; idempotent."""
        if self._state == "closed":
            return
        self._state, self._reason = "closed", "closed by its owner"
        thread = self._thread
        self._thread = self._encoder = self._loaded = None
        if thread is None:
            return
        thread.shutdown(wait=False, cancel_futures=True)
        try:
            async with asyncio.timeout(self._options.close_timeout_s):
                await asyncio.to_thread(thread.shutdown, wait=True)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the running batch did not end within {self._options.close_timeout_s} s; its thread is left behind"
            ) from error
        self._runtime.empty_cache(self._config.device_ids[0])

    @asynccontextmanager
    async def _call(self, texts: Sequence[str]) -> AsyncIterator[Encoder]:
        """Admit one call, bounded, and count it while it lasts."""
        check_texts(texts)
        self._ready_model()
        if self._calls > self._max_calls:
            raise CapacityExceeded(
                f"{self._calls} embedding calls are in the queue, the limit; try again later"
            )
        assert self._encoder is not None
        self._calls += 1
        try:
            yield self._encoder
        finally:
            self._calls -= 1

    async def _tokenize(self, encoder: Encoder, texts: Sequence[str]) -> list[Encoded]:
        encoded: list[Encoded] = []
        for start in range(0, len(texts), TOKENIZE_AT_ONCE):
            part = list(texts[start : start + TOKENIZE_AT_ONCE])
            encoded += await self._on_thread(partial(encoder.tokenize, part))
        return encoded

    async def _on_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` on the model's thread; only the error family comes out (PK-04)."""
        if self._thread is None:
            raise BackendUnavailable("the embedding backend was closed while the request was pending")
        future = asyncio.wrap_future(self._thread.submit(work))
        try:
            return await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if future.cancelled() and not (task is not None and task.cancelling()):
                raise BackendUnavailable(
                    "the embedding backend was closed while the request was pending"
                ) from None
            raise
        except SageInferError:
            raise
        except MemoryError as error:
            raise CapacityExceeded("not enough memory for this batch; send fewer or shorter texts") from error
        except Exception as error:  # the boundary to torch, whose failures have no common type
            if "allocate memory" in str(error) or "out of memory" in str(error):
                raise CapacityExceeded(
                    f"not enough memory for this batch; send fewer or shorter texts ({error})"
                ) from error
            raise BackendUnavailable(
                f"the embedding model failed: {type(error).__name__}: {error}"
            ) from error

    def _ready_model(self) -> Loaded:
        if self._state != "ready" or self._loaded is None:
            detail = f" ({self._reason})" if self._reason else ""
            raise BackendUnavailable(f"the embedding backend is {self._state}{detail}, not ready")
        return self._loaded


def _refuse_unserved(config: BackendConfig) -> None:
    if config.tensor_parallel_size != 1 or len(config.device_ids) != 1:
        raise Unsupported(
            "the embedding backend runs on one device; start one instance per device",
            capability=Capability.BACKEND_TENSOR_PARALLEL.value,
            param="tensor_parallel_size",
        )
    for name in ("kv_schema", "kv_cache_memory_bytes"):
        value: Any = getattr(config, name)
        if value is not None:
            raise Unsupported(f"an embedding model keeps no KV cache, so {name} has no meaning", param=name)
