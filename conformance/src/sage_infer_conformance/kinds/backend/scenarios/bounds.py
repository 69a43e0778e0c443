"""What may be asked and how it ends early: IB-03, IB-04, and nobody starves (IB-12)."""

from __future__ import annotations

from sage_infer_contracts.capabilities import Capability

from ...suite import Play
from ..asks import Cancel, Prompt, Settings
from ..steps import BackendStep, CancelParked, Decode, Prefill
from .talk import TEXTS, Talk, close_busy, greedy

_LONG = 240


def limits(play: Play) -> None:
    """Each limit at its edge, and one past it."""
    talk = Talk(play)
    wanted = talk.choices.integer(40, 56)
    if not talk.open(Settings(max_sequence_length=wanted, max_batch_size=2, max_waiting_requests=3)):
        return
    about = talk.model.about
    assert about is not None
    longest, text = about.max_sequence_length, talk.choices.one_of(TEXTS)
    for prompt_tokens, max_tokens in (
        (longest - 5, 5), (longest - 1, 1), (3, longest - 3), (longest - 4, None), (longest - 24, None),
        (longest // 2, longest - longest // 2),
    ):  # fmt: skip
        talk.serve(talk.call(Prompt(text=text, tokens=prompt_tokens), greedy(max_tokens)))
    for prompt_tokens, max_tokens in (
        (longest - 5, 6),
        (longest, 1),
        (longest, None),
        (longest + 40, 4),
        (3, longest - 2),
    ):
        talk.serve(talk.call(Prompt(text=text, tokens=prompt_tokens), greedy(max_tokens)))
    if Capability.BACKEND_LOGPROBS in talk.model.capabilities:
        heads = [
            Prompt(text=text, tokens=longest - 4, head=head, head_tokens=4) for head in (TEXTS[1], TEXTS[3])
        ]
        talk.serve(*(talk.call(prompt, greedy(4, logprobs=1)) for prompt in heads))
    short, too_long = Prompt(text=text, tokens=6), Prompt(text=text, tokens=longest + 1)
    talk.serve(talk.call([short, too_long, short], greedy(4)))
    _queue(talk, about.max_live, short, longest)
    talk.close()


def _queue(talk: Talk, bound: int | None, short: Prompt, longest: int) -> None:
    """Fill every seat and the whole queue, then ask for more; afterwards there is room again."""
    if bound is None or bound > 64:
        return
    full = [talk.call(short, greedy(longest - 6)) for _ in range(bound)]
    talk.serve(*full)
    talk.serve(*(talk.call(short, greedy(longest - 6)) for _ in range(bound)), talk.call(short, greedy(2)))
    talk.serve(talk.call([short] * (bound + 1), greedy(2)))
    talk.serve(talk.call([short] * bound, greedy(2)))


def cancels(play: Play) -> None:
    """Cancel at any moment: waiting, in the middle of a prompt, between tokens, between prefill and decode."""
    talk = Talk(play)
    if not talk.open(Settings(max_sequence_length=_LONG + 160, max_batch_size=3, max_batched_tokens=32)):
        return
    choices = talk.choices
    for _ in range(5):
        prompt = Prompt(text=choices.one_of(TEXTS), tokens=choices.one_of([8, 30, 150]))
        cancel = Cancel(after_tokens=choices.one_of([0, 1, 2, 7, 15]), by_stream=choices.chance(25))
        talk.serve(talk.call(prompt, greedy(_LONG), cancel=cancel))
    short = Prompt(text=choices.one_of(TEXTS), tokens=9)
    some = Cancel(after_tokens=choices.integer(0, 5), index=choices.integer(0, 1))
    talk.serve(talk.call([short, Prompt(text=TEXTS[0], tokens=12), short], greedy(_LONG // 4), cancel=some))
    talk.serve(
        talk.call([short, Prompt(text=TEXTS[1], tokens=20)], greedy(_LONG), cancel=Cancel(after_tokens=3))
    )
    occupied = [talk.call(short, greedy(40)) for _ in range(3)]
    waiting = [talk.call(short, greedy(_LONG), cancel=Cancel(after_tokens=0)) for _ in range(3)]
    talk.serve(*occupied, *waiting)
    talk.serve(
        *(
            talk.call(short, greedy(_LONG), cancel=Cancel(after_tokens=choices.integer(0, 9)))
            for _ in range(5)
        )
    )
    talk.serve(talk.call(short, greedy(12)))
    step: BackendStep = play.do(
        Prefill(name="p", prompts=(short, Prompt(text=TEXTS[0], tokens=21)), params=greedy(30))
    )
    if step.error is None:
        play.do(CancelParked(request="nobody"))
        play.do(CancelParked(request="p"))
        play.do(CancelParked(request="p"))
        for state in step.states:
            play.do(Decode(state=state))
    talk.close()


def crowds(play: Play) -> None:
    """Many newcomers behind one long prompt, and a short output among long ones."""
    talk = Talk(play)
    if not talk.open(
        Settings(max_sequence_length=288, max_batch_size=4, max_batched_tokens=48, max_waiting_requests=48)
    ):
        return
    choices = talk.choices
    occupied = [talk.call(Prompt(text=choices.one_of(TEXTS), tokens=8), greedy(16)) for _ in range(4)]
    victim = talk.call(Prompt(text=TEXTS[0], tokens=choices.integer(60, 120)), greedy(4))
    arrivals = [
        talk.call(Prompt(text=choices.one_of(TEXTS), tokens=5), greedy(2), after=number)
        for number in range(24)
    ]
    talk.serve(*occupied, victim, *arrivals)
    long = [talk.call(Prompt(text=choices.one_of(TEXTS), tokens=40 + 20 * n), greedy(150)) for n in range(3)]
    talk.serve(*long, talk.call(Prompt(text=TEXTS[3], tokens=6), greedy(6), after=choices.integer(0, 12)))
    close_busy(talk, 150)
