"""Correct backends that do not work as the reference does: no rule may speak against them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable

import attrs

from sage_infer_conformance.kinds.backend.reference import transfer
from sage_infer_conformance.kinds.backend.reference.backend import ReferenceBackend
from sage_infer_conformance.kinds.backend.reference.engine import Engine
from sage_infer_conformance.kinds.backend.reference.sequence import Event, Sequence
from sage_infer_conformance.kinds.backend.reference.text import EOS
from sage_infer_conformance.mutants.backend_outputs import ChunksForget
from sage_infer_contracts.backend import BackendConfig, BackendStats
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.errors import InvalidRequest, Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeResult, DecodeState, KVExport, PrefillResult
from sage_infer_contracts.streams import TokenDelta
from sage_infer_contracts.testing import Subject

LEASE = {"lease_option": "lease_s"}


class OneTokenBlocks(ReferenceBackend):
    """A block holds one token, so anything that was computed once is found again."""

    def _schema(self) -> KVCacheSchema:
        if self.config.kv_schema is None:
            self.options = self.options.model_copy(update={"block_size": 1})
        return super()._schema()


class Bare(ReferenceBackend):
    """Generates and nothing more: no KV to describe, no states, no counters of steps or blocks."""

    capabilities = frozenset({Capability.BACKEND_GENERATE})

    async def start(self) -> None:
        await super().start()
        self.ready().pool.publish = lambda table, tokens, computed: None  # type: ignore[method-assign]

    async def stats(self) -> BackendStats:
        found = await super().stats()
        nothing = {"blocks_total": 0, "blocks_held": 0, "blocks_free": 0, "steps": 0}
        return found.model_copy(update=nothing)

    def get_capability(self) -> CapabilityDescriptor:
        self.ready()
        return CapabilityDescriptor(
            backend_name="bare",
            hardware_backend="cpu",
            max_batch_size=self.limits.max_batch_size,
            max_sequence_length=self.limits.max_sequence_length,
            kv_cache_capacity_gb=0.0,
            supported_precisions=("fp32",),
            capabilities=self.capabilities,
        )

    def get_kv_schema(self) -> KVCacheSchema:
        self.ready()
        raise Unsupported("no KV is kept")

    async def prefill(
        self, prompts: object, *, request_id: str, params: SamplingParams | None = None
    ) -> PrefillResult:
        raise Unsupported("one call does it all", capability=Capability.BACKEND_SPLIT_PREFILL)

    async def decode(self, state: DecodeState, *, request_id: str) -> DecodeResult:
        raise Unsupported("one call does it all", capability=Capability.BACKEND_SPLIT_PREFILL)

    async def release(self, state: DecodeState) -> None:
        raise Unsupported("one call does it all", capability=Capability.BACKEND_SPLIT_PREFILL)

    async def export_kv(self, state: DecodeState, location: str) -> KVExport:
        raise Unsupported("no KV is kept", capability=Capability.BACKEND_KV_EXPORT)

    async def import_kv(self, export: KVExport, state: DecodeState) -> DecodeState:
        raise Unsupported("no KV is kept", capability=Capability.BACKEND_KV_EXPORT)

    def load_quant_profile(self, profile: QuantizationProfile) -> None:
        raise Unsupported("weights stay as they are", capability=Capability.BACKEND_QUANTIZATION)


class _NoisyEngine(Engine):
    """Rounds differently from batch to batch, as devices do."""

    def logits(self, sequence: Sequence) -> list[float]:
        noise = random.Random(len(self.running) * 7919 + len(sequence.tokens))
        return [value + noise.uniform(-2e-4, 2e-4) for value in super().logits(sequence)]


class Noisy(ReferenceBackend):
    """Outputs part where two tokens are nearly alike, and nowhere else."""

    engine_type = _NoisyEngine


class NoisyAndMute(Noisy):
    """The same, and it tells no log-probabilities."""

    capabilities = ReferenceBackend.capabilities - {Capability.BACKEND_LOGPROBS}


class _PairingEngine(Engine):
    """Delivers two tokens at a time, where nothing ends between them."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.kept: dict[Sequence, TokenDelta] = {}

    def deliver(self, sequence: Sequence, event: Event) -> None:
        if not isinstance(event, TokenDelta):
            super().deliver(sequence, event)
            return
        first = self.kept.pop(sequence, None)
        if first is not None:
            event = attrs.evolve(
                event,
                token_ids=first.token_ids + event.token_ids,
                text=first.text + event.text,
                logprobs=None if event.logprobs is None and first.logprobs is None
                else (first.logprobs or ()) + (event.logprobs or ()),
            )  # fmt: skip
        if first is None and event.finish_reason is None:
            self.kept[sequence] = event
        else:
            super().deliver(sequence, event)


class Pairing(ReferenceBackend):
    """Streams come in pairs of tokens."""

    engine_type = _PairingEngine


class _TardyEngine(Engine):
    """Hears of a cancel only some steps later."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.doomed: list[tuple[int, Sequence]] = []

    def cancel(self, sequences: Iterable[Sequence]) -> None:
        with self.changed:
            self.doomed += [(self.steps + 4, sequence) for sequence in sequences]
            self.changed.notify()

    def step(self) -> int:
        due = [sequence for at, sequence in self.doomed if at <= self.steps or sequence not in self.running]
        self.doomed = [(at, sequence) for at, sequence in self.doomed if sequence not in due]
        super().cancel(due)
        return super().step()


class Tardy(ReferenceBackend):
    """Cancels are asynchronous."""

    engine_type = _TardyEngine


class _MaskingEngine(Engine):
    """Where EOS is to be ignored it is never produced."""

    def logits(self, sequence: Sequence) -> list[float]:
        logits = super().logits(sequence)
        if sequence.params.ignore_eos:
            logits[EOS] = -1e3
        return logits


class MasksEos(ReferenceBackend):
    """``ignore_eos`` forbids the token."""

    engine_type = _MaskingEngine


class _NewestFirstEngine(Engine):
    """The newest goes first, but nobody is overtaken by more than five."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.passed: dict[Sequence, int] = {}

    def admit(self) -> None:
        patient = [
            sequence for sequence in self.waiting if self.passed.get(sequence, 0) >= 5 or sequence.started
        ]
        fresh = [sequence for sequence in self.waiting if sequence not in patient]
        self.waiting.clear()
        self.waiting.extend((*patient, *reversed(fresh)))
        before = list(self.waiting)
        super().admit()
        left = list(self.waiting)
        for sequence in left:
            self.passed[sequence] = self.passed.get(sequence, 0) + len(before) - len(left)
        self.waiting.clear()
        self.waiting.extend(
            (*(s for s in left if s in patient), *(s for s in reversed(left) if s not in patient))
        )


class NewestFirst(ReferenceBackend):
    """Last in, first out, within bounds."""

    engine_type = _NewestFirstEngine


class Choosy(ReferenceBackend):
    """Steps have a budget of their own, pages a size of their own, and a pool is as large as it is."""

    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        for name in ("max_batched_tokens", "kv_schema", "kv_cache_memory_bytes"):
            if getattr(config, name) is not None:
                raise InvalidRequest(f"{name} is fixed on this device", param=name)
        super().__init__(config, context)


class CopiesOut(ReferenceBackend):
    """An export leaves the state where it is, and writes no byte more than its tokens have."""

    async def export_kv(self, state: DecodeState, location: str) -> KVExport:
        engine = self.ready()
        lease = self.leases._leases.get(state.kv.lease)
        if lease is None:
            raise InvalidRequest("there is no such state", param="state")
        tokens = lease.sequence.computed
        data = engine.pool.dump(lease.sequence.table, tokens)[: tokens * self.schema.bytes_per_token]
        transfer.path_of(location).write_bytes(data)
        return self.receipt(data, tokens, location)

    def receipt(self, data: bytes, tokens: int, location: str) -> KVExport:
        honest = transfer.receipt(self.schema, data, tokens, location)
        return honest.model_copy(update={"checksum": f"blake2b:{hashlib.blake2b(data).hexdigest()}"})

    async def import_kv(self, export: KVExport, state: DecodeState) -> DecodeState:
        place = transfer.path_of(export.location)
        data = place.read_bytes()
        if self.receipt(data, export.num_tokens, export.location) != export:
            return await super().import_kv(export, state)  # which finds that nothing fits
        padding = -len(data) % self.schema.block_bytes
        whole = data + bytes(padding)
        place.write_bytes(whole)
        own = transfer.receipt(self.schema, whole, export.num_tokens, export.location)
        return await super().import_kv(own, state)


BACKENDS = (
    OneTokenBlocks, Bare, Noisy, NoisyAndMute, Pairing, Tardy, MasksEos, NewestFirst, Choosy, CopiesOut,
)  # fmt: skip
one_token_blocks, bare, noisy, noisy_and_mute, pairing, tardy, masks_eos, newest_first, choosy, copies_out = (
    Subject("backend", made, facts=LEASE) for made in BACKENDS
)


class WrongInBf16(ReferenceBackend):
    """Says that it computes in bf16, so that much is allowed; and its chunks do not see each other."""

    engine_type = ChunksForget

    def get_capability(self) -> CapabilityDescriptor:
        return super().get_capability().model_copy(update={"supported_precisions": ("bf16",)})


class WrongAndMute(WrongInBf16):
    """The same without log-probabilities, so that near ties are shown by drawing."""

    capabilities = ReferenceBackend.capabilities - {Capability.BACKEND_LOGPROBS}


wrong_in_bf16, wrong_and_mute = (
    Subject("backend", made, facts=LEASE) for made in (WrongInBf16, WrongAndMute)
)
