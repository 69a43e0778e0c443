"""What is kept between calls: IB-02, IB-07, IB-08, IB-13."""

from __future__ import annotations

from typing import get_args

from sage_infer_contracts.capabilities import Capability

from ...suite import Play
from ..asks import Prompt, Settings
from ..findings import Damage, Part
from ..steps import BackendStep, Contend, Decode, Expire, HandOver, Prefill, Release, TimeReuse
from .lives import quantise_and_close
from .talk import TEXTS, Talk, drawn_with, greedy

_PARTS: tuple[Part, ...] = ("instance", "generation", "lease", "prompt", "output", "params")


def _park(talk: Talk, name: str, tokens: list[int], max_tokens: int = 16) -> list[str]:
    """Prefill prompts of given lengths, each with a beginning of its own."""
    texts = [f"{name} {number} {talk.choices.one_of(TEXTS)}" for number in range(len(tokens))]
    prompts = tuple(Prompt(text=text, tokens=length) for text, length in zip(texts, tokens, strict=True))
    step: BackendStep = talk.play.do(Prefill(name=name, prompts=prompts, params=greedy(max_tokens)))
    return list(step.states)


def states(play: Play) -> None:
    """States in every fate: good, forged, repeated, given back, cancelled, and of another instance."""
    talk = Talk(play)
    if not talk.open(Settings(max_sequence_length=192, max_batch_size=6)):
        return
    choices, declared = talk.choices, talk.model.capabilities
    prompts = talk.prompts(3)
    for prompt in prompts:
        talk.serve(talk.call(prompt, greedy()))
    seeded = [drawn_with(choices.integer(1, 10**6)) for _ in range(3)]
    for params in seeded:
        talk.serve(talk.call(prompts[0], params))
    first = talk.call(prompts[0], greedy(choices.integer(2, 24)), split=True)
    step = talk.serve(first, *(talk.call(prompt, greedy(), split=True) for prompt in prompts[1:]))
    if Capability.BACKEND_SPLIT_PREFILL not in declared:
        play.do(Prefill(name="p", prompts=(prompts[0],), params=greedy()))
        talk.close()
        return
    talk.serve(*(talk.call(prompts[0], params, split=True) for params in seeded))
    talk.serve(talk.call(prompts[1], greedy(1), split=True), talk.call(prompts[2], greedy(2), split=True))
    free = talk.model.free.get(talk.model.greedy_key(prompts[1], greedy()))
    if free is not None and len(free.text) > 12:
        at = choices.integer(2, len(free.text) - 6)
        stop = free.text[at : at + 4]
        talk.serve(talk.call(prompts[1], greedy(stop=(stop,)), split=True))
    del step
    _once(talk)
    _transfers(talk, prompts)
    left = _park(talk, "left", [20, 20])
    talk.close()
    schema = talk.model.about.schema_ if talk.model.about is not None else None
    other = Settings(max_sequence_length=192, page_size=2 * schema.page_size if schema is not None else None)
    if talk.open(other):
        here = _park(talk, "here", [20, 20])
        play.do(Decode(state=left[0])) if left else None
        play.do(Release(state=left[1])) if left else None
        for state in here:
            play.do(Decode(state=state))
        talk.close()


def _once(talk: Talk) -> None:
    """Use, repeat, forge and give back."""
    play, choices = talk.play, talk.choices
    kept = _park(talk, "a", [choices.integer(3, 70) for _ in range(4)])
    order = list(kept)
    while order:
        state = order.pop(choices.integer(0, len(order) - 1))
        for part in _PARTS if choices.chance(40) or not order else (choices.one_of(_PARTS),):
            play.do(Decode(state=state, forged=part))
            state_is_gone = talk.model.states[state].fate != "parked"
            if state_is_gone:
                break
        if choices.chance(40):
            play.do(Release(state=state))
        else:
            play.do(Decode(state=state))
        play.do(Decode(state=state))
        if choices.chance(40):
            play.do(Release(state=state))
    for state in _park(talk, "c", [choices.integer(5, 40)]):
        play.do(Contend(state=state))
        play.do(Decode(state=state))
    for state in _park(talk, "b", [33, 12, 8]):
        play.do(Release(state=state, forged="generation"))
        play.do(Release(state=state))
        play.do(Release(state=state))


def _transfers(talk: Talk, prompts: list[Prompt]) -> None:
    """Move KV to another process, and damage it on the way."""
    play, choices = talk.play, talk.choices
    if Capability.BACKEND_KV_EXPORT not in talk.model.capabilities:
        kept = _park(talk, "stay", [9])
        for state in kept:
            play.do(HandOver(state=state))
            play.do(Release(state=state))
        return
    step: BackendStep = play.do(Prefill(name="go", prompts=tuple(prompts[:2]), params=greedy()))
    for state in step.states:
        play.do(HandOver(state=state))
        talk.look_into()
    for damage in get_args(Damage):
        for state in _park(talk, f"hurt-{damage}", [choices.integer(5, 60)]):
            play.do(HandOver(state=state, damage=damage))


def leases(play: Play) -> None:
    """An abandoned prefill: its lease ends, its blocks return, its state is refused. Then the weights are quantised."""
    talk = Talk(play)
    settings = Settings(max_sequence_length=128, lease_s=2.0)
    if not talk.open(settings):
        return
    kept = _park(talk, "gone", [40, 17])
    if kept:
        play.do(Expire(state=kept[-1]))
        play.do(Decode(state=kept[0]))
        play.do(Release(state=kept[1]))
        talk.serve(talk.call(Prompt(text=TEXTS[1], tokens=30), greedy(8)))
    quantise_and_close(talk, settings)


def reuse(play: Play) -> None:
    """Beginnings that were computed before: counted, reported and timed."""
    talk = Talk(play)
    if not talk.open(Settings(max_sequence_length=1024)):
        return
    choices = talk.choices
    base = choices.one_of(TEXTS)
    play.do(TimeReuse(text=base, tokens=640, rounds=3))
    schema = talk.model.about.schema_ if talk.model.about is not None else None
    page_size = min(schema.page_size, 64) if schema is not None else 16
    whole = Prompt(text=f"whole blocks of {base}", tokens=page_size * choices.integer(2, 4))
    for _ in range(2):
        talk.serve(talk.call(whole, greedy(6)))
    for number in range(3):
        shared = Prompt(text=f"{number} {base}", tokens=choices.integer(30, 200))
        talk.serve(talk.call(shared, greedy(2)))
        talk.serve(
            talk.call(
                shared.model_copy(update={"tokens": (shared.tokens or 0) + choices.integer(0, 60)}), greedy(2)
            )
        )
        talk.serve(talk.call(shared, greedy(2)), talk.call(shared, greedy(3)))
    talk.close()
