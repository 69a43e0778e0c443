"""What must be true of any backend: what each prompt gives, who holds what, and which states are still good."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import attrs

from sage_infer_contracts.sampling import SamplingParams

from .asks import Call, Prompt
from .comparing import Suspect, pairs_of, suspects_of
from .findings import About, Outcome
from .steps import (
    BackendStep,
    CancelParked,
    Close,
    Contend,
    Decode,
    Expire,
    HandOver,
    Open,
    Prefill,
    Quantise,
    Release,
    Serve,
)

Fate = Literal["parked", "used", "expired", "foreign"]
_ENDS: dict[str, object] = {"max_tokens": None, "stop": (), "stop_token_ids": (), "logprobs": None}
EPSILONS = {"fp32": 1e-3, "fp16": 0.03125, "bf16": 0.25}
"""The top-two gap under which two greedy outputs may part, in log-probability, by the dtype of the computation.

fp16 and bf16 store a logit between 16 and 32, where those of language models lie, in steps of 2**-6 and 2**-3; two
steps are the least by which the order of a sum can move two logits against each other. fp32 steps are 2e-6 there, and
a thousandth leaves room for what layers add to them."""
COARSEST = EPSILONS["bf16"]


def epsilon(dtype: str) -> float:
    """Return the tolerance for ``dtype``; 8 bits and less compute in 16."""
    return EPSILONS.get(dtype, COARSEST)


@attrs.define(slots=True)
class State:
    """A state as its holder should know it."""

    call: str
    index: int
    prompt: Prompt
    params: SamplingParams
    fate: Fate = "parked"


@attrs.define(slots=True)
class Seeded:
    """Outputs drawn with a seed that were compared with their like, and how many differed."""

    compared: int = 0
    different: int = 0


@attrs.define(slots=True)
class BackendModel:
    """Everything known in one history. Outputs are known by weights, prompt and parameters."""

    about: About | None = None
    capabilities: frozenset[str] = frozenset()
    opened: int = 0
    LOADED: ClassVar[str] = "as loaded"
    weights: str = LOADED
    refused_profiles: int = 0
    free: dict[tuple[str, str, str], Outcome] = attrs.field(factory=dict)
    """Greedy outputs that nothing stopped, of calls that ran alone."""

    known: dict[tuple[str, str, str], Outcome] = attrs.field(factory=dict)
    """Outputs of calls that ran alone, by their exact parameters."""

    ends: set[int] = attrs.field(factory=set)
    """Tokens after which outputs ended by EOS."""

    computed_ids: list[tuple[int, ...]] = attrs.field(factory=list)
    """Sequences whose KV the instance may have kept."""

    states: dict[str, State] = attrs.field(factory=dict)
    suspects: list[Suspect] = attrs.field(factory=list)
    seeded: dict[str, Seeded] = attrs.field(factory=dict)
    """By clause."""

    @property
    def epsilon(self) -> float:
        """The tolerance of the instance."""
        return epsilon(self.about.dtype) if self.about is not None else EPSILONS["fp32"]

    @property
    def baseline_held(self) -> int:
        """Blocks that are held while nothing is asked."""
        return self.about.stats.blocks_held if self.about is not None else 0

    def apply(self, step: BackendStep) -> None:
        """Take a step into account."""
        command = step.command
        if command.op == "show_tie":
            self.suspects = self.suspects[1:]
            self.computed_ids.append(command.prompt_ids)
            return
        self.computed_ids += step.computed_ids
        self.suspects = suspects_of(self, step)
        self._count_seeded(step)
        if isinstance(command, Open):
            self._open(step)
        elif isinstance(command, Serve):
            self._serve(command, step)
        elif isinstance(command, Quantise):
            if step.error is None:
                self.weights = f"w{command.profile.weight_bits}"
            else:
                self.refused_profiles += 1
        elif isinstance(command, (Close, Prefill, Decode, Contend, Release, HandOver, CancelParked, Expire)):
            self._states(command, step)

    def _open(self, step: BackendStep) -> None:
        self.about = step.about
        self.opened += 1
        self.weights = self.LOADED
        self.refused_profiles = 0
        self.computed_ids = []
        if step.capabilities is not None:
            self.capabilities = frozenset(step.capabilities)

    def _serve(self, command: Serve, step: BackendStep) -> None:
        alone = len(command.calls) == 1 and not command.calls[0].split
        calls = {call.name: call for call in command.calls}
        for outcome in step.outcomes:
            call = calls[outcome.call]
            if outcome.usage is not None:
                self.computed_ids.append((*outcome.prompt_ids, *outcome.tokens))
            plain = not call.params.stop and not call.params.stop_token_ids
            if outcome.finish == "eos" and outcome.tokens and plain:
                self.ends.add(outcome.tokens[-1])
            if (
                alone
                and len(call.prompts) == 1
                and call.params.n == 1
                and outcome.finish not in (None, "cancelled")
            ):
                self._learn(call, outcome)

    def _count_seeded(self, step: BackendStep) -> None:
        for pair in pairs_of(self, step):
            for clause in pair.clauses if not pair.greedy else ():
                count = self.seeded.setdefault(clause, Seeded())
                count.compared += 1
                count.different += not pair.same

    def _learn(self, call: Call, outcome: Outcome) -> None:
        params = call.params
        self.known.setdefault(self.exact_key(call.prompts[0], params), outcome)
        if params.greedy and params.ignore_eos and not params.stop and not params.stop_token_ids:
            key = self.greedy_key(call.prompts[0], params)
            if key not in self.free or len(self.free[key].tokens) < len(outcome.tokens):
                self.free[key] = outcome

    def exact_key(self, prompt: Prompt, params: SamplingParams) -> tuple[str, str, str]:
        """Return what decides an output with these very parameters."""
        return self.weights, prompt.key(), params.model_dump_json()

    def greedy_key(self, prompt: Prompt, params: SamplingParams) -> tuple[str, str, str]:
        """Return what decides the tokens of a greedy output, wherever it ends."""
        plain: dict[str, object] = {
            **_ENDS,
            "ignore_eos": True,
            "seed": None,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
        }
        return self.weights, prompt.key(), params.model_copy(update=plain).model_dump_json()

    def _states(self, command: object, step: BackendStep) -> None:
        if isinstance(command, Close):
            for state in self.states.values():
                state.fate = "foreign" if state.fate == "parked" else state.fate
        elif isinstance(command, Prefill):
            for name in step.states:
                index = int(name.rpartition("/")[2])
                self.states[name] = State(command.name, index, command.prompts[index], command.params)
        elif isinstance(command, CancelParked):
            self._set(lambda _, state: state.call == command.request, "used")
        elif isinstance(command, Expire):
            self._set(lambda _, state: state.fate == "parked", "expired")
        elif isinstance(command, HandOver) and step.bytes_written is None:
            return  # nothing was exported, so the state is where it was
        elif isinstance(command, (HandOver, Contend)) or (
            isinstance(command, (Decode, Release)) and command.forged is None and step.error is None
        ):
            self._set(lambda name, _: name == command.state, "used")

    def _set(self, which: Callable[[str, State], bool], fate: Fate) -> None:
        for name, state in self.states.items():
            if which(name, state):
                state.fate = fate
