"""What is asked of an embedding backend, and what is recorded of its answers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from sage_infer_contracts.wire import FrozenModel

from ...history.steps import Command, Raised, Step

_SHOWN = 40


def quoted(text: str) -> str:
    """Return ``text`` as a report shows it: short, and with its length in words where it was cut."""
    if len(text) <= _SHOWN:
        return repr(text)
    return f"{text[:_SHOWN]!r}... ({len(text.split())} words)"


class Call(FrozenModel):
    """One call: ``embed``, or ``embed_batch`` with a batch size."""

    texts: tuple[str, ...]
    batch_size: PositiveInt | None = None

    def story(self) -> str:
        """Write the call as a person would."""
        texts = ", ".join(quoted(text) for text in self.texts[:4])
        more = f", and {len(self.texts) - 4} more" if len(self.texts) > 4 else ""
        sized = f", batch_size={self.batch_size}" if self.batch_size is not None else ""
        return f"{'embed' if self.batch_size is None else 'embed_batch'}([{texts}{more}]{sized})"


class Create(Command):
    """Make a backend; nothing is loaded."""

    op: Literal["create"] = "create"


class Start(Command):
    """Load the model."""

    may_print_bytes: ClassVar[int] = 16 * 1024
    """As an engine loads it says what it found, e.g. vLLM 11 KiB."""

    op: Literal["start"] = "start"


class Count(Command):
    """How many tokens has each text?"""

    op: Literal["count"] = "count"
    texts: tuple[str, ...]

    def story(self) -> str:
        """Show the first texts."""
        return f"count_tokens of {len(self.texts)} texts, the first {quoted(self.texts[0])}"


class Embed(Command):
    """One call, alone."""

    op: Literal["embed"] = "embed"
    call: Call

    def story(self) -> str:
        """Show the call."""
        return self.call.story()


class Together(Command):
    """Several calls at once."""

    op: Literal["together"] = "together"
    calls: tuple[Call, ...]

    def story(self) -> str:
        """Show the calls."""
        return "at once: " + "; ".join(call.story() for call in self.calls)


class CloseDuring(Command):
    """Begin several calls, and close the backend after a few turns of the event loop."""

    op: Literal["close_during"] = "close_during"
    calls: tuple[Call, ...]
    turns: PositiveInt = 1

    def story(self) -> str:
        """Show the calls."""
        return "close during " + "; ".join(call.story() for call in self.calls)


class Close(Command):
    """Close the backend."""

    op: Literal["close"] = "close"


EmbeddingCommand = Annotated[
    Create | Start | Count | Embed | Together | CloseDuring | Close, Field(discriminator="op")
]


class About(FrozenModel):
    """What a started backend says of itself."""

    dimension: int
    max_tokens: int
    precisions: tuple[str, ...]
    """Those it may compute in; one, where the run asked for one."""
    health: str


class Outcome(FrozenModel):
    """What came of one call: vectors (packed), an error, something else, or nothing by the deadline."""

    vectors: tuple[str, ...] | None = None
    malformed: str | None = None
    error: Raised | None = None
    pending: bool = False

    def __str__(self) -> str:
        if self.error is not None:
            return f"raises {self.error}"
        if self.pending:
            return "does not end"
        return self.malformed or f"{len(self.vectors or ())} vectors"


class EmbeddingStep(Step):
    """One step of an embedding backend."""

    command: EmbeddingCommand
    about: About | None = None
    counts: tuple[int, ...] | None = None
    outcomes: tuple[Outcome, ...] = ()
    health: str | None = None
    """State after a close."""
    overwritten: NonNegativeInt = 0
    """Answers given before this step that have other values now."""

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that :attr:`outcomes` belong to."""
        command = self.command
        if isinstance(command, Embed):
            return (command.call,)
        return command.calls if isinstance(command, (Together, CloseDuring)) else ()

    def answer(self) -> str:
        """Return what came of it, in short."""
        if self.counts is not None:
            return f"{list(self.counts[:8])}{'...' if len(self.counts) > 8 else ''}"
        if self.about is not None:
            return f"dimension {self.about.dimension}, at most {self.about.max_tokens} tokens"
        return "; ".join(map(str, self.outcomes)) or (self.health or "")
