"""A parked sequence leaves its lease exactly once."""

from __future__ import annotations

import pytest
from torch_fakes import sequence

from sage_infer_contracts.engines.leases import LeaseTable
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeState, DetokeniserState, KVHandle, RngState
from sage_infer_torch.sequence import Sequence


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def state_of(one: Sequence, handle: KVHandle) -> DecodeState:
    return DecodeState(
        request_id="r",
        prompt_token_ids=tuple(one.token_ids),
        output_token_ids=(),
        params=SamplingParams(),
        rng=RngState(seed=0, draws=0),
        detokeniser=DetokeniserState(prefix_offset=0, read_offset=0),
        kv=handle,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> LeaseTable:
    return LeaseTable(60.0, clock)


def test_a_state_is_taken_once(table: LeaseTable) -> None:
    one = sequence(3)
    state = state_of(one, table.grant(one))
    assert table.take(state) is one
    with pytest.raises(InvalidRequest, match="lease is over"):
        table.take(state)


def test_a_state_of_another_start_is_foreign(table: LeaseTable, clock: Clock) -> None:
    one = sequence(3)
    with pytest.raises(InvalidRequest, match="another instance"):
        LeaseTable(60.0, clock).take(state_of(one, table.grant(one)))


def test_a_stale_generation_is_refused(table: LeaseTable) -> None:
    one = sequence(3)
    handle = table.grant(one)
    with pytest.raises(InvalidRequest, match="generation"):
        table.take(state_of(one, handle.model_copy(update={"generation": handle.generation + 1})))


def test_a_changed_state_is_refused_and_the_true_one_still_good(table: LeaseTable) -> None:
    one = sequence(3)
    state = state_of(one, table.grant(one))
    with pytest.raises(InvalidRequest, match="not those its KV was computed for"):
        table.take(state.model_copy(update={"prompt_token_ids": (7, 8, 9)}))
    assert table.take(state) is one


def test_an_expired_state_is_refused_before_and_after_the_engine_noticed(
    table: LeaseTable, clock: Clock
) -> None:
    one = sequence(3)
    state = state_of(one, table.grant(one))
    assert table.next_expiry_s() == 60.0
    clock.now += 60.0
    with pytest.raises(InvalidRequest, match="expired"):
        table.take(state)
    assert table.take_expired() == [one]
    assert table.next_expiry_s() is None
    with pytest.raises(InvalidRequest, match="lease is over"):
        table.take(state)


def test_a_request_takes_all_its_leases(table: LeaseTable) -> None:
    mine = [sequence(3, request_id=f"r/{index}", group="r") for index in range(2)]
    other = sequence(3, request_id="s", group="s")
    for one in (*mine, other):
        table.grant(one)
    assert table.take_request("r") == mine
    assert table.take_request("s") == [other]
