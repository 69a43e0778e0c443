"""What is asked of a tier, and what it answered. Blocks are called by names; the driver makes keys and bytes of them.

The bytes of a block follow from its namespace, its key and a version, so what a get returns can be told from anything
else that was ever put: another version, another block, or no block at all.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from sage_infer_contracts.wire import FrozenModel

from ...history.steps import Command, Raised, Step

FaultKind = Literal[
    "no_space",
    "file_size",
    "read_only",
    "read_error",
    "write_error",
    "gone",
    "slow",
    "stall",
    "clock",
    "lag",
    "kill",
]
HARMLESS: Final = frozenset({"clock", "lag", "kill"})
"""No excuse for anything: the wall clock is set, every call takes a moment, or another process is killed."""
DamageKind = Literal[
    "flip", "zero", "swap", "header", "anywhere", "swap_files", "truncate", "tail", "delete", "folder"
]
Names = tuple[str, ...]


class Create(Command):
    """Make a tier; where it is persistent, at a fresh path. ``io``: its file operations can be made to fail later."""

    op: Literal["create"] = "create"
    capacity_bytes: PositiveInt
    io: bool = False


class Reopen(Command):
    """Close the tier, and make one again at the same path."""

    op: Literal["reopen"] = "reopen"
    close_first: bool = True


class _OfBlocks(Command):
    namespace: str = "a"
    keys: Names

    def story(self) -> str:
        """Name the operation, the namespace and the blocks."""
        shown = self.namespace if len(self.namespace) < 20 else f"{self.namespace[:17]}..."
        return f"{self.op} {' '.join(self.keys)} in {shown!r}"


class Put(_OfBlocks):
    """Store blocks with the bytes of ``version``."""

    op: Literal["put"] = "put"
    version: NonNegativeInt = 0
    nbytes: PositiveInt
    deadline_s: NonNegativeFloat = 5.0

    def story(self) -> str:
        """Tell version and deadline, too."""
        return f"{super().story()}, version {self.version}, within {self.deadline_s:g} s"


class Get(_OfBlocks):
    """Read blocks into regions of ``nbytes``."""

    op: Literal["get"] = "get"
    nbytes: PositiveInt
    deadline_s: NonNegativeFloat = 5.0


class Contains(_OfBlocks):
    """Ask which blocks are visible."""

    op: Literal["contains"] = "contains"


class Remove(_OfBlocks):
    """Drop blocks."""

    op: Literal["remove"] = "remove"


class TakeLost(Command):
    """Ask which blocks were lost."""

    op: Literal["take_lost"] = "take_lost"


class AskUsage(Command):
    """Ask what is held."""

    op: Literal["usage"] = "usage"


class Close(Command):
    """Close the tier; closing twice is allowed."""

    op: Literal["close"] = "close"


class AskClosed(Command):
    """Ask a closed tier for everything it must refuse."""

    op: Literal["ask_closed"] = "ask_closed"
    key: str
    nbytes: PositiveInt


class CloseBusy(Command):
    """Submit operations, close at once, and see what becomes of them."""

    op: Literal["close_busy"] = "close_busy"
    keys: Names
    nbytes: PositiveInt


class Fault(Command):
    """From now on the tier's file operations fail in one way, after ``calls`` of them went well."""

    op: Literal["fault"] = "fault"
    kind: FaultKind
    calls: NonNegativeInt = 0
    cut: Literal["before", "half", "after"] = "before"
    """Where in the last call a process is killed."""
    seconds: float = 0.0
    delay_s: NonNegativeFloat = 0.0
    """How much later the clock is set."""

    def story(self) -> str:
        """Say what goes wrong, and when."""
        where = f" {self.cut} call {self.calls}" if self.kind == "kill" else f" after {self.calls} calls"
        return f"fault: {self.kind}{where if self.calls or self.kind == 'kill' else ''}"


class Heal(Command):
    """The device is well again; wait for what was stuck in it."""

    op: Literal["heal"] = "heal"


class Damage(Command):
    """Change what lies in the tier's folder, behind its back. ``key`` and ``pick`` say where."""

    op: Literal["damage"] = "damage"
    kind: DamageKind
    namespace: str = "a"
    keys: Names = ()
    version: NonNegativeInt = 0
    nbytes: PositiveInt
    pick: NonNegativeInt = 0

    def story(self) -> str:
        """Say what is done to the files."""
        return f"damage: {self.kind} {' '.join(self.keys)}"


class Act(FrozenModel):
    """One thing that one of several threads does. ``watch`` looks at blocks until the other threads are done."""

    op: Literal["put", "get", "remove", "watch"]
    keys: Names
    version: NonNegativeInt = 0


class Together(Command):
    """Several threads at once, each with its own acts."""

    op: Literal["together"] = "together"
    namespace: str = "a"
    nbytes: PositiveInt
    threads: tuple[tuple[Act, ...], ...]

    def story(self) -> str:
        """Tell what each thread does."""
        told = ("; ".join(f"{act.op} {' '.join(act.keys)}" for act in acts) for acts in self.threads)
        return f"together in {self.namespace!r}: " + " | ".join(told)


class Footprint(Command):
    """Fill the tier and empty it ``rounds`` times, and see how much memory and disk it takes."""

    op: Literal["footprint"] = "footprint"
    nbytes: PositiveInt
    blocks: PositiveInt
    rounds: PositiveInt


class Crash(Command):
    """Another process makes the tier at its path, does ``commands``, and is killed; the tier here is closed before."""

    op: Literal["crash"] = "crash"
    commands: tuple[Annotated[Put | Get | Remove | Fault, Field(discriminator="op")], ...]

    def story(self) -> str:
        """Tell what was asked of the process that dies."""
        return f"a process is killed that does: {'; '.join(command.story() for command in self.commands)}"


TierCommand = Annotated[
    Create
    | Reopen
    | Put
    | Get
    | Contains
    | Remove
    | TakeLost
    | AskUsage
    | Close
    | AskClosed
    | CloseBusy
    | Fault
    | Heal
    | Damage
    | Together
    | Footprint
    | Crash,
    Field(discriminator="op"),
]


class Seen(FrozenModel):
    """What became of one block of a batch, and what its region holds."""

    outcome: str
    reason: str | None = None
    version: NonNegativeInt | None = None
    """Version of this very block that the region holds."""
    other: tuple[str, str] | None = None
    """Namespace and key of another block whose bytes the region holds."""

    def __str__(self) -> str:
        if self.outcome != "hit":
            return f"{self.outcome} ({self.reason})" if self.reason else self.outcome
        holds = (
            "bytes that were never put"
            if self.other is None
            else f"the bytes of {self.other[1]} in {self.other[0]!r}"
        )
        holds = holds if self.version is None else f"version {self.version}"
        return f"hit with {holds}"


class Acted(FrozenModel):
    """What came of one act of a thread."""

    blocks: tuple[Seen, ...] | None = None
    removed: NonNegativeInt | None = None
    torn: NonNegativeInt = 0
    """Watching: blocks that were found corrupt, or with bytes that were never put."""
    vanished: NonNegativeInt = 0
    """Watching: blocks that ``contains`` named and the next get did not give."""
    error: Raised | None = None


class Lost(FrozenModel):
    """A block that the tier says it lost."""

    namespace: str
    key: str
    reason: str


class Held(FrozenModel):
    """What the tier says it holds."""

    blocks: int
    bytes: int
    capacity_bytes: int


class Extent(FrozenModel):
    """What each round of filling and emptying stored, and what the tier took afterwards."""

    stored: tuple[NonNegativeInt, ...]
    full_bytes: tuple[NonNegativeInt, ...]
    """Of disk, before it was emptied."""
    disk_bytes: tuple[NonNegativeInt, ...]
    memory_bytes: tuple[int, ...]


class Closed(FrozenModel):
    """How a closed tier answered one call."""

    call: str
    refused: bool
    answer: str


class TierStep(Step):
    """One step of a tier."""

    command: TierCommand
    ended: bool = True
    """False: no outcome came, long after the deadline."""
    blocks: tuple[Seen, ...] | None = None
    visible: tuple[bool, ...] | None = None
    removed: int | None = None
    lost: tuple[Lost, ...] | None = None
    usage: Held | None = None
    outside: NonNegativeInt = 0
    """Regions beside which bytes were changed."""
    late: NonNegativeInt | None = None
    """Regions that were changed after the outcome, of those that were watched."""
    closed: tuple[Closed, ...] = ()
    acts: tuple[tuple[Acted, ...], ...] = ()
    extent: Extent | None = None
    done: tuple[TierStep, ...] | None = None
    """Steps that the killed process ended."""
    damaged: bool | None = None

    def answer(self) -> str:
        """Return what the tier answered."""
        if not self.ended:
            return "no outcome"
        if self.blocks is not None:
            return ", ".join(map(str, self.blocks))
        if self.lost is not None:
            return (
                ", ".join(f"{one.key} in {one.namespace!r} ({one.reason})" for one in self.lost)
                or "nothing lost"
            )
        if self.usage is not None:
            return f"{self.usage.blocks} blocks, {self.usage.bytes} of {self.usage.capacity_bytes} bytes"
        if self.closed:
            return ", ".join(f"{one.call}: {one.answer}" for one in self.closed)
        if self.done is not None:
            return f"{len(self.done)} commands ended"
        given = self.visible if self.visible is not None else self.removed
        return "" if given is None else str(given)
