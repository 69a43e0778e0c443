"""Histories around the longest text: exactly as long, one token more, and much more."""

from __future__ import annotations

from ..suite import Choices, Play
from .model import SEPARATORS, EmbeddingModel
from .steps import Call, Close, Count, Create, Embed, Start, Together
from .texts import LETTERS, LONG_WORDS, WORDS, sentence

_PATTERN = 5
_DENSE = ("naïve café", "3.14159", "缓存命中")


def limits(play: Play) -> None:
    """Embed texts that have as many tokens as a text may have, and more."""
    model: EmbeddingModel = play.model
    play.do(Create())
    if play.do(Start()).error is not None:
        return
    shorts = [sentence(play.choices, 1), sentence(play.choices, 2)]
    for text in ["", *shorts]:
        play.do(Count(texts=(text,)))
    for text in shorts:
        play.do(Embed(call=Call(texts=(text,))))
    between, units = _units(play)
    full, over = _full_texts(play, between, units, ""), []
    full += _full_texts(play, between, units, _head(play.choices))
    if full:
        over = [full[0] + between + between.join(tail) for tail in _tails(play.choices, units)]
        over.append(full[-1] + between + units[0])
    for words in (WORDS, LONG_WORDS):
        over.append(" ".join(words * (model.longest // len(words) + 1)) + " " + sentence(play.choices, 3))
    for text in (*full, *over):
        play.do(Count(texts=(text,)))
        play.do(Embed(call=Call(texts=(text,))))
    _in_company(play, shorts, full, over)
    play.do(Close())


def _units(play: Play) -> tuple[str, list[str]]:
    """Find texts that are one token each also when they follow each other: words, long ones first, or letters."""
    for between in SEPARATORS:
        candidates = [*LONG_WORDS, *WORDS] if between else LETTERS
        play.do(Count(texts=tuple(candidates)))
        play.do(Count(texts=tuple(f"{unit}{between}{unit}" for unit in candidates)))
        units = [unit for unit in candidates if play.model.is_unit(unit, between)]
        if len(units) >= 4:
            return between, units
    return " ", []


def _head(choices: Choices) -> str:
    """Draw a beginning that has more tokens than words, as a rule."""
    begun = f"{choices.one_of(LONG_WORDS)}-{choices.one_of(WORDS)}"
    return f"{begun}, {choices.one_of(_DENSE)}"


def _full_texts(play: Play, between: str, units: list[str], head: str) -> list[str]:
    """Return two texts of the longest length that differ in their last token; none where no units are known."""
    model: EmbeddingModel = play.model
    play.do(Count(texts=(head,)))
    room = model.longest - 1 - model.counts.get(head, model.longest)
    if len(units) < 4 or room < 1:
        return []
    longest = sorted(units, key=len)[-8:]
    pattern = [play.choices.one_of(longest) for _ in range(_PATTERN)]
    begun = [head] if head else []
    stem = between.join([*begun, *(pattern * room)[:room]])
    play.do(Count(texts=(stem,)))
    first = play.choices.integer(0, len(units) - 1)
    texts = [stem + between + units[first], stem + between + units[(first + 1) % len(units)]]
    play.do(Count(texts=(texts[0],)))
    return texts if model.size(texts[0]) == "exact" else []


def _tails(choices: Choices, units: list[str]) -> list[list[str]]:
    """Draw what follows a full text: one token, another one, many."""
    at = choices.integer(0, len(units) - 2)
    return [[units[at]], [units[at + 1]], [choices.one_of(units)] * choices.integer(2, 60)]


def _in_company(play: Play, shorts: list[str], full: list[str], over: list[str]) -> None:
    """Let over-long texts stand beside others, first, in the middle and last, in both sorts of call and at once."""
    short, other = shorts
    long = play.choices.one_of(over)
    for texts in ((short, long, other), (long, short), (other, short, long), (short, other), tuple(full)):
        size = play.choices.one_of((None, 1, 2, 8))
        play.do(Embed(call=Call(texts=texts, batch_size=size)))
    play.do(Embed(call=Call(texts=(short, other, long), batch_size=1)))
    play.do(Embed(call=Call(texts=(short, long, other))))
    calls = (
        Call(texts=(short,)),
        Call(texts=(play.choices.one_of(over),)),
        Call(texts=(other,), batch_size=4),
    )
    play.do(Together(calls=calls))
    play.do(Embed(call=Call(texts=(short, other))))
