"""What every scenario needs: texts, names, and calls whose outputs are compared at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from sage_infer_contracts.sampling import SamplingParams

from ...suite import Choices, Play
from ..asks import Call, Cancel, Prompt, Settings
from ..model import BackendModel
from ..steps import BackendStep, Close, Open, Serve, ShowTie

TEXTS = (
    "The old keeper of the light climbed the stairs and counted the boats, one, two, three,",
    "Once upon a time, by the sea, there was",
    "def add(a, b):\n    return",
    "1, 1, 2, 3, 5, 8,",
    "\u6d77\u4e0a\u7684\u4e16\u754c",
    "\u65e5\u672c\u306e\u6d77\u306f",
    "Un \u00e9t\u00e9 \u00e0 la mer, o\u00f9",
    "\U0001f642 A story told in emoji: \U0001f436\U0001f431",
    "\u0421\u0442\u043e\u043b\u0438\u0446\u0430 \u0420\u043e\u0441\u0441\u0438\u0438",
    "Q: What is seven times six?\nA:",
    "Rain on stone, and stone on",
    '{"name": "Ada", "age":',
)
CHATS = ("Say only: yes.", "What is two plus two? One word.", "Reply with the word sea.")
FREE_TOKENS = 16
"""Length of the outputs that everything else is compared with."""


@attrs.define(slots=True)
class Talk:
    """One history in the making, with names for its calls."""

    play: Play
    named: int = 0

    @property
    def choices(self) -> Choices:
        """Where decisions come from."""
        return self.play.choices

    @property
    def model(self) -> BackendModel:
        """What is known."""
        model: BackendModel = self.play.model
        return model

    def open(self, settings: Settings, *, firmly: bool = False) -> bool:
        """Open an instance; False when it cannot be had.

        A backend may refuse a step's budget or a form of the KV. Unless it matters (``firmly``), it is then left
        the choice.
        """
        freer = settings.model_copy(update={"max_batched_tokens": None, "page_size": None})
        for wanted in (settings,) if firmly or freer == settings else (settings, freer):
            step: BackendStep = self.play.do(Open(settings=wanted))
            if step.error is None:
                return True
            self.play.do(Close())
        return False

    def close(self, pending: Sequence[Call] = (), *, at_once: bool = False) -> None:
        """Close it."""
        self.play.do(Close(pending=tuple(pending), at_once=at_once))

    def call(
        self, prompts: Prompt | Sequence[Prompt], params: SamplingParams, *, split: bool = False,
        cancel: Cancel | None = None, after: int = 0,
    ) -> Call:  # fmt: skip
        """Return a call with a name of its own."""
        self.named += 1
        given = (prompts,) if isinstance(prompts, Prompt) else tuple(prompts)
        return Call(
            name=f"r{self.named}",
            prompts=given,
            params=params,
            split=split,
            cancel=cancel,
            after_tokens=after,
        )

    def serve(self, *calls: Call) -> BackendStep:
        """Do calls side by side, and ask at once about outputs that part from what is known."""
        step: BackendStep = self.play.do(Serve(calls=calls))
        self.look_into()
        return step

    def look_into(self) -> None:
        """Ask how near the tokens are at which outputs parted."""
        while self.model.suspects:
            suspect = self.model.suspects[0]
            epsilon = self.model.epsilon
            self.play.do(ShowTie(prompt_ids=suspect.prompt_ids, tokens=suspect.tokens, epsilon=epsilon))

    def prompts(self, count: int) -> list[Prompt]:
        """Draw ``count`` different prompts, one of them long."""
        texts = list(TEXTS)
        drawn = [Prompt(text=texts.pop(self.choices.integer(0, len(texts) - 1))) for _ in range(count)]
        drawn[-1] = Prompt(text=drawn[-1].text, tokens=self.choices.integer(40, 90))
        return drawn


def close_busy(talk: Talk, max_tokens: int) -> None:
    """Close with requests pending: waiting, in the middle of a prompt, between tokens."""
    choices, pending = talk.choices, []
    for number in range(choices.integer(4, 6)):
        prompt = Prompt(text=choices.one_of(TEXTS), tokens=choices.one_of([6, 40, 110]))
        pending.append(talk.call(prompt, greedy(max_tokens), after=number * choices.integer(0, 2)))
    talk.close(pending, at_once=choices.chance(50))


def greedy(max_tokens: int | None = FREE_TOKENS, *, ignore_eos: bool = True, **more: Any) -> SamplingParams:
    """Return greedy parameters."""
    return SamplingParams(max_tokens=max_tokens, temperature=0.0, ignore_eos=ignore_eos, **more)


def drawn_with(seed: int, max_tokens: int = 10, temperature: float = 1.5) -> SamplingParams:
    """Return parameters that draw with a seed."""
    return SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed, ignore_eos=True)
