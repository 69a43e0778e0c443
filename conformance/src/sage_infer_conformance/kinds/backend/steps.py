"""What a backend can be asked, and what it answered."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from sage_infer_contracts.backend import BackendStats
from sage_infer_contracts.quantization import QuantizationProfile

from ...history.steps import Command, Step
from .asks import Call, Params, Prompt, Settings, told
from .findings import About, Closing, Damage, Outcome, Part, TieFound, Timing


class Create(Command):
    """Make an instance and do not start it."""

    op: Literal["create"] = "create"

    def story(self) -> str:
        """Say so."""
        return "create, without a start"


class Open(Command):
    """Create and start an instance."""

    may_print_bytes: ClassVar[int] = 16 * 1024
    """As an engine loads it says what it found, e.g. vLLM 11 KiB."""

    op: Literal["open"] = "open"
    settings: Settings = Settings()

    def story(self) -> str:
        """Say what is set."""
        facts = (f"{name}={value}" for name, value in self.settings if value)
        return f"open({', '.join(facts)})"


class Serve(Command):
    """Do all ``calls``, read every stream to its end, and wait until what they held is back."""

    op: Literal["serve"] = "serve"
    calls: tuple[Call, ...]

    def story(self) -> str:
        """Tell the calls."""
        return "; ".join(call.story() for call in self.calls)


class Prefill(Command):
    """Prefill and keep the states, named ``name/0``, ``name/1`` and so on."""

    op: Literal["prefill"] = "prefill"
    name: str
    prompts: tuple[Prompt, ...]
    params: Params

    def story(self) -> str:
        """Name the prompts."""
        return (
            f"prefill {self.name}: {', '.join(prompt.story() for prompt in self.prompts)} {told(self.params)}"
        )


class Decode(Command):
    """Go on from a state, or from a forgery of it."""

    op: Literal["decode"] = "decode"
    state: str
    forged: Part | None = None

    def story(self) -> str:
        """Name the state."""
        return f"decode {self.state}" + (f" with another {self.forged}" if self.forged else "")


class Contend(Command):
    """Decode one state twice at the same time."""

    op: Literal["contend"] = "contend"
    state: str

    def story(self) -> str:
        """Name the state."""
        return f"decode {self.state} twice at the same time"


class Release(Command):
    """Give a state back, or a forgery of it."""

    op: Literal["release"] = "release"
    state: str
    forged: Part | None = None

    def story(self) -> str:
        """Name the state."""
        return f"release {self.state}" + (f" with another {self.forged}" if self.forged else "")


class CancelParked(Command):
    """Cancel by the name of a prefill."""

    op: Literal["cancel_parked"] = "cancel_parked"
    request: str

    def story(self) -> str:
        """Name it."""
        return f"cancel {self.request}"


class Expire(Command):
    """Wait until the lease of a state is over, and its blocks are back."""

    op: Literal["expire"] = "expire"
    state: str

    def story(self) -> str:
        """Name the state."""
        return f"wait until the lease of {self.state} is over"


class HandOver(Command):
    """Export the KV of a state; import and decode it in another process, or damage the file and import it here."""

    op: Literal["hand_over"] = "hand_over"
    state: str
    damage: Damage | None = None

    def story(self) -> str:
        """Say what is done."""
        where = f"damage it ({self.damage}) and import it here" if self.damage else "go on in another process"
        return f"export {self.state}, {where}"


class TakeOver(Command):
    """Import KV that another process has exported, and decode. ``export`` and ``parked`` are JSON."""

    op: Literal["take_over"] = "take_over"
    export: str
    parked: str

    def story(self) -> str:
        """Say so."""
        return "import and decode"


class ShowTie(Command):
    """Find out how near two tokens are after a prompt and the tokens that follow it."""

    counted: ClassVar[bool] = False

    op: Literal["show_tie"] = "show_tie"
    prompt_ids: tuple[int, ...]
    tokens: tuple[int, int]
    epsilon: float

    def story(self) -> str:
        """Name the tokens."""
        return f"how near are the tokens {self.tokens} after {len(self.prompt_ids)} tokens?"


class TimeReuse(Command):
    """Time the first token of ``rounds`` fresh prompts, and of each again."""

    op: Literal["time_reuse"] = "time_reuse"
    text: str
    tokens: PositiveInt
    rounds: PositiveInt

    def story(self) -> str:
        """Say what is timed."""
        return f"time the first token of {self.rounds} prompts of {self.tokens} tokens, fresh and repeated"


class Quantise(Command):
    """Load a quantisation profile."""

    op: Literal["quantise"] = "quantise"
    profile: QuantizationProfile

    def story(self) -> str:
        """Name the bits."""
        return f"load a profile of {self.profile.weight_bits}-bit weights"


class Close(Command):
    """Close twice, with ``pending`` calls begun before, and look at what is left."""

    op: Literal["close"] = "close"
    pending: tuple[Call, ...] = ()
    at_once: bool = False
    """Whether both closes are begun together."""

    def story(self) -> str:
        """Say what is pending."""
        begun = f" with {len(self.pending)} calls pending" if self.pending else ""
        return f"close twice{begun}"


BackendCommand = Annotated[
    Create | Open | Serve | Prefill | Decode | Contend | Release | CancelParked | Expire | HandOver | TakeOver | ShowTie
    | TimeReuse | Quantise | Close,
    Field(discriminator="op"),
]  # fmt: skip


class BackendStep(Step):
    """One step of a backend."""

    command: BackendCommand
    about: About | None = None
    outcomes: tuple[Outcome, ...] = ()
    before: BackendStats | None = None
    after: BackendStats | None = None
    """Counters once everything of the step had settled, or had not within the deadline."""

    most_running: int = 0
    states: tuple[str, ...] = ()
    """Names of the states that a prefill gave."""

    computed_ids: tuple[tuple[int, ...], ...] = ()
    """Prompts that were computed besides those of outcomes."""

    decode_computed: int | None = None
    """Prompt tokens computed while states were decoded, where nothing else ran."""

    winners: int | None = None
    """How many of several decodes of one state were accepted."""

    said: bool | None = None
    bytes_written: int | None = None
    bytes_claimed: int | None = None
    tokens_claimed: int | None = None
    checksum_right: bool | None = None
    schema_right: bool | None = None
    tie: TieFound | None = None
    timing: Timing | None = None
    closing: Closing | None = None

    def answer(self) -> str:
        """Return what came out, briefly."""
        if self.outcomes:
            return "; ".join(_briefly(outcome) for outcome in self.outcomes)
        for found in (self.tie, self.timing, self.closing, self.said):
            if found is not None:
                return str(found)
        return ", ".join(self.states)


def _briefly(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"{outcome.call} {outcome.error}"[:160]
    end = (
        "no end"
        if outcome.hung
        else f"{outcome.finish}" + (f" {outcome.stop!r}" if outcome.stop is not None else "")
    )
    return f"{outcome.stream} {len(outcome.tokens)} tokens {outcome.text[:32]!r}, {end}"
