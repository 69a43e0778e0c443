"""EB-03 for one call: what is past the maximum is cut there, or refused, as declared."""

from __future__ import annotations

from collections.abc import Iterator

from sage_infer_contracts.errors import InvalidRequest

from ...judging.rules import Check, broken, check
from .model import EmbeddingModel
from .steps import Call, Count, Outcome, quoted
from .vectors import Vector, distance, unpack


def counted(model: EmbeddingModel, command: object, counts: tuple[int, ...]) -> Iterator[Check]:
    """Judge how many tokens of texts reach the model: all of an over-long text that there is room for."""
    assert isinstance(command, Count)
    for text, count in zip(command.texts, counts, strict=False):
        whole = model.size(text) == "over"
        fits = count == model.longest if whole else count <= model.longest
        yield check(fits, f"of {quoted(text)} {count} tokens reach the model, which takes {model.longest}")


def limit_kept(model: EmbeddingModel, call: Call, outcome: Outcome) -> Iterator[Check]:
    """Judge one call to a ready backend that was not turned away for lack of room."""
    sizes = [model.size(text) for text in call.texts]
    refused = outcome.error is not None and outcome.error.code == InvalidRequest.code
    if model.truncates:
        yield from _truncated(model, call, outcome, refused)
    elif "over" in sizes:
        yield _refused(model, call, outcome, refused)
    elif call.texts and None not in sizes:
        says = f"no text has more than {model.longest} tokens, and the call {outcome}"
        yield check(not refused, says)
        yield from _uncut(model, call, outcome)


def _refused(model: EmbeddingModel, call: Call, outcome: Outcome, refused: bool) -> Check:
    if not refused:
        says = f"truncation is not declared, a text has more than {model.longest} tokens"
        return broken(f"{says}, and {call.story()} {outcome}")
    error = outcome.error
    named = error is not None and (bool(error.param) or str(model.longest) in error.message)
    return check(named, f"the refusal of an over-long text does not name the limit {model.longest}: {error}")


def _truncated(model: EmbeddingModel, call: Call, outcome: Outcome, refused: bool) -> Iterator[Check]:
    if "over" in map(model.size, call.texts):
        says = f"truncation is declared, a text has more than {model.longest} tokens"
        yield check(outcome.vectors is not None, f"{says}, and {call.story()} {outcome}")
    elif refused and call.texts and None not in map(model.size, call.texts):
        yield broken(f"a text of at most {model.longest} tokens is refused: {outcome}")
    for text, packed in zip(call.texts, outcome.vectors or (), strict=False):
        if model.size(text) == "over":
            yield from _cut_where_due(model, text, unpack(packed))
    yield from _uncut(model, call, outcome)


def _cut_where_due(model: EmbeddingModel, text: str, vector: Vector) -> Iterator[Check]:
    """An over-long text has the vector of its beginning."""
    beginning = model.cut(text)
    known = [] if beginning is None else [beginning]
    for other in known + model.same_beginning(text):
        if other in model.alone:
            apart = distance(vector, model.alone[other])
            same = f"{quoted(other)}, which is the same up to the maximum of {model.longest}"
            says = f"{quoted(text)} is {apart:.2g} away from {same}"
            yield check(apart <= model.tolerance, says)


def _uncut(model: EmbeddingModel, call: Call, outcome: Outcome) -> Iterator[Check]:
    """What fits is not cut: another last token gives another vector."""
    if len(call.texts) != 1 or call.texts[0] not in model.full:
        return
    for packed in outcome.vectors or ():
        for other in model.siblings(call.texts[0]):
            if other in model.alone:
                says = (
                    f"{quoted(call.texts[0])} of {model.longest} tokens has the very vector of a text with another last"
                    " token: it is cut before the maximum"
                )
                yield check(unpack(packed) != model.alone[other], says)
