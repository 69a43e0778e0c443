"""A bounded first-in first-out queue whose entries can be taken out from the middle in constant time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from sage_infer_contracts.errors import CapacityExceeded

Item = TypeVar("Item", bound=Hashable)


class BoundedFifo(Generic[Item]):
    """Entries leave in the order they came. Owned by one event loop; never waits.

    The bound is on places: those taken by entries and those reserved for entries still being prepared.
    """

    def __init__(self, capacity: int, *, name: str) -> None:
        if capacity < 0:
            raise ValueError(f"capacity of queue {name!r} must be at least 0, got {capacity}")
        self.capacity = capacity
        self._name = name
        self._items: OrderedDict[Item, None] = OrderedDict()
        self._reserved = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def reserve(self, places: int, *, spare: int = 0) -> None:
        """Take ``places`` for entries to come; ``spare`` of them may start at once and need no queueing.

        Raises ``CapacityExceeded`` when they do not fit; then nothing was reserved.
        """
        taken = len(self._items) + self._reserved
        if taken + places > self.capacity + spare:
            raise CapacityExceeded(
                f"the queue of {self._name!r} is full: {taken} of {self.capacity} places and all running slots are "
                f"taken, {places} more asked; retry later"
            )
        self._reserved += places

    def release(self, places: int) -> None:
        """Give back places taken by :meth:`reserve`."""
        self._reserved -= places

    def push(self, item: Item) -> None:
        """Append ``item`` in a place that was reserved."""
        self._reserved -= 1
        self._items[item] = None

    def put_back(self, item: Item) -> None:
        """Return ``item``, which was popped but could not start, to the front; the bound does not apply."""
        self._items[item] = None
        self._items.move_to_end(item, last=False)

    def peek(self) -> Item | None:
        """Return the next entry without taking it, or None."""
        return next(iter(self._items), None)

    def pop(self) -> Item:
        """Take the next entry; raises KeyError when there is none."""
        return self._items.popitem(last=False)[0]

    def remove(self, item: Item) -> bool:
        """Take ``item`` out wherever it stands; False when it is not queued."""
        if item not in self._items:
            return False
        del self._items[item]
        return True
