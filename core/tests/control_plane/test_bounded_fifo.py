"""The queue against a list: same order, never over its bound."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sage_infer.control_plane.queues import BoundedFifo
from sage_infer_contracts.errors import CapacityExceeded

CAPACITY = 4


class FifoMachine(RuleBasedStateMachine):
    """Runs the same steps on the queue and on a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.fifo: BoundedFifo[int] = BoundedFifo(CAPACITY, name="m")
        self.model: list[int] = []
        self.next = 0

    @rule(places=st.integers(1, CAPACITY), spare=st.integers(0, 2), abandon=st.booleans())
    def reserve_and_push(self, places: int, spare: int, abandon: bool) -> None:
        if len(self.model) + places > CAPACITY + spare:
            with pytest.raises(CapacityExceeded, match="'m' is full"):
                self.fifo.reserve(places, spare=spare)
            return
        self.fifo.reserve(places, spare=spare)
        if abandon:
            self.fifo.release(places)
            return
        for _ in range(places):
            self.fifo.push(self.next)
            self.model.append(self.next)
            self.next += 1

    @precondition(lambda self: self.model)
    @rule(back=st.booleans())
    def pop(self, back: bool) -> None:
        item = self.fifo.pop()
        assert item == self.model.pop(0)
        if back:
            self.fifo.put_back(item)
            self.model.insert(0, item)

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item = data.draw(st.integers(0, self.next))
        assert self.fifo.remove(item) == (item in self.model)
        self.model = [other for other in self.model if other != item]

    @invariant()
    def same(self) -> None:
        assert list(self.fifo) == self.model
        assert len(self.fifo) == len(self.model)
        assert self.fifo.peek() == (self.model[0] if self.model else None)


TestFifo = FifoMachine.TestCase


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        BoundedFifo(-1, name="m")
