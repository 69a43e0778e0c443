"""EngineCore: everything one engine thread owns, advanced one step at a time. No threads, no event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from sage_infer_contracts.backend import BackendStats
from sage_infer_contracts.content import ContentRoot
from sage_infer_contracts.engines.leases import LeaseTable
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, InvalidRequest
from sage_infer_contracts.states import DecodeState, DetokeniserState, PrefilledSequence, RngState
from sage_infer_contracts.streams import FinishReason, TokenDelta

from .attention import Kernel
from .batch import build_batch
from .blocks import BlockManager
from .graphs.decode import DecodeGraphs
from .kv_pool import KVPool
from .limits import EngineLimits
from .logprobs import Logprobs, token_logprobs
from .model import LoadedModel
from .sampler import sample
from .scheduler import Limits, Scheduler, Work
from .sequence import Event, Sequence, Sink

Output = tuple[Sink, Event]
MAX_FAILED_STEPS = 3
"""Steps that may fail in a row before the engine gives up."""


class EngineCore:
    """Turns sequences into outputs. Each public method returns the events it caused, in order."""

    def __init__(
        self, model: LoadedModel, pool: KVPool, limits: EngineLimits, leases: LeaseTable[Sequence], kernel: Kernel,
        *, namespace: str = "", share: bool = True, graphs: DecodeGraphs | None = None,
    ) -> None:  # fmt: skip
        root = ContentRoot(model_fingerprint=model.fingerprint, namespace=namespace).key()
        self.model = model
        self.pool = pool
        self.limits = limits
        self.leases = leases
        self.blocks = BlockManager(pool.num_blocks, pool.schema.page_size, root, share=share)
        self.scheduler = Scheduler(
            self.blocks,
            Limits(
                max_batch_size=limits.max_batch_size,
                max_batched_tokens=limits.max_batched_tokens,
                watermark_blocks=limits.watermark_blocks,
                prefill_chunk_tokens=limits.prefill_chunk_tokens,
            ),
        )
        self._kernel = kernel
        self.graphs = graphs
        self._steps = self._computed = self._reused = self._generated = 0
        self._arrivals = 0
        self._failed_steps = 0
        self.idle = True

    def add(self, sequences: Iterable[Sequence]) -> list[Output]:
        """Queue new sequences."""
        for sequence in sequences:
            self._arrive(sequence)
            self.scheduler.add(sequence)
        return []

    def resume(self, sequence: Sequence) -> list[Output]:
        """Queue a sequence taken out of a lease."""
        self._arrive(sequence)
        self.scheduler.resume(sequence)
        return []

    def cancel(self, sequences: Iterable[Sequence]) -> list[Output]:
        """Stop sequences that are not over; a parked one just gives back its blocks."""
        outputs: list[Output] = []
        for sequence in sequences:
            if sequence.finished:
                continue
            if self.leases.take_sequence(sequence):
                self.discard([sequence])
            else:
                outputs.append((sequence.sink, self._finish(sequence, (), "", "cancelled")))
        return outputs

    def discard(self, sequences: Iterable[Sequence]) -> list[Output]:
        """Free sequences taken out of a lease that will not be decoded."""
        for sequence in sequences:
            sequence.finished = True
            self.scheduler.free(sequence)
        return []

    def dump(self, sequence: Sequence) -> torch.Tensor:
        """Return the KV of a parked sequence as bytes; raises ``InvalidRequest`` when it is gone."""
        if sequence.finished or not sequence.blocks:
            raise InvalidRequest(f"the KV of {sequence.request_id!r} is not held any more", param="state")
        used = self.blocks.blocks_for(sequence.num_computed)
        return self.pool.dump(sequence.blocks[:used], sequence.num_computed)

    def load(self, sequence: Sequence, data: torch.Tensor, num_tokens: int) -> None:
        """Give ``sequence`` blocks, and the KV of its first ``num_tokens`` tokens; raises ``CapacityExceeded``."""
        blocks = self.blocks.acquire([], self.blocks.blocks_for(len(sequence.token_ids)))
        if blocks is None:
            raise CapacityExceeded("no KV blocks are free for the import; try again when requests have ended")
        sequence.blocks, sequence.num_computed = blocks, num_tokens
        self.pool.load(blocks[: self.blocks.blocks_for(num_tokens)], data)

    def expire(self) -> list[Output]:
        """Free the sequences whose lease is over."""
        return self.discard(self.leases.take_expired())

    def step(self) -> list[Output]:
        """Run one step of the model over what the scheduler chose.

        An error of the step is given to the sequences in it, and the engine goes on without them; after several
        such steps in a row, or when the blocks no longer add up, it raises.
        """
        preempted = self.scheduler.preemptions
        plan = self.scheduler.schedule()
        # A sequence that preempted itself made room: somebody may run in the next step.
        self.idle = not plan and preempted == self.scheduler.preemptions
        if not plan:
            if self.idle:
                self._require_reason_to_wait()
            return []
        try:
            outputs = self._run(plan)
        except (
            Exception
        ) as error:  # boundary: whatever the model or the device raises concerns these sequences
            self._failed_steps += 1
            outputs = self.fail([work.sequence for work in plan], error)
            self.blocks.check_integrity()
            if self._failed_steps >= MAX_FAILED_STEPS:
                raise
            return outputs
        self._failed_steps = 0
        return outputs

    def fail(self, sequences: Iterable[Sequence], error: BaseException) -> list[Output]:
        """End ``sequences`` with ``error`` and free their blocks."""
        outputs: list[Output] = []
        for sequence in sequences:
            if not sequence.finished:
                sequence.finished = True
                self.scheduler.remove(sequence)
                reason = (
                    f"request {sequence.request_id} failed in the engine: {type(error).__name__}: {error}"
                )
                failure = BackendUnavailable(reason)
                failure.__cause__ = error
                outputs.append((sequence.sink, failure))
        return outputs

    def close(self) -> None:
        """Give back the memory, and end what compiles; the core is unusable afterwards."""
        self.pool.clear()
        if self.graphs is not None:
            self.graphs.close()

    def stats(self) -> BackendStats:
        """Return counters and gauges now."""
        return BackendStats(
            computed_tokens=self._computed,
            reused_tokens=self._reused,
            generated_tokens=self._generated,
            running=len(self.scheduler.running),
            waiting=len(self.scheduler.waiting) + len(self.scheduler.ready),
            blocks_total=self.blocks.num_blocks,
            blocks_held=self.blocks.num_held,
            blocks_free=self.blocks.num_free,
            preemptions=self.scheduler.preemptions,
            steps=self._steps,
        )

    def _arrive(self, sequence: Sequence) -> None:
        self._arrivals += 1
        sequence.arrival = self._arrivals

    def _run(self, plan: list[Work]) -> list[Output]:
        batch = build_batch(plan, self.pool, self._kernel, self.model.device)
        logits = self.graphs.forward(batch) if self.graphs is not None else None
        if logits is None:
            logits = self.model.forward(batch)
        sampled = [work.sequence for work in batch.order]
        tokens = sample(logits, sampled, self.model.eos_token_ids)
        logprobs = token_logprobs(logits, sampled, tokens)
        self._steps += 1
        for work in plan:
            self.scheduler.complete(work)
            self._computed += max(0, min(work.start + work.count, work.sequence.prompt_tokens) - work.start)
        return [
            (sequence.sink, self._advance(sequence, token, of_token))
            for sequence, token, of_token in zip(sampled, tokens, logprobs, strict=True)
        ]

    def _advance(self, sequence: Sequence, token: int, logprobs: Logprobs) -> Event:
        """Append ``token`` and say what that means to the consumer."""
        if not sequence.started:
            sequence.started = True
            self._reused += sequence.reused_prompt_tokens
        self._generated += 1
        sequence.token_ids.append(token)
        finish = self._finish_reason(sequence, token)
        text = sequence.detokenizer.advance(sequence.token_ids, final=finish is not None)
        stop = None
        if sequence.output_tokens > sequence.params.min_tokens:
            text, stop = sequence.stops.feed(text, final=finish is not None)
        if stop is not None:
            return self._finish(sequence, (token,), text, "stop_string", stop, logprobs)
        if finish is not None:
            reason = token if finish == "stop_token" else None
            return self._finish(sequence, (token,), text, finish, reason, logprobs)
        delta = TokenDelta((token,), text, logprobs=logprobs)
        return self._park(sequence, delta) if sequence.park else delta

    def _finish_reason(self, sequence: Sequence, token: int) -> FinishReason | None:
        params = sequence.params
        if token in self.model.eos_token_ids and not params.ignore_eos:
            return "eos"
        if token in params.stop_token_ids:
            return "stop_token"
        return "length" if len(sequence.token_ids) >= sequence.max_total_tokens else None

    def _finish(
        self, sequence: Sequence, token_ids: tuple[int, ...], text: str, reason: FinishReason,
        stop_reason: str | int | None = None, logprobs: Logprobs = None,
    ) -> TokenDelta:  # fmt: skip
        if reason == "cancelled":
            rest = sequence.detokenizer.advance(sequence.token_ids, final=True)
            text, _ = sequence.stops.feed(rest, final=True)
        sequence.finished = True
        self.scheduler.remove(sequence)
        return TokenDelta(token_ids, text, reason, stop_reason, sequence.usage(), logprobs)

    def _park(self, sequence: Sequence, delta: TokenDelta) -> PrefilledSequence:
        sequence.park = False
        self.scheduler.detach(sequence)
        state = DecodeState(
            request_id=sequence.request_id,
            prompt_token_ids=tuple(sequence.token_ids[: sequence.prompt_tokens]),
            output_token_ids=tuple(sequence.token_ids[sequence.prompt_tokens :]),
            params=sequence.params,
            rng=RngState(seed=sequence.seed, draws=sequence.output_tokens),
            detokeniser=DetokeniserState(
                prefix_offset=sequence.detokenizer.prefix_offset,
                read_offset=sequence.detokenizer.read_offset,
                held_text=sequence.stops.held,
            ),
            kv=self.leases.grant(sequence),
            reused_prompt_tokens=sequence.reused_prompt_tokens,
        )
        return PrefilledSequence(delta, state)

    def _require_reason_to_wait(self) -> None:
        """Waiting is right only while leases hold the blocks; anything else would wait for ever."""
        if self.scheduler.waiting and not self.scheduler.running and self.blocks.num_held == 0:
            raise RuntimeError("a sequence waits though every block is free")


CoreBuilder = Callable[[], EngineCore]
Command = Callable[[EngineCore], list[Output]]
