"""ProcessBackend: an InferenceBackend whose engine runs in a worker process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sage_infer_contracts.backend import Prompt, Tokenizer
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.errors import Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeResult, DecodeState, KVExport, PrefillResult
from sage_infer_contracts.streams import TokenStream

from .codec import dump, prefill_from_plain, prompts_to_plain
from .proxy import WorkerProxy


class ProcessBackend(WorkerProxy):
    """The same contract as the backend in the worker; errors, streams and numbers are the worker's own."""

    _schema: KVCacheSchema | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """The worker's tokenizer."""
        return _ProcessTokenizer(self)

    async def prefill(
        self, prompts: Sequence[Prompt], *, request_id: str, params: SamplingParams | None = None
    ) -> PrefillResult:
        """Prefill in the worker; see :meth:`InferenceBackend.prefill`."""
        plain = None if params is None else dump(params)
        return await self._request(
            "prefill", prompts_to_plain(prompts), request_id, plain, decode=prefill_from_plain
        )

    async def decode(self, state: DecodeState, *, request_id: str) -> DecodeResult:
        """Decode in the worker; see :meth:`InferenceBackend.decode`."""
        return await self._request("decode", dump(state), request_id, decode=self._decoded)

    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        """Generate in the worker; see :meth:`InferenceBackend.generate`."""
        return await self._request(
            "generate", prompts_to_plain(prompts), dump(params), request_id, decode=self._streams
        )

    async def cancel(self, request_id: str) -> bool:
        """Cancel in the worker; see :meth:`InferenceBackend.cancel`."""
        return bool(await self._call("cancel", request_id, timeout_s=self._settings.control_timeout_s))

    async def release(self, state: DecodeState) -> None:
        """Release in the worker; see :meth:`InferenceBackend.release`."""
        await self._call("release", dump(state), timeout_s=self._settings.control_timeout_s)

    async def export_kv(self, state: DecodeState, location: str) -> KVExport:
        """Export in the worker; see :meth:`InferenceBackend.export_kv`."""
        return await self._request("export_kv", dump(state), location, decode=KVExport.model_validate)

    async def import_kv(self, export: KVExport, state: DecodeState) -> DecodeState:
        """Import in the worker; see :meth:`InferenceBackend.import_kv`."""
        return await self._request("import_kv", dump(export), dump(state), decode=DecodeState.model_validate)

    def get_kv_schema(self) -> KVCacheSchema:
        """Describe the KV as the worker stores it; raises ``Unsupported`` where it stores none."""
        self.get_capability()  # refuses before the start
        if self._schema is None:
            raise Unsupported(f"the backend of {self.label} keeps no KV")
        return self._schema

    def load_quant_profile(self, profile: QuantizationProfile) -> None:
        """Quantise in the worker; blocks this thread, as the contract's method does (IB-09)."""
        if Capability.BACKEND_QUANTIZATION not in self._capabilities:
            raise Unsupported(
                f"the backend of {self.label} does not quantise", capability=Capability.BACKEND_QUANTIZATION
            )
        self._described(self._blocking_call("load_quant_profile", dump(profile)))

    def _described(self, snapshot: Any) -> None:
        super()._described(snapshot)
        self._schema = None if snapshot[2] is None else KVCacheSchema.model_validate(snapshot[2])

    def _decoded(self, plain: Any) -> DecodeResult:
        request_id, (stream_id, stream_request_id) = plain
        return DecodeResult(request_id, self._connection.open_stream(stream_id, stream_request_id))

    def _streams(self, plain: Any) -> list[TokenStream]:
        return [self._connection.open_stream(stream_id, request_id) for stream_id, request_id in plain]


class _ProcessTokenizer:
    """The tokenizer of a worker's model."""

    def __init__(self, backend: ProcessBackend) -> None:
        self._backend = backend

    async def encode(self, text: str) -> list[int]:
        return await self._backend._request("encode", text)

    async def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        return await self._backend._request("encode_chat", [dump(message) for message in messages])

    async def decode(self, token_ids: Sequence[int]) -> str:
        return await self._backend._request("decode_tokens", list(token_ids))
