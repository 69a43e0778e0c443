"""The methods a worker answers, one table per kind: plain arguments in, plain values out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeState, KVExport
from sage_infer_contracts.streams import TokenStream

from .codec import dump, prefill_to_plain, vectors_to_plain

Attach = Callable[[TokenStream], int]
"""Starts to forward a stream and returns its id."""
CallTable = dict[str, Callable[..., Awaitable[Any]]]


class InferenceCalls:
    """Calls of an :class:`InferenceBackend`. ``attach`` comes first where a call returns streams."""

    def __init__(self, backend: InferenceBackend) -> None:
        self._backend = backend
        self.table: CallTable = {
            "start": self.start,
            "describe": self.describe,
            "prefill": self.prefill,
            "cancel": backend.cancel,
            "release": self.release,
            "health": self.health,
            "stats": self.stats,
            "encode": self.encode,
            "encode_chat": self.encode_chat,
            "decode_tokens": self.decode_tokens,
            "export_kv": self.export_kv,
            "import_kv": self.import_kv,
            "load_quant_profile": self.load_quant_profile,
        }
        self.streaming: CallTable = {"generate": self.generate, "decode": self.decode}

    async def start(self) -> Any:
        await self._backend.start()
        return await self.describe()

    async def describe(self) -> Any:
        backend = self._backend
        capability = backend.get_capability()
        schema = None if capability.kv_schema is None else dump(backend.get_kv_schema())
        return [sorted(backend.capabilities), dump(capability), schema]

    async def generate(self, attach: Attach, prompts: Any, params: Any, request_id: str | None) -> Any:
        streams = await self._backend.generate(
            prompts, SamplingParams.model_validate(params), request_id=request_id
        )
        return [[attach(stream), stream.request_id] for stream in streams]

    async def decode(self, attach: Attach, state: Any, request_id: str) -> Any:
        result = await self._backend.decode(DecodeState.model_validate(state), request_id=request_id)
        return [result.request_id, [attach(result.stream), result.stream.request_id]]

    async def prefill(self, prompts: Any, request_id: str, params: Any) -> Any:
        sampling = None if params is None else SamplingParams.model_validate(params)
        return prefill_to_plain(await self._backend.prefill(prompts, request_id=request_id, params=sampling))

    async def release(self, state: Any) -> None:
        await self._backend.release(DecodeState.model_validate(state))

    async def health(self) -> Any:
        return dump(await self._backend.health())

    async def stats(self) -> Any:
        return dump(await self._backend.stats())

    async def encode(self, text: str) -> list[int]:
        return await self._backend.tokenizer.encode(text)

    async def encode_chat(self, messages: Any) -> list[int]:
        turns = [ChatMessage.model_validate(message) for message in messages]
        return await self._backend.tokenizer.encode_chat(turns)

    async def decode_tokens(self, token_ids: list[int]) -> str:
        return await self._backend.tokenizer.decode(token_ids)

    async def export_kv(self, state: Any, location: str) -> Any:
        return dump(await self._backend.export_kv(DecodeState.model_validate(state), location))

    async def import_kv(self, export: Any, state: Any) -> Any:
        receipt = KVExport.model_validate(export)
        return dump(await self._backend.import_kv(receipt, DecodeState.model_validate(state)))

    async def load_quant_profile(self, profile: Any) -> Any:
        self._backend.load_quant_profile(QuantizationProfile.model_validate(profile))
        return await self.describe()


class EmbeddingCalls:
    """Calls of an :class:`EmbeddingBackend`."""

    def __init__(self, backend: EmbeddingBackend) -> None:
        self._backend = backend
        self.table: CallTable = {
            "start": self.start,
            "embed": self.embed,
            "embed_batch": self.embed_batch,
            "count_tokens": backend.count_tokens,
            "health": self.health,
            "stats": self.stats,
        }
        self.streaming: CallTable = {}

    async def start(self) -> Any:
        backend = self._backend
        await backend.start()
        return [
            sorted(backend.capabilities),
            dump(backend.get_capability()),
            backend.get_embedding_dim(),
            backend.get_max_length(),
        ]

    async def embed(self, texts: list[str]) -> Any:
        return vectors_to_plain(await self._backend.embed(texts))

    async def embed_batch(self, texts: list[str], batch_size: int) -> Any:
        return vectors_to_plain(await self._backend.embed_batch(texts, batch_size))

    async def health(self) -> Any:
        return dump(await self._backend.health())

    async def stats(self) -> Any:
        return dump(await self._backend.stats())
