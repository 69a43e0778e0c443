"""How histories of an embedding backend are drawn: each text alone first, then in all sorts of company."""

from __future__ import annotations

from ..suite import Choices, Play, Scenario
from .limits_scenario import limits
from .model import EmbeddingModel
from .steps import Call, Close, CloseDuring, Count, Create, Embed, Start, Together
from .texts import pool, sentence

_ROUNDS = {"embed": 4, "embed_batch": 4, "together": 3, "alone": 2}
_BATCH_SIZES = (1, 2, 3, 5, 8, 32, 64)


def learn(play: Play) -> list[str]:
    """Embed different texts that fit, each alone, and return them."""
    model: EmbeddingModel = play.model
    texts = pool(play.choices, model.longest)
    for text in texts:
        play.do(Count(texts=(text,)))
    known = [text for text in texts if model.size(text) == "within"]
    for text in known:
        play.do(Embed(call=Call(texts=(text,))))
    return known


def company(choices: Choices, texts: list[str], low: int, high: int) -> tuple[str, ...]:
    """Draw a batch; texts repeat in it where it is larger than there are texts."""
    at, stride = choices.integer(0, len(texts) - 1), choices.integer(1, max(1, len(texts) - 1))
    return tuple(texts[(at + stride * number) % len(texts)] for number in range(choices.integer(low, high)))


def _calls(choices: Choices, texts: list[str], most: int) -> tuple[Call, ...]:
    sizes = (None, None, 1, 2, 4)
    return tuple(
        Call(texts=company(choices, texts, 1, most), batch_size=choices.one_of(sizes))
        for _ in range(choices.integer(2, 4))
    )


def _first_rounds(play: Play, texts: list[str]) -> None:
    """Go through the shapes of a batch that break naive ones, whatever is drawn later."""
    choices = play.choices
    short, long = min(texts, key=len), max(texts, key=len)
    wide = company(choices, texts, 33, 44)
    for call in (
        Call(texts=()),
        Call(texts=(), batch_size=4),
        Call(texts=tuple(texts)),
        Call(texts=tuple(reversed(texts)), batch_size=3),
        Call(texts=(short, long)),
        Call(texts=(long, short), batch_size=2),
        Call(texts=(texts[1], texts[1], short, texts[1])),
        Call(texts=wide),
        Call(texts=wide[::-1], batch_size=choices.one_of((7, 16, 32, 64))),
    ):
        play.do(Embed(call=call))
    play.do(Together(calls=(Call(texts=tuple(texts)), Call(texts=tuple(reversed(texts))), Call(texts=()))))


def mix(play: Play) -> None:
    """Embed texts in batches of all shapes, one call after the other and several at once."""
    choices = play.choices
    play.do(Create())
    if play.do(Start()).error is not None:
        return
    texts = learn(play)
    if len(texts) < 2:
        return
    _first_rounds(play, texts)
    for _ in range(choices.integer(10, 16)):
        how = choices.weighted(_ROUNDS)
        if how == "together":
            play.do(Together(calls=_calls(choices, texts, 6)))
        elif how == "alone":
            play.do(Embed(call=Call(texts=(choices.one_of(texts),))))
        else:
            size = choices.one_of(_BATCH_SIZES) if how == "embed_batch" else None
            play.do(Embed(call=Call(texts=company(choices, texts, 2, 12), batch_size=size)))
    play.do(Close())


def lifecycle(play: Play) -> None:
    """Ask before the start, during the end and after it; then begin anew."""
    choices = play.choices
    asked = Call(texts=(sentence(choices, 2), "", sentence(choices, 3)))
    play.do(Create())
    play.do(Embed(call=asked))
    if choices.chance(50):
        play.do(Close())
        play.do(Create())
    if play.do(Start()).error is not None:
        return
    texts = learn(play)
    _close_during(play, texts or [""])
    for call in (asked, Call(texts=("a",)), Call(texts=("a", "b"), batch_size=1)):
        play.do(Embed(call=call))
    play.do(Close())
    play.do(Create())
    play.do(Start())
    for text in reversed(texts):
        play.do(Embed(call=Call(texts=(text,))))
    if choices.chance(50):
        _close_during(play, texts or [""])
    play.do(Close())


def _close_during(play: Play, texts: list[str]) -> None:
    """Close while batches wait for their turn."""
    choices = play.choices
    many = Call(texts=company(choices, texts, 16, 24), batch_size=2)
    calls = (many, *_calls(choices, texts, 8))
    play.do(CloseDuring(calls=calls, turns=choices.integer(1, 6)))


SCENARIOS = (
    Scenario("lifecycle", lifecycle, certify=1, develop=4),
    Scenario("mix", mix, certify=2, develop=4),
    Scenario("limits", limits, certify=2, develop=4),
)
"""The one that starts twice comes first: what the first start keeps for itself is missed in the second."""
