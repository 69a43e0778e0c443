"""EB-01 to EB-04, each a pure function of the model and a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, InvalidRequest

from ...judging.rules import HELD, Check, Rule, Stated, broken, check
from .limits import counted, limit_kept
from .model import EmbeddingModel
from .steps import Call, EmbeddingStep, Outcome, quoted
from .vectors import Vector, distance, is_finite, unpack


def _answered(step: EmbeddingStep) -> Iterator[tuple[Call, Outcome]]:
    yield from zip(step.calls, step.outcomes, strict=False)


def _may_fail(model: EmbeddingModel, step: EmbeddingStep, call: Call, outcome: Outcome) -> bool:
    """Say whether this call need not be served: closed, too many at once, or not known to fit."""
    if model.state != "ready" or step.command.op == "close_during":
        return True
    if _turned_away(step, outcome):
        return True
    return not model.truncates and not {model.size(text) for text in call.texts} <= {"within", "exact"}


def _turned_away(step: EmbeddingStep, outcome: Outcome) -> bool:
    """Say whether a call found no room beside others; one that is alone always finds it."""
    error = outcome.error
    return step.command.op == "together" and error is not None and error.code == CapacityExceeded.code


def _fault(model: EmbeddingModel, call: Call, vectors: tuple[str, ...]) -> str | None:
    """Say what is wrong with the form of an answer."""
    if len(vectors) != len(call.texts):
        return f"{len(vectors)} vectors for {len(call.texts)} texts"
    dimension = model.about.dimension if model.about is not None else 0
    for text, packed in zip(call.texts, vectors, strict=True):
        vector = unpack(packed)
        if len(vector) != dimension:
            return f"the vector of {quoted(text)} has {len(vector)} values; {dimension} are declared"
        if not is_finite(vector):
            return f"the vector of {quoted(text)} has values that are not finite"
    return None


def one_vector_each(model: EmbeddingModel, step: EmbeddingStep) -> Iterable[Check]:
    """EB-01."""
    for call, outcome in _answered(step):
        yield from _counted(step, _one_vector_each(model, step, call, outcome))


def _counted(step: EmbeddingStep, found: Iterable[Check]) -> Iterator[Check]:
    """Leave out what holds during a close: whether a call is answered then is a race, and counts are to be the same."""
    yield from (one for one in found if one.says is not None or step.command.op != "close_during")


def _one_vector_each(
    model: EmbeddingModel, step: EmbeddingStep, call: Call, outcome: Outcome
) -> Iterator[Check]:
    if outcome.malformed is not None:
        yield broken(f"{call.story()}: {outcome.malformed}")
    elif outcome.vectors is None:
        if not _may_fail(model, step, call, outcome):
            yield broken(f"{call.story()} {outcome}")
    else:
        fault = _fault(model, call, outcome.vectors)
        yield check(fault is None, fault or "")
        if fault is None:
            yield from _in_order(model, call, outcome.vectors)


def _in_order(model: EmbeddingModel, call: Call, vectors: tuple[str, ...]) -> Iterator[Check]:
    """A vector that is not the text's own, and is that of another, stands in the wrong place."""
    for place, text, vector in _known(model, call, vectors):
        if distance(vector, model.alone[text]) <= model.tolerance:
            yield HELD
            continue
        for other, theirs in model.alone.items():
            if distance(vector, theirs) <= model.tolerance:
                where = f"at place {place} of {len(vectors)}"
                yield broken(f"{where} stands not the vector of {quoted(text)} but of {quoted(other)}")
                break


def _known(model: EmbeddingModel, call: Call, vectors: tuple[str, ...]) -> Iterator[tuple[int, str, Vector]]:
    """Yield the texts whose vector is known from when they were alone, each with its place and its vector now."""
    for place, (text, packed) in enumerate(zip(call.texts, vectors, strict=False)):
        if text in model.alone:
            yield place, text, unpack(packed)


def independent_of_the_batch(model: EmbeddingModel, step: EmbeddingStep) -> Iterable[Check]:
    """EB-02."""
    if step.overwritten:
        yield broken(f"{step.overwritten} answers that were given before have other values now")
    for call, outcome in _answered(step):
        yield from _counted(step, _as_alone(model, call, outcome))


def _as_alone(model: EmbeddingModel, call: Call, outcome: Outcome) -> Iterator[Check]:
    for _, text, vector in _known(model, call, outcome.vectors or ()):
        apart = distance(vector, model.alone[text])
        says = f"{quoted(text)} in {call.story()} is {apart:.2g} away from its vector alone"
        yield check(apart <= model.tolerance, f"{says}; {model.tolerance:.2g} is allowed")


def as_declared(model: EmbeddingModel, step: EmbeddingStep) -> Iterable[Check]:
    """EB-03."""
    if step.counts is not None and model.truncates:
        yield from counted(model, step.command, step.counts)
    for call, outcome in _answered(step):
        if model.state == "ready" and step.command.op != "close_during" and not _turned_away(step, outcome):
            yield from limit_kept(model, call, outcome)


def closes(model: EmbeddingModel, step: EmbeddingStep) -> Iterable[Check]:
    """EB-04."""
    op = step.command.op
    if op == "start" and (model.starts or step.error is None):
        health = step.about.health if step.about is not None else None
        yield check(step.error is None, f"a new one does not start after the last was closed: {step.error}")
        yield check(step.error is not None or health == "ready", f"started, it says it is {health}")
    elif op == "close":
        yield check(step.error is None, f"close raises {step.error}")
        yield check(step.health not in ("ready", "starting"), f"closed, it says it is {step.health}")
    elif op == "close_during":
        yield check(step.error is None or bool(step.error.code), f"close raises {step.error}")
        for call, outcome in _answered(step):
            yield check(_ended(call, outcome), f"closed during {call.story()}, which {outcome}")
    elif model.state in ("created", "closed"):
        for call, outcome in _answered(step):
            if call.texts:
                refused = outcome.error is not None and outcome.error.code == BackendUnavailable.code
                yield check(refused, f"{model.state}, not started: {call.story()} {outcome}")


def _ended(call: Call, outcome: Outcome) -> bool:
    """Say whether a call came to an end that its caller can tell: all vectors, or a documented error."""
    if outcome.vectors is not None:
        return len(outcome.vectors) == len(call.texts)
    return outcome.error is not None and outcome.error.code not in (None, InvalidRequest.code)


RULES = (
    Rule("EB-01", "sampled", 300, one_vector_each),
    Rule("EB-02", "sampled", 300, independent_of_the_batch),
    Rule("EB-03", "sampled", 20, as_declared),
    Rule("EB-04", "sampled", 10, closes),
)
STATED: tuple[Stated, ...] = ()
