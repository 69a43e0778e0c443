"""Backends that treat requests wrongly: IB-03, IB-04, IB-12, IB-14."""

from __future__ import annotations

from collections.abc import Iterable, Sequence as Many

import attrs

from sage_infer_contracts.backend import BackendStats, Prompt
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.engines.live import LiveRequests
from sage_infer_contracts.errors import Unsupported
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeState, KVExport
from sage_infer_contracts.streams import TokenDelta, TokenStream

from ..kinds.backend.reference.backend import CAPABILITIES, ReferenceBackend
from ..kinds.backend.reference.engine import Engine
from ..kinds.backend.reference.sequence import Sequence
from ..kinds.backend.reference.text import Detokenizer
from .backend_ward import backend, engine


@backend("IB-03", "a prompt that is too long loses its beginning, and nobody is told")
class TruncatesSilently(ReferenceBackend):
    def check(self, prompt: list[int], params: SamplingParams) -> None:
        room = self.limits.max_sequence_length - (params.max_tokens or 1)
        del prompt[: max(0, len(prompt) - max(1, room))]
        super().check(prompt, params)


@backend("IB-03", "max_tokens past the limit is lowered, and nobody is told")
class LowersMaxTokens(ReferenceBackend):
    def check(self, prompt: list[int], params: SamplingParams) -> None:
        super().check(prompt, params.model_copy(update={"max_tokens": None}))

    def sequence(
        self, name: str, group: str, prompt: list[int], params: SamplingParams, index: int
    ) -> Sequence:
        made = super().sequence(name, group, prompt, params, index)
        made.max_total_tokens = min(made.max_total_tokens, self.limits.max_sequence_length)
        return made


@backend("IB-03", "off by one: the longest sequence that is declared is refused")
class RefusesTheLongest(ReferenceBackend):
    def check(self, prompt: list[int], params: SamplingParams) -> None:
        limits = attrs.evolve(self.limits, max_sequence_length=self.limits.max_sequence_length - 1)
        limits.check(prompt, params)


@backend("IB-03", "the queue has no bound")
class QueueWithoutBound(ReferenceBackend):
    async def start(self) -> None:
        await super().start()
        self.live = LiveRequests(attrs.evolve(self.limits, max_waiting_requests=10_000))


@backend("IB-03", "prompts of one call are checked one by one, after the ones before them were begun")
class ChecksTooLate(ReferenceBackend):
    async def generate(
        self, prompts: Many[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        if len(prompts) == 1:
            return await super().generate(prompts, params, request_id=request_id)
        streams = []
        for number, prompt in enumerate(prompts):
            streams += await super().generate([prompt], params, request_id=f"{request_id}/{number}")
        return streams


@engine("IB-03", "one sequence more than max_batch_size runs")
class OneSeatMore(Engine):
    def admit(self) -> None:
        limits = self.limits
        self.limits = attrs.evolve(limits, max_batch_size=limits.max_batch_size + 1)
        super().admit()
        self.limits = limits


@engine("IB-04", "cancel ends the stream, and the engine computes on to the end")
class ComputesOn(Engine):
    def cancel(self, sequences: Iterable[Sequence]) -> None:
        with self.changed:
            for sequence in sequences:
                self.deliver(sequence, TokenDelta((), "", "cancelled", None, sequence.usage()))


@engine("IB-04", "cancel gives back all blocks but the last")
class CancelKeepsABlock(Engine):
    def cancel(self, sequences: Iterable[Sequence]) -> None:
        with self.changed:
            doomed = list(sequences)
            for sequence in doomed:
                sequence.table = sequence.table[:-1]
        super().cancel(doomed)


@engine("IB-04", "who still waits cannot be cancelled")
class CancelsOnlyRunning(Engine):
    def cancel(self, sequences: Iterable[Sequence]) -> None:
        super().cancel([sequence for sequence in sequences if sequence in self.running])


@engine("IB-04", "the end by a stop string forgets a block")
class StopStringLeaks(Engine):
    def end(self, sequence: Sequence, last: TokenDelta) -> None:
        if last.finish_reason == "stop_string":
            sequence.table = sequence.table[:-1]
        super().end(sequence, last)


@backend("IB-04", "cancel of a prefill forgets the blocks that wait for decode")
class ParkedCancelLeaks(ReferenceBackend):
    async def cancel(self, request_id: str) -> bool:
        parked = self.leases.take_request(request_id)
        return await super().cancel(request_id) or bool(parked)


@backend("IB-04", "one stream of several cannot be cancelled by its name")
class CancelsOnlyCalls(ReferenceBackend):
    async def cancel(self, request_id: str) -> bool:
        return False if "/" in request_id else await super().cancel(request_id)


@engine("IB-12", "everybody in a step is drawn with the temperature of the first")
class SharesTemperature(Engine):
    def produce(self, sequence: Sequence) -> None:
        own = sequence.params
        temperature = self.running[0].params.temperature
        sequence.params = own.model_copy(update={"temperature": temperature})
        try:
            super().produce(sequence)
        finally:
            sequence.params = own


@engine("IB-12", "a stop string of one request ends all")
class SharesStops(Engine):
    def cut(self, sequence: Sequence, text: str, *, final: bool) -> tuple[str, str | None]:
        out, stop = super().cut(sequence, text, final=final)
        for other in self.running:
            for one in other.params.stop if other is not sequence else ():
                if stop is None and one in out:
                    return out[: out.index(one)], one
        return out, stop


@engine("IB-12", "one detokeniser serves all streams")
class SharesDetokeniser(Engine):
    shared: Detokenizer | None = None

    def emit(self, sequence: Sequence, token: int) -> None:
        self.shared = sequence.detokenizer = self.shared or Detokenizer()
        super().emit(sequence, token)


@engine("IB-12", "the shortest prompt goes first, for ever")
class ShortestFirst(Engine):
    def admit(self) -> None:
        fresh = sorted(self.waiting, key=lambda one: len(one.tokens))
        self.waiting.clear()
        self.waiting.extend(fresh)
        super().admit()


@engine("IB-12", "the oldest sequence has the engine to itself until it ends")
class OldestOnly(Engine):
    def step(self) -> int:
        self.admit()
        done = 0
        for sequence in self.running[:1]:
            if self.make_room(sequence):
                done = self.advance(sequence, self.step_tokens)
        self.steps += done > 0
        return done


@engine("IB-12", "the last block of a sequence is handed out to another one as well")
class SharesALastBlock(Engine):
    def admit(self) -> None:
        before = list(self.running)
        super().admit()
        for sequence in self.running:
            if sequence not in before and before and before[0].table and not sequence.started:
                spare = before[0].table[-1]
                if sequence.table[-1] != spare and len(sequence.table) > 1:
                    mine = sequence.table.pop()
                    self.pool.release([mine])
                    self.pool._refs[spare] += 1
                    sequence.table.append(spare)
                    before = []


@backend("IB-14", "min_p is not declared, and taken without a word")
class TakesUndeclared(ReferenceBackend):
    capabilities = CAPABILITIES - {Capability.BACKEND_MIN_P}

    def accept(
        self, prompts: Many[Prompt], params: SamplingParams, group: str
    ) -> tuple[Engine, list[Sequence]]:
        return super().accept(prompts, params.model_copy(update={"min_p": 0.0}), group)


@backend("IB-14", "log-probabilities are not declared, and a request for them is served without")
class LeavesOutLogprobs(ReferenceBackend):
    capabilities = CAPABILITIES - {Capability.BACKEND_LOGPROBS}

    def accept(
        self, prompts: Many[Prompt], params: SamplingParams, group: str
    ) -> tuple[Engine, list[Sequence]]:
        return super().accept(prompts, params.model_copy(update={"logprobs": None}), group)


@backend("IB-14", "KV export is declared and not there")
class DeclaresExport(ReferenceBackend):
    async def export_kv(self, state: DecodeState, location: str) -> KVExport:
        raise Unsupported("KV export comes with the next release", capability=Capability.BACKEND_KV_EXPORT)


@engine("IB-14", "a prefix cache is declared, and nothing is ever found in it")
class NeverReuses(Engine):
    def start(self) -> None:
        self.pool.publish = lambda table, tokens, computed: None  # type: ignore[method-assign]
        super().start()


@backend("IB-14", "min_tokens and logit_bias are declared and have no effect")
class NoEffect(ReferenceBackend):
    def sequence(
        self, name: str, group: str, prompt: list[int], params: SamplingParams, index: int
    ) -> Sequence:
        plain = params.model_copy(update={"min_tokens": 0, "logit_bias": None})
        return super().sequence(name, group, prompt, plain, index)


@engine("IB-03", "of a prompt only the last tokens are read, and all are counted")
class ReadsOnlyTheEnd(Engine):
    def compute(self, sequence: Sequence, position: int) -> None:
        own = sequence.tokens[position]
        if position < sequence.prompt_tokens - 24:
            sequence.tokens[position] = 1
        super().compute(sequence, position)
        sequence.tokens[position] = own


@engine("IB-04", "what was cancelled counts as running for ever")
class GaugeStays(Engine):
    ghosts = 0

    def cancel(self, sequences: Iterable[Sequence]) -> None:
        doomed = list(sequences)
        self.ghosts += sum(sequence in self.running for sequence in doomed)
        super().cancel(doomed)

    def stats(self) -> BackendStats:
        found = super().stats()
        return found.model_copy(update={"running": found.running + self.ghosts})
