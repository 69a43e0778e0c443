"""What is asked of transport engines. Ends, memories, leases and transfers are called by names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from sage_infer_contracts.wire import FrozenModel

from ...history.steps import Command, Raised, Residue, Step

GOOD_CREDENTIAL = "correct horse battery staple"


class Slice(FrozenModel):
    """Part of a memory."""

    memory: str
    offset: NonNegativeInt
    nbytes: PositiveInt

    def __str__(self) -> str:
        return f"{self.memory}[{self.offset}:{self.offset + self.nbytes}]"


def _told(slices: tuple[Slice, ...]) -> str:
    shown = ", ".join(map(str, slices[:3]))
    return shown if len(slices) <= 3 else f"{shown} and {len(slices) - 3} more"


class Create(Command):
    """Make an engine, in the process that plays the history or in one of its own."""

    op: Literal["create"] = "create"
    end: str
    place: Literal["here", "process"] = "here"
    max_inflight_bytes: PositiveInt = 64 * 1024 * 1024
    credential: str = GOOD_CREDENTIAL

    def story(self) -> str:
        """Say where, and whether it is a stranger."""
        stranger = "" if self.credential == GOOD_CREDENTIAL else f" with the credential {self.credential!r}"
        where = " in a process of its own" if self.place == "process" else ""
        return f"create {self.end}{where}{stranger}, at most {self.max_inflight_bytes} bytes in flight"


class Allocate(Command):
    """Allocate memory filled with a pattern of its own, and register it."""

    op: Literal["allocate"] = "allocate"
    end: str
    memory: str
    nbytes: PositiveInt
    register_it: bool = True

    def story(self) -> str:
        """Say how much."""
        return f"{self.end} allocates {self.memory} of {self.nbytes} bytes" + (
            " and registers it" if self.register_it else ""
        )


class Rewrite(Command):
    """The owner fills a memory with new content, as one does who uses its blocks for something else."""

    op: Literal["rewrite"] = "rewrite"
    end: str
    memory: str
    content: str

    def story(self) -> str:
        """Name the memory."""
        return f"{self.end} fills {self.memory} with {self.content}"


class Deregister(Command):
    """Take memory back; asked again for ``patience_s`` while it is refused."""

    op: Literal["deregister"] = "deregister"
    end: str
    memory: str
    patience_s: NonNegativeFloat = 0.0

    def story(self) -> str:
        """Name the memory."""
        return f"{self.end} deregisters {self.memory}"


class Grant(Command):
    """Let a peer write once."""

    op: Literal["grant"] = "grant"
    end: str
    lease: str
    generation: NonNegativeInt
    slices: tuple[Slice, ...]
    duration_s: PositiveFloat = 60.0

    def story(self) -> str:
        """Say what may be written."""
        what = f"{self.lease} generation {self.generation}"
        return f"{self.end} grants {what} on {_told(self.slices)} for {self.duration_s:g} s"


class Revoke(Command):
    """End a lease."""

    op: Literal["revoke"] = "revoke"
    end: str
    lease: str

    def story(self) -> str:
        """Name the lease."""
        return f"{self.end} revokes {self.lease}"


class Order(FrozenModel):
    """One transfer to submit. ``transfer_id``: what the plan calls it, where that is not its name here."""

    transfer: str
    transfer_id: str | None = None
    to: str
    source: tuple[Slice, ...]
    target: tuple[Slice, ...]
    lease: str
    generation: NonNegativeInt
    deadline_s: PositiveFloat = 12.0
    chunks: PositiveInt = 1

    @property
    def wire_id(self) -> str:
        """The plan's ``transfer_id``."""
        return self.transfer_id or self.transfer

    @property
    def nbytes(self) -> int:
        """Bytes of the plan."""
        return sum(part.nbytes for part in self.source)

    def __str__(self) -> str:
        lease = f"under {self.lease} generation {self.generation}, deadline {self.deadline_s:g} s"
        return f"{self.transfer}: {_told(self.source)} to {_told(self.target)} of {self.to} {lease}"


class Submit(Command):
    """Submit transfers one right after the other, then ask for the state of each."""

    op: Literal["submit"] = "submit"
    end: str
    orders: tuple[Order, ...]

    def story(self) -> str:
        """Name the transfers."""
        return f"{self.end} submits " + "; ".join(map(str, self.orders))


class Await(Command):
    """Wait until every transfer has ended, or its deadline and a margin have passed."""

    op: Literal["await"] = "await"
    end: str
    transfers: tuple[str, ...]
    timeout_s: PositiveFloat
    how: Literal["poll", "wait"] = "poll"

    def story(self) -> str:
        """Name the transfers."""
        return f"{self.end} waits ({self.how}) up to {self.timeout_s:g} s for {', '.join(self.transfers)}"


class Ask(Command):
    """Poll transfers once."""

    op: Literal["ask"] = "ask"
    end: str
    transfers: tuple[str, ...]

    def story(self) -> str:
        """Name the transfers."""
        return f"{self.end} polls {', '.join(self.transfers)}"


class Cancel(Command):
    """Cancel a transfer, ``times`` times."""

    op: Literal["cancel"] = "cancel"
    end: str
    transfer: str
    times: PositiveInt = 1

    def story(self) -> str:
        """Name the transfer."""
        return f"{self.end} cancels {self.transfer}" + (" twice" if self.times > 1 else "")


class Look(Command):
    """Read memory, and what lies around it."""

    op: Literal["look"] = "look"
    end: str
    slices: tuple[Slice, ...]

    def story(self) -> str:
        """Name the memory."""
        return f"{self.end} looks at {_told(self.slices)}"


class Fault(Command):
    """Do something to the process of an end, or to its connections.

    ``stop`` and ``kill`` are SIGSTOP and SIGKILL, ``cut`` breaks every connection, ``garbage`` sends noise to every
    socket that listens and keeps the connections open.
    """

    op: Literal["fault"] = "fault"
    end: str
    what: Literal["stop", "go_on", "kill", "cut", "garbage"]
    seed: NonNegativeInt = 0
    nbytes: NonNegativeInt = 0

    def story(self) -> str:
        """Say what is done to whom."""
        says = {
            "stop": f"the process of {self.end} is stopped",
            "go_on": f"the process of {self.end} goes on",
            "kill": f"the process of {self.end} is killed",
            "cut": f"every connection of {self.end} is cut",
            "garbage": f"{self.nbytes} bytes of garbage go to every listening socket of {self.end}",
        }
        return says[self.what]


class Watch(Command):
    """Wait until a slice no longer holds ``content``, so that what follows happens half way; give up after a while."""

    op: Literal["watch"] = "watch"
    end: str
    part: Slice
    content: str
    timeout_s: PositiveFloat = 0.5

    def story(self) -> str:
        """Name the slice."""
        return f"{self.end} waits until something is written to {self.part}"


class Pause(Command):
    """Let time pass."""

    op: Literal["pause"] = "pause"
    seconds: PositiveFloat

    def story(self) -> str:
        """Say how long."""
        return f"{self.seconds:g} s pass"


class Close(Command):
    """Close an engine twice, while a thread waits for ``waiter`` if one is named."""

    op: Literal["close"] = "close"
    end: str
    waiter: str | None = None

    def story(self) -> str:
        """Say who waits."""
        return f"{self.end} is closed" + (f" while a thread waits for {self.waiter}" if self.waiter else "")


TransportCommand = Annotated[
    Create
    | Allocate
    | Rewrite
    | Deregister
    | Grant
    | Revoke
    | Submit
    | Await
    | Ask
    | Cancel
    | Look
    | Fault
    | Watch
    | Pause
    | Close,
    Field(discriminator="op"),
]


class State(FrozenModel):
    """What an engine says of a transfer, or how it was refused."""

    transfer: str
    state: Literal["pending", "done", "failed", "cancelled", "refused"]
    reason: str | None = None
    bytes_moved: NonNegativeInt = 0
    error: Raised | None = None
    seconds: NonNegativeFloat = 0.0
    """Of a submission: how long ``submit`` took."""


class Run(FrozenModel):
    """A stretch of bytes and where that content comes from; None: from no memory that is known."""

    content: str | None = None
    offset: NonNegativeInt = 0
    nbytes: PositiveInt

    def __str__(self) -> str:
        return f"{self.nbytes} of {self.content}" if self.content else f"{self.nbytes} unknown"


class Sight(FrozenModel):
    """What a slice holds: a digest, and the first stretches of it."""

    digest: str
    runs: tuple[Run, ...] = ()

    def __str__(self) -> str:
        return " + ".join(map(str, self.runs)) + " bytes"


class TransportStep(Step):
    """One step of transport engines."""

    command: TransportCommand
    at_s: NonNegativeFloat = 0.0
    """Since the history began."""
    states: tuple[State, ...] = ()
    sights: tuple[Sight, ...] = ()
    stained: tuple[str, ...] = ()
    """Memories around which something was written."""
    waiter: str | None = None
    """What became of the thread that waited while the engine was closed."""
    residue: Residue | None = None
    """What a closed engine left in a process of its own."""
    left_files: tuple[str, ...] = ()
    """Shared-memory files and sockets with a name that are there although the engine is closed."""
    address: str | None = None
    base: int | None = None

    def answer(self) -> str:
        """Return the states, or what was seen."""
        if self.states:
            return "; ".join(_state_told(state) for state in self.states)
        if self.waiter is not None:
            return f"and the thread {self.waiter}"
        return "; ".join(map(str, self.sights[:4]))


def _state_told(state: State) -> str:
    why = state.error or state.reason
    return f"{state.transfer} {state.state}" + (f" ({why})" if why else "")
