"""Backends whose outputs are wrong: IB-01, IB-05, IB-06, IB-11."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence as Many

import attrs

from sage_infer_contracts.backend import Prompt
from sage_infer_contracts.content import ContentKey, chain_key
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import FinishReason, TokenDelta, TokenLogprob, TokenStream

from ..kinds.backend.reference.backend import ReferenceBackend
from ..kinds.backend.reference.engine import Engine
from ..kinds.backend.reference.sequence import Event, Sequence
from ..kinds.backend.reference.text import EOS, decode
from .backend_ward import backend, engine


@engine("IB-01", "logits are rounded coarsely as soon as three sequences share a step")
class RoundsInBatches(Engine):
    def logits(self, sequence: Sequence) -> list[float]:
        logits = super().logits(sequence)
        return [round(value * 4) / 4 for value in logits] if len(self.running) > 2 else logits


@engine("IB-01", "a chunk of a prompt does not see the chunks before it")
class ChunksForget(Engine):
    begin = 0

    def advance(self, sequence: Sequence, most: int) -> int:
        self.begin = sequence.computed if len(sequence.tokens) - sequence.computed > 1 else 0
        return super().advance(sequence, most)

    def compute(self, sequence: Sequence, position: int) -> None:
        table, begin = sequence.table, self.begin
        blank = bytes(self.pool.schema.bytes_per_token)
        cached = sequence.reused
        kv = self.function.kv(
            sequence.tokens[position],
            position,
            lambda seen: self.pool.read(table, seen) if seen >= begin or seen < cached else blank,
        )
        self.pool.write(table, position, kv)
        sequence.computed = position + 1


@engine("IB-01", "a block is found again by its own tokens, whatever came before it")
class CacheForgetsParents(Engine):
    def start(self) -> None:
        pool = self.pool

        def keys(tokens: Many[int]) -> list[ContentKey]:
            starts = range(0, len(tokens) - pool.page + 1, pool.page)
            return [chain_key(pool.root, tokens[start : start + pool.page]) for start in starts]

        pool.keys = keys  # type: ignore[method-assign]
        super().start()


@engine("IB-01", "a sequence that gave way goes on without the KV of what it had produced")
class PreemptionForgets(Engine):
    def admit(self) -> None:
        before = list(self.running)
        super().admit()
        for sequence in self.running:
            if sequence not in before and sequence.started and sequence.computed < sequence.prompt_tokens:
                sequence.computed = len(sequence.tokens) - 1


@backend("IB-01", "KV that was computed before the weights were quantised is used after it")
class StaleAfterQuantising(ReferenceBackend):
    def load_quant_profile(self, profile: QuantizationProfile) -> None:
        engine = self.ready()
        engine.pool.forget = lambda root: None  # type: ignore[method-assign]
        super().load_quant_profile(profile)


@backend("IB-05", "off by one: a token more than max_tokens, where there is room")
class OneTokenMore(ReferenceBackend):
    def sequence(
        self, name: str, group: str, prompt: list[int], params: SamplingParams, index: int
    ) -> Sequence:
        made = super().sequence(name, group, prompt, params, index)
        made.max_total_tokens = min(made.max_total_tokens + 1, self.limits.max_sequence_length)
        return made


@engine("IB-05", "a stop string is found only within the text of one token")
class StopsWithinOneDelta(Engine):
    def cut(self, sequence: Sequence, text: str, *, final: bool) -> tuple[str, str | None]:
        sequence.stops.held = ""
        for stop in sequence.params.stop:
            if stop in text:
                return text[: text.index(stop)], stop
        return text, None


@engine("IB-05", "the stop string stays in the text")
class KeepsStopString(Engine):
    def cut(self, sequence: Sequence, text: str, *, final: bool) -> tuple[str, str | None]:
        out, stop = super().cut(sequence, text, final=final)
        return out + (stop or ""), stop


@engine("IB-05", "an output that ends by itself is told to have reached its length")
class EosIsLength(Engine):
    def finish_reason(self, sequence: Sequence, token: int) -> FinishReason | None:
        reason = super().finish_reason(sequence, token)
        return "length" if reason == "eos" else reason


@engine("IB-05", "ignore_eos is ignored")
class IgnoresIgnoreEos(Engine):
    def finish_reason(self, sequence: Sequence, token: int) -> FinishReason | None:
        return "eos" if token == EOS else super().finish_reason(sequence, token)


@engine("IB-05", "stop tokens are looked for only after the second token")
class LateStopTokens(Engine):
    def finish_reason(self, sequence: Sequence, token: int) -> FinishReason | None:
        reason = super().finish_reason(sequence, token)
        return None if reason == "stop_token" and len(sequence.output) <= 2 else reason


@engine("IB-06", "the last token does not come with the last delta")
class DropsLastToken(Engine):
    def end(self, sequence: Sequence, last: TokenDelta) -> None:
        super().end(sequence, attrs.evolve(last, token_ids=()))


@engine("IB-06", "each token is decoded by itself, so characters break between tokens")
class BreaksCharacters(Engine):
    def emit(self, sequence: Sequence, token: int) -> None:
        sequence.detokenizer.feed = lambda one, *, final=False: decode([one])  # type: ignore[assignment,method-assign]
        super().emit(sequence, token)


@engine("IB-06", "every eleventh delta is delivered twice")
class RepeatsDeltas(Engine):
    count = 0

    def deliver(self, sequence: Sequence, event: Event) -> None:
        super().deliver(sequence, event)
        self.count += 1
        if self.count % 11 == 0 and isinstance(event, TokenDelta) and event.finish_reason is None:
            super().deliver(sequence, event)


@engine("IB-06", "bytes of a character that the end cuts off are dropped")
class DropsCutCharacter(Engine):
    def end(self, sequence: Sequence, last: TokenDelta) -> None:
        super().end(sequence, attrs.evolve(last, text=last.text.rstrip("\ufffd")))


@backend("IB-06", "streams of several prompts come in the order of their length")
class SortsStreams(ReferenceBackend):
    async def generate(
        self, prompts: Many[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        streams = await super().generate(prompts, params, request_id=request_id)
        order = sorted(range(len(streams)), key=lambda n: len(prompts[n // params.n]))
        return [streams[number] for number in order]


@engine("IB-11", "all sequences draw from one generator")
class OneGenerator(Engine):
    generator = random.Random(7)

    def produce(self, sequence: Sequence) -> None:
        sequence.seed = self.generator.getrandbits(60)
        super().produce(sequence)


@engine("IB-11", "a seed is moved by the place in the batch")
class SeedMovesWithPlace(Engine):
    def draws(self, sequence: Sequence) -> int:
        return super().draws(sequence) + 1000 * self.running.index(sequence)


@backend("IB-11", "every request gets the same seed")
class OneSeed(ReferenceBackend):
    def sequence(
        self, name: str, group: str, prompt: list[int], params: SamplingParams, index: int
    ) -> Sequence:
        made = super().sequence(name, group, prompt, params, index)
        made.seed = 42 if params.seed is not None else made.seed
        return made


@backend("IB-11", "a seed or a filter turns sampling on at temperature 0")
class SeedBeatsZero(ReferenceBackend):
    def sequence(
        self, name: str, group: str, prompt: list[int], params: SamplingParams, index: int
    ) -> Sequence:
        if params.greedy and (params.seed is not None or params.top_k or params.top_p < 1.0):
            params = params.model_copy(update={"temperature": 1.0})
        return super().sequence(name, group, prompt, params, index)


class _Logprobs(Engine):
    """Changes what is told of the emitted token."""

    def told(self, before: list[TokenLogprob], one: TokenLogprob) -> TokenLogprob:
        """Return what is told in place of ``one``."""
        return one

    def emit(self, sequence: Sequence, token: int) -> None:
        if sequence.logprobs:
            sequence.logprobs[-1] = self.told(sequence.logprobs, sequence.logprobs[-1])
        super().emit(sequence, token)


@engine("IB-11", "the log-probability told is that of the best token, whichever was drawn")
class LogprobOfBest(_Logprobs):
    def told(self, before: list[TokenLogprob], one: TokenLogprob) -> TokenLogprob:
        return attrs.evolve(one, logprob=one.top[0][1]) if one.top else one


@engine("IB-11", "log-probabilities are logits that were never normalised")
class LogprobsAreLogits(_Logprobs):
    def told(self, before: list[TokenLogprob], one: TokenLogprob) -> TokenLogprob:
        return attrs.evolve(one, logprob=one.logprob + 9, top=tuple((t, v + 9) for t, v in one.top))


@engine("IB-01", "a cancel in the middle of a prompt leaves blocks in the cache that were never computed")
class CancelPoisonsCache(Engine):
    def cancel(self, sequences: Iterable[Sequence]) -> None:
        with self.changed:
            doomed = list(sequences)
            for sequence in doomed:
                if sequence.table and not sequence.ended:
                    self.pool.publish(sequence.table, sequence.tokens, len(sequence.tokens) - 1)
        super().cancel(doomed)


@engine(
    "IB-01", "off by one: of a prompt of whole blocks that is cached, the last token is not computed again"
)
class SkipsTheLastToken(Engine):
    def admit(self) -> None:
        before = list(self.running)
        super().admit()
        for sequence in self.running:
            if sequence not in before and sequence.computed and sequence.prompt_tokens % self.pool.page == 0:
                blank = bytes(self.pool.schema.bytes_per_token)
                self.pool.write(sequence.table, sequence.computed, blank)
                sequence.computed += len(sequence.tokens) - 1 - sequence.computed


@engine("IB-11", "log-probabilities are a token late")
class LateLogprobs(_Logprobs):
    def told(self, before: list[TokenLogprob], one: TokenLogprob) -> TokenLogprob:
        late, self.last = getattr(self, "last", one), one
        return attrs.evolve(late, token_id=one.token_id)
