"""What scenarios share: two ends, pools of memory on both, and orders that name parts of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps

import attrs

from ..suite import Play
from .model import TransportModel
from .nouns import SKEW_S, Lease
from .rules import MARGIN_S
from .steps import (
    Allocate,
    Await,
    Close,
    Create,
    Deregister,
    Grant,
    Look,
    Order,
    Pause,
    Revoke,
    Slice,
    Submit,
    TransportCommand,
    TransportStep,
    Watch,
)

MIB = 1024 * 1024
_SIZES = (1, 2, 7, 16, 17, 255, 1000, 4096, 4097, 16384, 65535, 65536, 65537, 100_003, 131_072)


class Over(Exception):
    """Raised inside a scenario."""


def scenario(play_it: Callable[[Play], None]) -> Callable[[Play], None]:
    """Let a scenario end early."""

    @wraps(play_it)
    def until_over(play: Play) -> None:
        with suppress(Over):
            play_it(play)

    return until_over


@attrs.define(slots=True)
class Pool:
    """Memory at one end that hands out its parts from the start to the end, with gaps between them."""

    end: str
    memory: str
    nbytes: int
    at: int = 0


class Stage:
    """Two ends, ``a`` here and ``b`` here or in a process; both are one where the engine reaches no other."""

    def __init__(self, play: Play, place: str = "here", limit_bytes: int = 64 * MIB) -> None:
        self.play = play
        self.choices = play.choices
        self.model: TransportModel = play.model
        self._numbers: dict[str, int] = {}
        self.remote = False
        self._now_s = 0.0
        self.create("a", limit_bytes=limit_bytes)
        self.remote = self.model.ends["a"].remote
        self.b = "a"
        if self.remote:
            self.b = self.create("b", place, limit_bytes=limit_bytes)

    def do(self, command: TransportCommand) -> TransportStep:
        """Do ``command``; a subject that took its process with it ends the history."""
        step: TransportStep = self.play.do(command)
        if step.error is not None and step.error.fate is not None:
            raise Over
        self._now_s = step.at_s + step.seconds
        return step

    def create(self, end: str, place: str = "here", *, limit_bytes: int = 64 * MIB, **facts: str) -> str:
        """Make an end; without it the history is over."""
        command = Create.model_validate(
            {"end": end, "place": place, "max_inflight_bytes": limit_bytes, **facts}
        )
        if self.do(command).error is not None:
            raise Over
        return end

    def number(self, of: str) -> int:
        """Return 1, 2, 3 ... for each word."""
        self._numbers[of] = self._numbers.get(of, 0) + 1
        return self._numbers[of]

    def pool(self, end: str, nbytes: int) -> Pool:
        """Allocate and register memory at ``end``."""
        memory = f"{end}-mem{self.number(end)}"
        if self.do(Allocate(end=end, memory=memory, nbytes=nbytes)).error is not None:
            raise Over
        return Pool(end, memory, nbytes)

    def size(self) -> int:
        """Draw a number of bytes, odd and even, around powers of two."""
        return int(self.choices.one_of(_SIZES))

    def take(self, pool: Pool, nbytes: int, most_parts: int = 4, least_parts: int = 1) -> tuple[Slice, ...]:
        """Take ``nbytes`` of a pool in some parts, in any order."""
        count = self.choices.integer(least_parts, min(most_parts, nbytes))
        ends = sorted({nbytes, *(self.choices.integer(1, nbytes) for _ in range(count - 1))})
        parts: list[Slice] = []
        for start, end in zip([0, *ends], ends, strict=False):
            pool.at += self.choices.integer(0, 9)
            if pool.at + end - start > pool.nbytes:
                raise Over
            parts.append(Slice(memory=pool.memory, offset=pool.at, nbytes=end - start))
            pool.at += end - start
        return tuple(parts[::-1]) if self.choices.chance(40) else tuple(parts)

    def grant(self, end: str, slices: Sequence[Slice], duration_s: float = 60.0) -> tuple[str, int]:
        """Grant under a new name, or the next generation of one that was used."""
        old = sorted(
            name
            for (owner, name), lease in self.model.leases.items()
            if owner == end and self._is_over(lease)
        )
        if old and self.choices.chance(40):
            name = str(self.choices.one_of(old))
            generation = self.model.leases[end, name].generation + self.choices.integer(1, 3)
        else:
            name, generation = f"lease-{self.number('lease')}", self.choices.integer(0, 5)
        self.do(
            Grant(end=end, lease=name, generation=generation, slices=tuple(slices), duration_s=duration_s)
        )
        return name, generation

    def _is_over(self, lease: Lease) -> bool:
        """Say whether a lease has ended in every run of this history, not just in this one."""
        takers = [self.model.transfers[name] for name in lease.taken_by]
        return lease.revoked or any(one.is_certain and one.settled for one in takers)

    def order(
        self,
        source: Pool,
        target: Pool,
        nbytes: int,
        *,
        deadline_s: float = 12.0,
        lease_s: float = 60.0,
        parts: int = 4,
        least_parts: int = 1,
    ) -> Order:
        """Take parts of both pools, have a lease granted, and return the order."""
        give = self.take(source, nbytes, parts, least_parts)
        get = self.take(target, nbytes, parts, least_parts)
        lease, generation = self.grant(target.end, get, lease_s)
        return Order(
            transfer=f"t{self.number('transfer')}",
            to=target.end,
            source=give,
            target=get,
            lease=lease,
            generation=generation,
            deadline_s=deadline_s,
            chunks=self.choices.integer(1, 4),
        )

    def submit(self, end: str, *orders: Order) -> list[str]:
        """Submit, and return the transfers that were not refused."""
        states = self.do(Submit(end=end, orders=orders)).states
        return [state.transfer for state in states if state.state != "refused"]

    def under_way(self, order: Order, content: str) -> None:
        """Wait until the first bytes of a transfer are there."""
        first = order.target[0]
        part = first.model_copy(update={"nbytes": min(first.nbytes, 4096)})
        self.do(Watch(end=order.to, part=part, content=content))

    def settle(self, end: str, transfers: Sequence[str], how: str | None = None) -> None:
        """Wait for the end of transfers, up to their deadline and the margin."""
        if not transfers:
            return
        longest = max(self.model.transfers[name].order.deadline_s for name in transfers)
        way = how or ("wait" if self.choices.chance(30) else "poll")
        timeout_s = longest + MARGIN_S + 0.5
        command = {"end": end, "transfers": tuple(transfers), "timeout_s": timeout_s, "how": way}
        self.do(Await.model_validate(command))

    def carry(self, source: Pool, target: Pool, nbytes: int | None = None) -> str:
        """Do one transfer that nothing stands in the way of."""
        order = self.order(source, target, nbytes or self.size())
        self.settle(source.end, self.submit(source.end, order))
        return order.transfer

    def look(self, *pools: Pool) -> None:
        """Read everything, cut by what its content is known from."""
        for pool in pools:
            segments = self.model.memories[pool.memory].canvas.segments
            slices = tuple(
                Slice(memory=pool.memory, offset=s.start, nbytes=s.end - s.start) for s in segments
            )
            self.do(Look(end=pool.end, slices=slices))

    def give_back(self, *pools: Pool, patience_s: float = 2.0) -> None:
        """Deregister memory that nothing should use any more."""
        for pool in pools:
            self.do(Deregister(end=pool.end, memory=pool.memory, patience_s=patience_s))

    def end_leases(self) -> None:
        """Revoke what was granted and not used."""
        for (end, name), lease in list(self.model.leases.items()):
            if not self._is_over(lease) and not self.model.ends[end].closed:
                self.do(Revoke(end=end, lease=name))

    def outlast(self, end: str, lease: str) -> None:
        """Let time pass until a lease is over."""
        left_s = self.model.leases[end, lease].ends_at_s - self._now_s
        self.do(Pause(seconds=max(0.0, left_s) + 2 * SKEW_S))

    def close(self, *ends: str) -> None:
        """Close the ends that can be closed and are not, each once."""
        for end in dict.fromkeys(ends):
            if self.model.ends[end].alive and not self.model.ends[end].closed:
                self.do(Close(end=end))
