"""Scheduler: which sequences compute how many tokens in the next step.

A sequence is in at most one of ``waiting`` (holds no blocks), ``ready`` (holds the KV of its prefill) and
``running``. Blocks for all tokens known at admission are taken at once, so a prefill, once admitted, always ends.
Only decode needs more blocks later; when there are none the youngest running sequence gives its own back and is
recomputed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import attrs

from .blocks import BlockManager
from .sequence import Sequence


@attrs.frozen(slots=True)
class Limits:
    """What one step may contain."""

    max_batch_size: int
    max_batched_tokens: int
    watermark_blocks: int = 0
    prefill_chunk_tokens: int | None = None


@attrs.frozen(slots=True)
class Work:
    """Compute ``token_ids[start:start + count]`` of one sequence."""

    sequence: Sequence
    start: int
    count: int

    @property
    def samples(self) -> bool:
        """Whether the logits of the last token give the next one."""
        return self.start + self.count == len(self.sequence.token_ids)


class Scheduler:
    """First come, first served, under a token budget."""

    def __init__(self, blocks: BlockManager, limits: Limits) -> None:
        self.blocks = blocks
        self.limits = limits
        self.waiting: deque[Sequence] = deque()
        self.ready: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.preemptions = 0
        self._step = 0

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence without KV."""
        self.waiting.append(sequence)

    def resume(self, sequence: Sequence) -> None:
        """Queue a sequence that holds its KV; it goes before those that do not."""
        self.ready.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence and give back its blocks."""
        for place in (self.waiting, self.ready, self.running):
            if sequence in place:
                place.remove(sequence)
        self.free(sequence)

    def free(self, sequence: Sequence) -> None:
        """Give back the blocks of a sequence."""
        self.blocks.release(sequence.blocks)
        sequence.blocks = []
        sequence.num_computed = 0

    def detach(self, sequence: Sequence) -> None:
        """Take a running sequence out without giving back its blocks."""
        self.running.remove(sequence)

    def everything(self) -> list[Sequence]:
        """Return all sequences that are queued or running."""
        return [*self.running, *self.ready, *self.waiting]

    def schedule(self) -> list[Work]:
        """Choose the next step's work; empty when nothing can run now."""
        self._step += 1
        preempted_before = self.preemptions
        self._admit_ready()
        plan: dict[Sequence, Work] = {}
        for sequence, most in list(self._turns()):
            budget = self._budget(plan)
            if budget == 0:
                break
            if sequence in self.running and self._make_room(sequence, plan):
                self._plan(plan, sequence, min(most, budget))
        if self.preemptions == preempted_before:
            self._admit_waiting(plan)
        for work in plan.values():
            work.sequence.last_step = self._step
        return list(plan.values())

    def complete(self, work: Work) -> None:
        """Record that the KV of ``work`` is in the pool, and share the blocks it filled."""
        sequence = work.sequence
        before, sequence.num_computed = sequence.num_computed, work.start + work.count
        if not (self.blocks.share and sequence.shares):
            return
        self.blocks.extend_keys(sequence.keys, sequence.token_ids)
        size = self.blocks.block_size
        for index in range(before // size, sequence.num_computed // size):
            self.blocks.register(sequence.blocks[index], sequence.keys[index])

    def _budget(self, plan: dict[Sequence, Work]) -> int:
        return self.limits.max_batched_tokens - sum(work.count for work in plan.values())

    def _turns(self) -> Iterator[tuple[Sequence, int]]:
        """Yield running sequences in the order they are served, each with the most tokens it may compute.

        Decodes come first, one token each, and prefills share what is left. When decodes alone would use up
        the budget, whoever waited longest goes first, with one token, so that nobody starves.
        """
        if self._tight():
            for sequence in sorted(self.running, key=lambda s: (s.last_step, s.arrival)):
                yield sequence, 1
            return
        for sequence in sorted(self.running, key=lambda s: (s.remaining > 1, s.arrival)):
            yield sequence, self._chunk(sequence)

    def _tight(self) -> bool:
        """Whether decodes alone use up the budget. Admission then does not wait for budget that never comes."""
        decodes = sum(1 for sequence in self.running if sequence.remaining == 1)
        return decodes >= self.limits.max_batched_tokens

    def _chunk(self, sequence: Sequence) -> int:
        return min(sequence.remaining, self.limits.prefill_chunk_tokens or sequence.remaining)

    def _plan(self, plan: dict[Sequence, Work], sequence: Sequence, count: int) -> None:
        plan[sequence] = Work(sequence, sequence.num_computed, count)

    def _make_room(self, sequence: Sequence, plan: dict[Sequence, Work]) -> bool:
        """Hold a block for the next token; False when the sequence itself had to give way."""
        while sequence.num_computed // self.blocks.block_size >= len(sequence.blocks):
            block = self.blocks.append()
            if block is not None:
                sequence.blocks.append(block)
                continue
            victim = max(self.running, key=lambda s: s.arrival)
            self._preempt(victim)
            plan.pop(victim, None)
            if victim is sequence:
                return False
        return True

    def _preempt(self, victim: Sequence) -> None:
        self.running.remove(victim)
        self.free(victim)
        self.preemptions += 1
        self.waiting.appendleft(victim)

    def _admit_ready(self) -> None:
        while self.ready and len(self.running) < self.limits.max_batch_size:
            self.running.append(self.ready.popleft())

    def _admit_waiting(self, plan: dict[Sequence, Work]) -> None:
        while self.waiting and len(self.running) < self.limits.max_batch_size:
            budget = self._budget(plan)
            if budget == 0 and not self._tight():
                return
            if self._waits_for_leader(self.waiting[0]) or not self._allocate(self.waiting[0]):
                return
            sequence = self.waiting.popleft()
            self.running.append(sequence)
            if budget:
                self._plan(plan, sequence, min(self._chunk(sequence), budget))

    def _waits_for_leader(self, sequence: Sequence) -> bool:
        """Whether the prompt is being computed for another output of it, whose blocks can be shared soon.

        The leader is ahead in every queue, so nobody waits for one that waits itself.
        """
        leader = sequence.leader
        return self.blocks.share and leader is not None and not leader.started and not leader.finished

    def _allocate(self, sequence: Sequence) -> bool:
        """Hold blocks for all tokens of ``sequence``, shared ones first; False when they do not fit now."""
        tokens = sequence.token_ids
        if self.blocks.share:
            self.blocks.extend_keys(sequence.keys, tokens)
        # One token at least must be computed: its logits give the next one.
        usable = (len(tokens) - 1) // self.blocks.block_size
        shared = self.blocks.match(sequence.keys[:usable])
        keep_free = self.limits.watermark_blocks if self.running else 0
        blocks = self.blocks.acquire(shared, self.blocks.blocks_for(len(tokens)), keep_free=keep_free)
        if blocks is None:
            return False
        sequence.blocks = blocks
        sequence.num_computed = len(shared) * self.blocks.block_size
        reused = min(sequence.num_computed, sequence.prompt_tokens)
        # After a preemption, what is computed now was not reused, whatever the first admission found.
        sequence.reused_prompt_tokens = (
            min(reused, sequence.reused_prompt_tokens) if sequence.started else reused
        )
        return True
