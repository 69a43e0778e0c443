"""The step loop: continuous batching over paged KV, chunked prefill, preemption, leases. One thread, one lock."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from sage_infer_contracts.backend import BackendStats
from sage_infer_contracts.engines.leases import LeaseTable
from sage_infer_contracts.engines.limits import RequestLimits
from sage_infer_contracts.errors import BackendUnavailable
from sage_infer_contracts.states import PrefilledSequence
from sage_infer_contracts.streams import FinishReason, TokenDelta

from .function import Function
from .pool import Pool
from .sampler import adjust, choose, logprob_of
from .sequence import Event, Sequence
from .text import EOS

STEP_S = 200e-6
TOKEN_S = 40e-6
"""Time of the device that this engine does not have: of a step, and of each token in it."""

Deliver = Callable[[Sequence, Event], None]


class Engine:
    """Owner of all sequences. Public methods are called on the event loop and take the lock."""

    def __init__(
        self, function: Function, pool: Pool, limits: RequestLimits, step_tokens: int, leases: LeaseTable[Sequence],
        deliver: Deliver,
    ) -> None:  # fmt: skip
        self.function = function
        self.pool = pool
        self.limits = limits
        self.step_tokens = step_tokens
        self.leases = leases
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.changed = threading.Condition()
        self.closing = False
        self.computed = self.reused = self.generated = self.steps = self.preemptions = 0
        self._deliver = deliver
        self._thread = threading.Thread(target=self._main, name="reference-engine", daemon=True)

    def start(self) -> None:
        """Begin to step."""
        self._thread.start()

    def add(self, sequences: Iterable[Sequence]) -> None:
        """Queue new sequences."""
        with self.changed:
            self.waiting.extend(sequences)
            self.changed.notify()

    def resume(self, sequence: Sequence) -> None:
        """Let a sequence that holds its KV go on as soon as there is a seat."""
        with self.changed:
            self.waiting.appendleft(sequence)
            self.changed.notify()

    def cancel(self, sequences: Iterable[Sequence]) -> None:
        """End sequences now, wherever they are; what was held back goes out."""
        with self.changed:
            for sequence in sequences:
                if not sequence.ended:
                    rest, _ = sequence.stops.feed(sequence.detokenizer.flush(), final=True)
                    self.end(sequence, TokenDelta((), rest, "cancelled", None, sequence.usage()))

    def discard(self, sequences: Iterable[Sequence]) -> None:
        """Free parked sequences that will not go on."""
        with self.changed:
            for sequence in sequences:
                sequence.ended = True
                self.free(sequence)
            self.changed.notify()

    def stats(self) -> BackendStats:
        """Return counters and gauges of one moment."""
        with self.changed:
            return BackendStats(
                computed_tokens=self.computed,
                reused_tokens=self.reused,
                generated_tokens=self.generated,
                running=len(self.running),
                waiting=len(self.waiting),
                blocks_total=self.pool.total,
                blocks_held=self.pool.total - self.pool.free,
                blocks_free=self.pool.free,
                preemptions=self.preemptions,
                steps=self.steps,
            )

    def stop(self, timeout_s: float) -> bool:
        """End the thread; False when it outlives ``timeout_s``."""
        with self.changed:
            self.closing = True
            self.changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            while not self.closing:
                with self.changed:
                    for sequence in self.leases.take_expired():
                        self.free(sequence)
                    if not self.running and not self.waiting:
                        self.changed.wait(self.leases.next_expiry_s())
                        continue
                    tokens = self.step()
                time.sleep(STEP_S + TOKEN_S * tokens)
        except Exception as error:  # noqa: BLE001 - boundary: the end of the thread, told to everybody who waits
            for sequence in [*self.running, *self.waiting]:
                self.deliver(sequence, BackendUnavailable(f"the engine failed: {error!r}"))

    def step(self) -> int:
        """Compute some tokens of some sequences; return how many."""
        self.admit()
        left = self.step_tokens
        for sequence in sorted(self.running, key=lambda one: len(one.tokens) - one.computed > 1):
            if sequence in self.running and left > 0 and self.make_room(sequence):
                left -= self.advance(sequence, left)
        done = self.step_tokens - left
        self.steps += done > 0
        return done

    def admit(self) -> None:
        """Seat who waits, in order, as far as there are seats and blocks."""
        while self.waiting and len(self.running) < self.limits.max_batch_size:
            sequence = self.waiting[0]
            if not sequence.table:
                found = self.pool.acquire(sequence.tokens)
                if found is None:
                    return
                sequence.table, sequence.computed = found
                if not sequence.started:
                    sequence.reused = sequence.computed
            self.running.append(self.waiting.popleft())

    def make_room(self, sequence: Sequence) -> bool:
        """Hold a block for every token; False when ``sequence`` itself had to give way."""
        while len(sequence.table) * self.pool.page < len(sequence.tokens):
            block = self.pool.append()
            if block is not None:
                sequence.table.append(block)
                continue
            victim = self.running[-1]
            self.running.remove(victim)
            self.free(victim)
            self.waiting.appendleft(victim)
            self.preemptions += 1
            if victim is sequence:
                return False
        return True

    def advance(self, sequence: Sequence, most: int) -> int:
        """Compute up to ``most`` tokens of ``sequence``, and its next one when nothing is left before it."""
        begin = sequence.computed
        for position in range(begin, min(len(sequence.tokens), begin + most)):
            self.compute(sequence, position)
        count = sequence.computed - begin
        self.computed += max(0, min(sequence.computed, sequence.prompt_tokens) - begin)
        if sequence.computed // self.pool.page > begin // self.pool.page:
            self.pool.publish(sequence.table, sequence.tokens, sequence.computed)
        if sequence.computed == len(sequence.tokens):
            self.produce(sequence)
        return count

    def compute(self, sequence: Sequence, position: int) -> None:
        """Compute and store the KV of one token."""
        table = sequence.table
        kv = self.function.kv(sequence.tokens[position], position, lambda seen: self.pool.read(table, seen))
        self.pool.write(table, position, kv)
        sequence.computed = position + 1

    def logits(self, sequence: Sequence) -> list[float]:
        """Return the logits after the last token, by the KV that is stored for it."""
        kv = self.pool.read(sequence.table, len(sequence.tokens) - 1)
        return self.function.logits(kv, sequence.tokens[-4:])

    def produce(self, sequence: Sequence) -> None:
        """Choose the next token and deliver it."""
        if not sequence.started:
            sequence.started = True
            self.reused += sequence.reused
        self.generated += 1
        params, logits = sequence.params, self.logits(sequence)
        ends = frozenset({*([] if params.ignore_eos else [EOS]), *params.stop_token_ids})
        adjusted = adjust(logits, params, sequence.prompt, sequence.output, ends)
        token = choose(adjusted, params, sequence.seed, self.draws(sequence))
        if params.logprobs is not None:
            sequence.logprobs.append(logprob_of(adjusted, token, params.logprobs))
        sequence.tokens.append(token)
        self.emit(sequence, token)

    def draws(self, sequence: Sequence) -> int:
        """Return how many draws of its seed a sequence has used."""
        return len(sequence.output)

    def emit(self, sequence: Sequence, token: int) -> None:
        """Deliver ``token``, and the end if it is the last."""
        reason = self.finish_reason(sequence, token)
        text = sequence.detokenizer.feed(token, final=reason is not None)
        text, stop = self.cut(sequence, text, final=reason is not None)
        logprobs = tuple(sequence.logprobs) if sequence.params.logprobs is not None else None
        sequence.logprobs.clear()
        if stop is not None:
            self.end(sequence, TokenDelta((token,), text, "stop_string", stop, sequence.usage(), logprobs))
        elif reason is not None:
            named = token if reason == "stop_token" else None
            self.end(sequence, TokenDelta((token,), text, reason, named, sequence.usage(), logprobs))
        elif sequence.park:
            self.park(sequence, TokenDelta((token,), text, logprobs=logprobs))
        else:
            self.deliver(sequence, TokenDelta((token,), text, logprobs=logprobs))

    def cut(self, sequence: Sequence, text: str, *, final: bool) -> tuple[str, str | None]:
        """Return the text that may go out, and the stop string that ended it; ``min_tokens`` come first."""
        if len(sequence.output) < sequence.params.min_tokens:
            return text, None
        return sequence.stops.feed(text, final=final)

    def finish_reason(self, sequence: Sequence, token: int) -> FinishReason | None:
        """Say why ``token`` is the last one, if it is."""
        if token == EOS and not sequence.params.ignore_eos:
            return "eos"
        if token in sequence.params.stop_token_ids:
            return "stop_token"
        return "length" if len(sequence.tokens) >= sequence.max_total_tokens else None

    def park(self, sequence: Sequence, first: TokenDelta) -> None:
        """Keep the KV under a lease until decode."""
        sequence.park = False
        self.running.remove(sequence)
        self.deliver(sequence, PrefilledSequence(first, sequence.state(self.leases.grant(sequence))))

    def end(self, sequence: Sequence, last: TokenDelta) -> None:
        """Take ``sequence`` out, give back what it holds and deliver its ``last`` delta."""
        sequence.ended = True
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self.free(sequence)
        self.deliver(sequence, last)

    def free(self, sequence: Sequence) -> None:
        """Give back the blocks of ``sequence``."""
        self.pool.release(sequence.table)
        sequence.table = []
        sequence.computed = 0

    def deliver(self, sequence: Sequence, event: Event) -> None:
        """Send an event to the loop."""
        self._deliver(sequence, event)
