"""What is asked of an eviction policy. Blocks are called by names; the driver makes keys of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from sage_infer_contracts.wire import FrozenModel

from ...history.steps import Command, Step


class Create(Command):
    """Make a policy for ``capacity_blocks``."""

    op: Literal["create"] = "create"
    capacity_blocks: PositiveInt


class Admit(Command):
    """A block became resident."""

    op: Literal["admit"] = "admit"
    key: str
    parent: str | None = None
    depth: NonNegativeInt = 0
    size_bytes: PositiveInt = 4096
    tokens: NonNegativeInt = 16
    tenant: str = ""
    priority: int = 0
    deadline_slack_ms: float | None = None
    recompute_cost_ms: float | None = None
    hint: str | None = None

    def story(self) -> str:
        """Name the block and its parent."""
        return f"admit {self.key}" + (f" under {self.parent}" if self.parent else "")


class Touch(Command):
    """A block was used, or is not known at all."""

    op: Literal["touch"] = "touch"
    key: str

    def story(self) -> str:
        """Name the block."""
        return f"touch {self.key}"


class Pin(Command):
    """A block may not go."""

    op: Literal["pin"] = "pin"
    key: str

    def story(self) -> str:
        """Name the block."""
        return f"pin {self.key}"


class Unpin(Command):
    """One pin is undone."""

    op: Literal["unpin"] = "unpin"
    key: str

    def story(self) -> str:
        """Name the block."""
        return f"unpin {self.key}"


class Discard(Command):
    """A block left."""

    op: Literal["discard"] = "discard"
    key: str

    def story(self) -> str:
        """Name the block."""
        return f"discard {self.key}"


class Victims(Command):
    """Which ``count`` blocks should go?"""

    op: Literal["victims"] = "victims"
    count: NonNegativeInt

    def story(self) -> str:
        """Say how many."""
        return f"victims({self.count})"


class Replay(Command):
    """Do everything so far again with a new policy, in a process of its own, and collect its victims.

    The process has another hash seed and a clock that leaps an hour at every reading. ``without_refusals`` leaves
    out the questions that were answered by None.
    """

    op: Literal["replay"] = "replay"
    hash_seed: NonNegativeInt
    without_refusals: bool = False

    def story(self) -> str:
        """Say what differs."""
        left_out = ", leaving out what None answered" if self.without_refusals else ""
        return f"the same events again in another process{left_out}"


class MeasureCost(Command):
    """Time events on policies of each capacity, filled first."""

    op: Literal["measure_cost"] = "measure_cost"
    capacities: tuple[PositiveInt, PositiveInt]
    shape: Literal["flat", "chains", "parents", "pinned"]
    events: PositiveInt

    def story(self) -> str:
        """Say what is measured."""
        return f"time {self.events} events of each sort with {self.capacities} blocks ({self.shape})"


class MeasureState(Command):
    """Read the memory that a full policy holds after each of several rounds of one sort of work.

    A round is four events a block: ``churn`` replaces blocks, ``uses`` touches, pins and unpins those that stay, and
    ``questions`` asks for more than there is.
    """

    op: Literal["measure_state"] = "measure_state"
    work: Literal["churn", "uses", "questions"] = "churn"
    capacity_blocks: PositiveInt
    rounds: PositiveInt

    def story(self) -> str:
        """Say what is measured."""
        return f"read the memory of a policy of {self.capacity_blocks} blocks after {self.rounds} rounds of {self.work}"


EvictionCommand = Annotated[
    Create | Admit | Touch | Pin | Unpin | Discard | Victims | Replay | MeasureCost | MeasureState,
    Field(discriminator="op"),
]


class Answer(FrozenModel):
    """What ``victims`` said: names of blocks in order, or None."""

    keys: tuple[str, ...] | None = None


class Cost(FrozenModel):
    """Microseconds an event of one sort takes, at the smaller and the larger capacity."""

    event: str
    small_us: float
    large_us: float


class EvictionStep(Step):
    """One step of an eviction policy."""

    command: EvictionCommand
    victims: Answer | None = None
    replayed: tuple[Answer, ...] | None = None
    costs: tuple[Cost, ...] = ()
    state_bytes: tuple[int, ...] = ()

    def answer(self) -> str:
        """Return the victims, or what was measured."""
        if self.victims is not None:
            return str(list(self.victims.keys)) if self.victims.keys is not None else "None"
        if self.costs:
            return "; ".join(f"{c.event} {c.small_us:.1f} to {c.large_us:.1f} us" for c in self.costs)
        if self.state_bytes:
            return f"{self.state_bytes} bytes"
        return f"{len(self.replayed)} answers" if self.replayed is not None else ""
