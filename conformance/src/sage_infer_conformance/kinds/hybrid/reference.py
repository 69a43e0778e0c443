"""A small correct hybrid over the reference models of the kit, whose weights really take the memory they are given."""

from __future__ import annotations

import asyncio
import mmap
import threading
import uuid
from collections.abc import Sequence
from typing import Literal

import attrs

from sage_infer_contracts.backend import BackendConfig, ModelLocation, Prompt
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.chat import ChatMessage, ChatResponse
from sage_infer_contracts.descriptors import HybridCapabilityDescriptor, ModelDescriptor, ModelStatus
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, DeadlineExceeded, InvalidRequest
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import TokenStream

from ..backend.reference.backend import ReferenceBackend
from ..embedding.reference import ReferenceEmbedding

DRAIN_S = 60.0
CLOSE_S = 10.0
_CHUNK = b"\x01" * (1 << 20)
_DESCRIBED = {"llm": "language model", "embedding": "embedding model"}


def take_memory(size: int) -> mmap.mmap:
    """Return so many bytes that are resident, not merely reserved."""
    weights = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, size, len(_CHUNK)):
        part = min(len(_CHUNK), size - at)
        weights[at : at + part] = _CHUNK[:part]
    return weights


@attrs.define(slots=True, eq=False)
class Entry:
    """One model: its backend, its weights, and how many requests it works on."""

    descriptor: ModelDescriptor
    backend: ReferenceBackend | ReferenceEmbedding
    weights: mmap.mmap | None = None
    state: Literal["loading", "ready", "draining"] = "loading"
    running: int = 0
    loop: asyncio.AbstractEventLoop | None = None
    starting: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    @property
    def size(self) -> int:
        """What it is given, in bytes."""
        return round(self.descriptor.memory_gb * 1e9)


class ReferenceHybrid:
    """An unload lets what has begun go on to its end, and turns away what comes then.

    Requests run on one event loop; loads and unloads may come from any other thread. ``changed`` guards ``entries``
    and what is in them.
    """

    capabilities = frozenset(
        {
            Capability.BACKEND_GENERATE.value,
            Capability.BACKEND_EMBEDDING.value,
            Capability.EMBEDDING_TRUNCATES.value,
            Capability.HYBRID_MODEL_LIFECYCLE.value,
        }
    )

    def __init__(self, total_memory_bytes: int) -> None:
        self.total = total_memory_bytes
        self.entries: dict[str, Entry] = {}
        self.changed = threading.Condition()
        self.closed = False
        self.pumps: set[asyncio.Task[None]] = set()

    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, model: str | None = None
    ) -> list[TokenStream]:
        """Start generation on a language model; it counts as busy until every stream has ended."""
        entry = await self.begin(model, "llm", len(prompts))
        assert isinstance(entry.backend, ReferenceBackend)
        try:
            streams = await entry.backend.generate(prompts, params)
        except BaseException:
            self.end(entry, len(prompts))
            raise
        return [self.passed_on(entry, stream) for stream in streams]

    async def chat(
        self, messages: Sequence[ChatMessage], params: SamplingParams, model: str | None = None
    ) -> ChatResponse:
        """Answer a conversation."""
        entry = await self.begin(model, "llm", 1)
        assert isinstance(entry.backend, ReferenceBackend)
        try:
            prompt = await entry.backend.tokenizer.encode_chat(messages)
            (stream,) = await entry.backend.generate([prompt], params)
            completion = await stream.collect()
        finally:
            self.end(entry, 1)
        return ChatResponse(
            request_id=stream.request_id,
            model=entry.descriptor.model_id,
            message=ChatMessage(role="assistant", content=completion.text),
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.usage.prompt_tokens,
            completion_tokens=completion.usage.completion_tokens,
        )

    async def embed(self, texts: Sequence[str], model: str | None = None) -> list[list[float]]:
        """Embed on an embedding model."""
        entry = await self.begin(model, "embedding", 1)
        assert isinstance(entry.backend, ReferenceEmbedding)
        try:
            return await entry.backend.embed(texts)
        finally:
            self.end(entry, 1)

    def list_models(self) -> list[ModelDescriptor]:
        """Return the models that are loaded."""
        with self.changed:
            return [entry.descriptor for entry in self.entries.values() if entry.state != "loading"]

    def load_model(self, model: ModelDescriptor) -> None:
        """Reserve the memory of a model, then take it."""
        entry = self.reserve(model)
        entry.weights = take_memory(entry.size)
        with self.changed:
            entry.state = "ready"

    def unload_model(self, model_id: str) -> None:
        """Wait until nothing runs on the model, then free it."""
        with self.changed:
            entry = self.known(model_id)
            if entry.state == "draining":
                raise InvalidRequest(f"{model_id} is being unloaded already", param="model")
            entry.state = "draining"
            if not self.drain(entry):
                entry.state = "ready"
                raise DeadlineExceeded(f"{entry.running} requests did not end within {DRAIN_S:g} s")
        self.free(entry)
        with self.changed:
            del self.entries[model_id]

    def get_model_status(self, model_id: str) -> ModelStatus:
        """Return the state of one model."""
        with self.changed:
            entry = self.known(model_id)
            held = len(entry.weights) if entry.weights is not None else None
            return ModelStatus(
                model_id=model_id, state=entry.state, memory_bytes=held, requests_running=entry.running
            )

    def get_hybrid_capability(self) -> HybridCapabilityDescriptor:
        """Describe the instance."""
        models = tuple(self.list_models())
        return HybridCapabilityDescriptor(
            backend_name="reference",
            loaded_models=models,
            total_memory_gb=self.total / 1e9,
            available_memory_gb=max(0, self.total - self.used()) / 1e9,
        )

    async def close(self) -> None:
        """End what runs, and free every model."""
        self.closed = True
        for entry in list(self.entries.values()):
            if entry.backend.life.state == "ready":
                await entry.backend.close()
        while self.pumps:
            await asyncio.wait(self.pumps, timeout=CLOSE_S)
        for name in list(self.entries):
            entry = self.entries.pop(name)
            if entry.weights is not None:
                entry.weights.close()

    def used(self) -> int:
        """Return the bytes that models have, loading ones included."""
        with self.changed:
            return sum(entry.size for entry in self.entries.values())

    def reserve(self, model: ModelDescriptor) -> Entry:
        """Enter a model, if there is room; nothing has been taken when this raises."""
        with self.changed:
            if model.model_id in self.entries:
                raise InvalidRequest(f"{model.model_id} is loaded already", param="model_id")
            entry = Entry(model, self.backend_of(model))
            free = self.total - self.used()
            if entry.size > free:
                says = f"{model.model_id} needs {entry.size} bytes; {free} of {self.total} are free"
                raise CapacityExceeded(says)
            self.entries[model.model_id] = entry
            return entry

    def backend_of(self, model: ModelDescriptor) -> ReferenceBackend | ReferenceEmbedding:
        """Make the backend of a model; it starts with its first request."""
        location = ModelLocation(model_id=model.model_id, path=model.model_path, model_type=model.model_type)
        config = BackendConfig(model=location, max_sequence_length=model.max_sequence_length)
        kind = ReferenceBackend if model.model_type == "llm" else ReferenceEmbedding
        return kind(config, BackendContext())

    def known(self, model_id: str, kind: str | None = None) -> Entry:
        """Return a model; raises ``InvalidRequest`` naming those there are."""
        entry = self.entries.get(model_id)
        if entry is None or kind not in (None, entry.descriptor.model_type):
            raise self.unknown(model_id, kind)
        return entry

    def unknown(self, model_id: str | None, kind: str | None) -> InvalidRequest:
        """Return the refusal of a model that is not there."""
        names = [name for name, entry in self.entries.items() if kind in (None, entry.descriptor.model_type)]
        listed = ", ".join(names) or "none"
        asked = f"there is no {_DESCRIBED.get(kind or '', 'model')} {model_id or ''}".rstrip()
        return InvalidRequest(f"{asked}; loaded: {listed}", param="model")

    def find(self, model_id: str | None, kind: str) -> Entry:
        """Return the model that serves a request: the one named, or the first of its type."""
        if model_id is not None:
            return self.known(model_id, kind)
        for entry in self.entries.values():
            if entry.descriptor.model_type == kind and entry.state == "ready":
                return entry
        raise self.unknown(None, kind)

    async def begin(self, model_id: str | None, kind: str, requests: int) -> Entry:
        """Enter requests to a model and have it started; it is not unloaded before they end."""
        with self.changed:
            if self.closed:
                raise BackendUnavailable("the hybrid is closed")
            entry = self.find(model_id, kind)
            if entry.state != "ready":
                raise BackendUnavailable(f"{entry.descriptor.model_id} is {entry.state}")
            entry.running += requests
        try:
            async with entry.starting:
                if entry.backend.life.state == "created":
                    entry.loop = asyncio.get_running_loop()
                    await entry.backend.start()
        except BaseException:
            self.end(entry, requests)
            raise
        return entry

    def end(self, entry: Entry, requests: int) -> None:
        """Take note that requests are over."""
        with self.changed:
            entry.running -= requests
            self.changed.notify_all()

    def passed_on(self, entry: Entry, inner: TokenStream) -> TokenStream:
        """Return a stream with what ``inner`` brings, whose end is noted."""
        outer = TokenStream(inner.request_id or uuid.uuid4().hex, on_cancel=inner.cancel)

        async def pump() -> None:
            try:
                async for delta in inner:
                    outer.push(delta)
            except Exception as error:  # noqa: BLE001 - goes to the consumer as it is
                outer.fail(error)
            finally:
                self.end(entry, 1)

        task = asyncio.ensure_future(pump())
        self.pumps.add(task)
        task.add_done_callback(self.pumps.discard)
        return outer

    def drain(self, entry: Entry) -> bool:
        """Wait until nothing runs on a model, with ``changed`` held; False if that takes too long."""
        return self.changed.wait_for(lambda: entry.running == 0, DRAIN_S)

    def free(self, entry: Entry) -> None:
        """Stop a model's backend on its own loop, and give back its memory."""
        if entry.loop is not None:
            asyncio.run_coroutine_threadsafe(entry.backend.close(), entry.loop).result(CLOSE_S)
        if entry.weights is not None:
            entry.weights.close()
