"""HB-01: whether an answer is one that the model gives under its own contract."""

from __future__ import annotations

from collections.abc import Iterator

from sage_infer_contracts.errors import CapacityExceeded, InvalidRequest, Unsupported

from ...judging.rules import HELD, Check, broken, check
from ..embedding.rules import independent_of_the_batch, one_vector_each
from ..embedding.steps import Call, Embed, EmbeddingStep
from .asks import Answer, Chat, EmbedTexts, Generate, Request
from .model import HybridModel, outcome_of

ENDS = ("eos", "stop_string", "stop_token", "length")


def judged(model: HybridModel, request: Request, answer: Answer, *, alone: bool) -> Iterator[Check]:
    """Judge an answer to a request that a loaded model must serve; ``alone``: nothing else ran."""
    names = model.candidates(request)
    if not alone and answer.error is not None and answer.error.code == CapacityExceeded.code:
        return
    verdicts = [list(_by(model, name, request, answer)) for name in names]
    # The default model is any of the loaded ones, so its answer must be right for one of them.
    yield from min(verdicts, key=lambda checks: sum(one.says is not None for one in checks), default=[])


def _by(model: HybridModel, name: str, request: Request, answer: Answer) -> Iterator[Check]:
    if isinstance(request, EmbedTexts):
        step = EmbeddingStep(command=Embed(call=Call(texts=request.texts)), outcomes=(outcome_of(answer),))
        known = model.embedder(name)
        rules = (one_vector_each, independent_of_the_batch) if known.alone else ()
        for one in (one for rule in rules for one in rule(known, step)):
            yield HELD if one.says is None else broken(f"{name}: {one.says}")
        if not known.alone:
            yield check(answer.vectors is not None, f"{request.story()} {answer}")
    elif isinstance(request, Chat) and _has_no_template(answer):
        return
    else:
        yield from _generated(model, name, request, answer)


def _has_no_template(answer: Answer) -> bool:
    return answer.error is not None and answer.error.code in (Unsupported.code, InvalidRequest.code)


def _generated(model: HybridModel, name: str, request: Generate | Chat, answer: Answer) -> Iterator[Check]:
    says = flaw(request, answer)
    yield check(says is None, f"{name}: {says}")
    if isinstance(request, Chat) and answer.error is None:
        yield check(
            answer.served_by == name, f"a chat with {name} says that it was served by {answer.served_by}"
        )
    alone = model.outputs.get((name, request.kind, request.prompt, request.max_tokens))
    if says is not None or alone is None or model.about is None or not model.about.exact:
        return
    if isinstance(request, Generate) and request.stop is not None and request.stop in alone.text:
        due = alone.text[: alone.text.index(request.stop)]
        stopped = answer.text == due and answer.finish == "stop_string"
        yield check(
            stopped, f"{name}: {request.story()} gives {answer.text!r}, {answer.finish}; due is {due!r}"
        )
    else:
        yield check(
            same(answer, alone), f"{name}: {request.story()} {other_than(model, name, request, answer)}"
        )


def flaw(request: Generate | Chat, answer: Answer) -> str | None:
    """Say what is wrong with the form of a generation; None for nothing."""
    count = answer.usage if answer.tokens is None else len(answer.tokens)
    if answer.error is not None or answer.pending or answer.malformed is not None or count is None:
        return f"{request.story()} {answer}"
    if answer.finish not in ENDS or count > request.max_tokens:
        return f"{request.story()} gives {count} tokens and ends with {answer.finish}"
    if answer.finish == "length" and count != request.max_tokens:
        return f"{request.story()} ends at its length after {count} tokens"
    if answer.usage != count:
        return f"{request.story()} gives {count} tokens and reports {answer.usage}"
    return None


def same(one: Answer, other: Answer) -> bool:
    """Say whether two greedy answers are the same."""
    return one.tokens == other.tokens and one.text == other.text and one.finish == other.finish


def other_than(model: HybridModel, name: str, request: Generate | Chat, answer: Answer) -> str:
    """Say whose answer it is instead."""
    for (other, *asked), known in model.outputs.items():
        if (
            other != name
            and asked == [request.kind, request.prompt, request.max_tokens]
            and same(answer, known)
        ):
            return f"gives the answer of {other}"
    return f"gives {answer.text!r}, and another text when nothing else runs"
