"""Backends that keep KV wrongly: IB-02, IB-07, IB-08, IB-13."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import attrs

from sage_infer_contracts.backend import BackendStats
from sage_infer_contracts.engines.leases import LeaseTable
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kv import KVCacheSchema, KVGroup
from sage_infer_contracts.states import DecodeResult, DecodeState, KVExport
from sage_infer_contracts.streams import Usage

from ..kinds.backend.reference import transfer
from ..kinds.backend.reference.backend import ReferenceBackend
from ..kinds.backend.reference.engine import Engine
from ..kinds.backend.reference.function import schema_of
from ..kinds.backend.reference.sequence import Sequence, sequence_of
from ..kinds.backend.reference.text import StopStrings
from .backend_ward import backend, engine


@engine("IB-02", "decode computes the prompt again")
class DecodeComputesAgain(Engine):
    def resume(self, sequence: Sequence) -> None:
        with self.changed:
            self.free(sequence)
        super().resume(sequence)


@engine("IB-02", "decode begins the draws of its seed anew")
class DecodeDrawsAnew(Engine):
    def resume(self, sequence: Sequence) -> None:
        sequence.seed += 1
        super().resume(sequence)


@engine("IB-02", "stop strings do not travel with a state")
class DecodeForgetsStops(Engine):
    def resume(self, sequence: Sequence) -> None:
        sequence.stops = StopStrings(())
        super().resume(sequence)


@engine("IB-02", "max_tokens counts from the second token when prefill and decode are separate")
class DecodeCountsAnew(Engine):
    def resume(self, sequence: Sequence) -> None:
        sequence.max_total_tokens += 1
        super().resume(sequence)


@backend("IB-07", "the schema says twice the head size")
class WrongHeadSize(ReferenceBackend):
    def get_kv_schema(self) -> KVCacheSchema:
        true = super().get_kv_schema()
        (group,) = true.all_groups
        wide: KVGroup = group.model_copy(update={"head_dim": 2 * group.head_dim})
        return true.model_copy(update={"head_dim": 2 * true.head_dim, "groups": (wide,)})


@backend("IB-07", "a page size that is asked for is reported, and the pool keeps its own")
class ReportsWhatWasAsked(ReferenceBackend):
    async def start(self) -> None:
        asked, self.schema = self.schema, schema_of(self.options.block_size)
        await super().start()
        self.schema = asked


@backend("IB-07", "an import fills all blocks but the last")
class ImportLosesTail(ReferenceBackend):
    async def import_kv(self, export: KVExport, state: DecodeState) -> DecodeState:
        engine = self.ready()
        load = engine.pool.load
        engine.pool.load = lambda table, data: load(table, data[: -engine.pool.schema.block_bytes])  # type: ignore[method-assign]
        try:
            return await super().import_kv(export, state)
        finally:
            engine.pool.load = load  # type: ignore[method-assign]


@backend("IB-07", "an import does not look at the checksum")
class TrustsExports(ReferenceBackend):
    async def import_kv(self, export: KVExport, state: DecodeState) -> DecodeState:
        pool = self.ready().pool
        data = transfer.path_of(export.location).read_bytes()
        honest = transfer.receipt(pool.schema, data, export.num_tokens, export.location)
        checked = honest.model_copy(update={"schema_fingerprint": export.schema_fingerprint})
        return await super().import_kv(checked, state)


@backend("IB-07", "an import that fails keeps the blocks it had taken")
class FailedImportKeeps(ReferenceBackend):
    async def import_kv(self, export: KVExport, state: DecodeState) -> DecodeState:
        engine = self.ready()
        block = engine.pool.append()
        made = await super().import_kv(export, state)
        if block is not None:
            engine.pool.release([block])
        return made


class _Lying(Engine):
    """Shares nothing, and reports as reused what it found."""

    def admit(self) -> None:
        before = list(self.running)
        super().admit()
        for sequence in self.running:
            if sequence not in before and not sequence.started:
                self.undo(sequence)

    def undo(self, sequence: Sequence) -> None:
        """Compute everything again that was found."""
        sequence.computed = 0


@engine(
    "IB-08", "reuse is reported by requests and computed all the same; the counter of computed tokens knows"
)
class ReportsVainReuse(_Lying):
    pass


@engine("IB-08", "reuse is reported and counted, and everything is computed all the same")
class CountsVainReuse(_Lying):
    def advance(self, sequence: Sequence, most: int) -> int:
        counted, begin = self.computed, sequence.computed
        done = super().advance(sequence, most)
        fresh = max(begin, sequence.reused)
        self.computed = counted + max(0, min(begin + done, sequence.prompt_tokens) - fresh)
        return done


class _Blocks(Sequence):
    def usage(self) -> Usage:
        true = super().usage()
        reused = min(
            true.prompt_tokens - 1,
            -(-true.reused_prompt_tokens // 8) * 8 + 8 * (true.reused_prompt_tokens > 0),
        )
        return attrs.evolve(
            true, reused_prompt_tokens=reused, computed_prompt_tokens=true.prompt_tokens - reused
        )


@backend("IB-08", "a block that was only begun counts as reused")
class CountsBegunBlock(ReferenceBackend):
    def sequence(self, *arguments: Any) -> Sequence:
        made = super().sequence(*arguments)
        fields = {field.name: getattr(made, field.name) for field in attrs.fields(Sequence) if field.init}
        return _Blocks(**fields)


@engine("IB-08", "counters begin anew when nothing runs")
class CountersFall(Engine):
    def stats(self) -> BackendStats:
        found = super().stats()
        if not self.running and not self.waiting and self.generated > 40:
            with self.changed:
                self.generated = self.steps = 0
        return found


@backend("IB-13", "a state can be decoded again and again")
class UsableTwice(ReferenceBackend):
    used: dict[str, DecodeState]

    async def decode(self, state: DecodeState, *, request_id: str) -> DecodeResult:
        try:
            return await super().decode(state, request_id=request_id)
        except InvalidRequest:
            engine = self.ready()
            if state.kv.instance != self.leases.instance:
                raise
            again = sequence_of(state, self.limits.max_sequence_length)
            again.request_id = again.group = request_id
            stream = self.stream(engine, again)
            engine.add([again])
            return DecodeResult(request_id, stream)


@backend("IB-13", "leases do not end")
class LeasesForEver(ReferenceBackend):
    async def start(self) -> None:
        await super().start()
        self.leases = LeaseTable(1e9, time.monotonic)
        self.ready().leases = self.leases


@engine("IB-13", "when a lease ends its state is refused, and the blocks stay")
class ExpiryKeepsBlocks(Engine):
    def free(self, sequence: Sequence) -> None:
        if sequence in self.running or sequence.ended:
            super().free(sequence)


@backend("IB-13", "leases have numbers, and those of another instance fit as well")
class ForeignFits(ReferenceBackend):
    names: dict[int, str]

    async def decode(self, state: DecodeState, *, request_id: str) -> DecodeResult:
        for name, lease in list(self.leases._leases.items()):
            if lease.generation == state.kv.generation:
                own = lease.sequence.state(state.kv)
                handle = state.kv.model_copy(update={"lease": name, "instance": self.leases.instance})
                return await super().decode(own.model_copy(update={"kv": handle}), request_id=request_id)
        return await super().decode(state, request_id=request_id)


@backend("IB-13", "a state is known by its lease alone, whatever its tokens say")
class TrustsStates(ReferenceBackend):
    async def decode(self, state: DecodeState, *, request_id: str) -> DecodeResult:
        lease = self.leases._leases.get(state.kv.lease)
        return await super().decode(lease.sequence.state(state.kv) if lease else state, request_id=request_id)


@backend("IB-13", "release ends the lease and forgets the blocks")
class ReleaseLeaks(ReferenceBackend):
    async def release(self, state: DecodeState) -> None:
        self.ready()
        self.leases.take(state)


@backend("IB-13", "between the check of a state and its use others are let in")
class ChecksThenWaits(ReferenceBackend):
    async def decode(self, state: DecodeState, *, request_id: str) -> DecodeResult:
        lease = self.leases._leases.get(state.kv.lease)
        if lease is None or not lease.sequence.matches(state) or lease.generation != state.kv.generation:
            return await super().decode(state, request_id=request_id)
        await asyncio.sleep(0)
        if state.kv.lease in self.leases._leases:
            return await super().decode(state, request_id=request_id)
        again = sequence_of(state, self.limits.max_sequence_length)
        again.request_id = again.group = request_id
        stream = self.stream(self.ready(), again)
        self.ready().add([again])
        return DecodeResult(request_id, stream)
