"""The scheduler serves everybody, within its budget, and never computes a token twice without a preemption."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st
from torch_fakes import sequence

from sage_infer_contracts.content import ContentRoot
from sage_infer_torch.blocks import BlockManager
from sage_infer_torch.scheduler import Limits, Scheduler, Work
from sage_infer_torch.sequence import Sequence


def scheduler(
    blocks: int = 64, *, size: int = 4, batch: int = 4, budget: int = 16, **limits: int
) -> Scheduler:
    root = ContentRoot(model_fingerprint="m").key()
    return Scheduler(BlockManager(blocks, size, root), Limits(batch, budget, **limits))


def run(under_test: Scheduler, plan: list[Work]) -> list[Sequence]:
    """Do what a step does, the next token being its position; return who got one."""
    sampled = [work.sequence for work in plan if work.samples]
    for work in plan:
        under_test.complete(work)
    for one in sampled:
        one.started = True
        one.token_ids.append(10_000 + len(one.token_ids))
    return sampled


def test_a_step_never_exceeds_its_token_budget() -> None:
    under_test = scheduler(budget=10)
    for index in range(4):
        under_test.add(sequence(9, first=index * 100, arrival=index))
    for _ in range(12):
        plan = under_test.schedule()
        assert sum(work.count for work in plan) <= 10
        run(under_test, plan)


def test_decodes_are_served_before_prefills() -> None:
    under_test = scheduler(budget=8)
    under_test.add(sequence(3, arrival=1))
    run(under_test, under_test.schedule())
    under_test.add(sequence(30, first=100, arrival=2))
    counts = [work.count for work in under_test.schedule()]
    assert counts == [1, 7]


def test_nobody_starves_when_the_budget_is_below_the_batch() -> None:
    under_test = scheduler(budget=2, batch=4)
    everyone = [sequence(3, first=index * 100, arrival=index) for index in range(4)]
    for one in everyone:
        under_test.add(one)
    for _ in range(60):
        run(under_test, under_test.schedule())
    assert min(one.output_tokens for one in everyone) > 0


def test_admission_is_first_come_first_served() -> None:
    under_test = scheduler(blocks=8, batch=4)
    big, small = sequence(33, arrival=1), sequence(2, first=500, arrival=2)
    blocker = sequence(4, first=900, arrival=0)
    for one in (blocker, big, small):
        under_test.add(one)
    under_test.schedule()
    assert blocker in under_test.running
    assert big in under_test.waiting
    assert small in under_test.waiting


def test_a_whole_cached_prompt_still_computes_one_token() -> None:
    under_test = scheduler()
    first = sequence(8, arrival=1)
    under_test.add(first)
    run(under_test, under_test.schedule())
    under_test.remove(first)
    again = sequence(8, arrival=2)
    under_test.add(again)
    (work,) = under_test.schedule()
    assert work.start == 4
    assert work.count == 4
    assert again.reused_prompt_tokens == 4


def test_the_youngest_gives_way_when_blocks_run_out() -> None:
    under_test = scheduler(blocks=4, batch=2)
    old, young = sequence(7, arrival=1), sequence(7, first=100, arrival=2)
    under_test.add(old)
    under_test.add(young)
    for _ in range(4):
        run(under_test, under_test.schedule())
    assert under_test.preemptions == 1
    assert old in under_test.running
    assert young in under_test.waiting
    assert young.blocks == []
    under_test.blocks.check_integrity()


def test_recomputed_tokens_are_no_longer_counted_as_reused() -> None:
    under_test = scheduler(blocks=64)
    warm = sequence(8, arrival=0)
    under_test.add(warm)
    run(under_test, under_test.schedule())
    one = sequence(9, arrival=1)
    under_test.add(one)
    run(under_test, under_test.schedule())
    assert one.reused_prompt_tokens == 8
    under_test._preempt(one)
    under_test.remove(warm)
    while under_test.blocks.append() is not None:
        pass  # everything cached is evicted
    under_test.blocks.release(range(64))
    under_test.schedule()
    assert one.reused_prompt_tokens == 0


def test_further_outputs_of_a_prompt_wait_for_the_blocks_of_the_first() -> None:
    under_test = scheduler(budget=8)
    leader = sequence(11, arrival=1)
    follower = sequence(11, arrival=2, leader=leader)
    under_test.add(leader)
    under_test.add(follower)
    while not leader.started:
        plan = under_test.schedule()
        assert [work.sequence for work in plan] == [leader]
        run(under_test, plan)
    assert [(work.sequence, work.start) for work in under_test.schedule()] == [(leader, 11), (follower, 8)]


def test_outputs_go_on_when_the_first_of_their_prompt_is_cancelled() -> None:
    under_test = scheduler(budget=8)
    leader = sequence(11, arrival=1)
    follower = sequence(11, arrival=2, leader=leader)
    under_test.add(leader)
    under_test.add(follower)
    run(under_test, under_test.schedule())
    leader.finished = True
    under_test.remove(leader)
    assert [work.sequence for work in under_test.schedule()] == [follower]


def test_a_resumed_sequence_goes_before_the_waiting_and_keeps_its_kv() -> None:
    under_test = scheduler(batch=1)
    parked = sequence(5, arrival=1)
    under_test.add(parked)
    run(under_test, under_test.schedule())
    under_test.detach(parked)
    under_test.add(sequence(3, first=100, arrival=2))
    under_test.resume(parked)
    (work,) = under_test.schedule()
    assert (work.sequence, work.start, work.count) == (parked, 5, 1)


@settings(max_examples=60, deadline=None)
@given(
    prompts=st.lists(st.tuples(st.integers(1, 24), st.integers(1, 12)), min_size=1, max_size=8),
    budget=st.integers(1, 20),
    batch=st.integers(1, 5),
    chunk=st.none() | st.integers(1, 5),
    pool=st.integers(9, 24),
)
def test_every_sequence_gets_exactly_its_tokens(
    prompts: list[tuple[int, int]], budget: int, batch: int, chunk: int | None, pool: int
) -> None:
    under_test = Scheduler(
        BlockManager(pool, 4, ContentRoot(model_fingerprint="m").key()), Limits(batch, budget, 1, chunk)
    )
    everyone = [(sequence(length, arrival=i), wanted) for i, (length, wanted) in enumerate(prompts)]
    for one, _ in everyone:
        under_test.add(one)
    unfinished = dict(everyone)
    for _ in range(5000):
        if not unfinished:
            break
        plan = under_test.schedule()
        assert len({work.sequence for work in plan}) == len(plan) <= batch
        for one in run(under_test, plan):
            if one.output_tokens == unfinished[one]:
                under_test.remove(one)
                del unfinished[one]
        under_test.blocks.check_integrity()
    assert not unfinished
    assert under_test.blocks.num_held == 0
