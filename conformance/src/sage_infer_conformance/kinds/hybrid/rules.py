"""HB-01 to HB-04, each a pure function of the model and a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sage_infer_contracts.errors import InvalidRequest, Unsupported

from ...history.steps import Raised
from ...judging.rules import REFUSED, Check, Rule, Stated, broken, check
from ..embedding.vectors import distance, unpack
from .answers import flaw, judged, other_than, same
from .asks import Answer, EmbedTexts, Request
from .budget import consistent, managed, never_exceeded
from .model import HybridModel
from .steps import Ask, AskStatus, HybridStep, Unload, UnloadDuring


def _answered(step: HybridStep) -> Iterator[tuple[Request, Answer]]:
    yield from zip(step.requests, step.answers, strict=False)


def both_contracts(model: HybridModel, step: HybridStep) -> Iterable[Check]:
    """HB-01: what a model answers is what its own contract asks for, whatever runs beside it."""
    if isinstance(step.command, Ask):
        for request, answer in _answered(step):
            if model.candidates(request):
                yield from judged(model, request, answer, alone=len(step.answers) == 1)


def within_budget(model: HybridModel, step: HybridStep) -> Iterable[Check]:
    """HB-02."""
    yield from never_exceeded(model, step)
    yield from managed(model, step)
    if step.seen is not None and step.command.op in ("load", "unload", "create", "unload_during"):
        yield from consistent(step.seen)


def never_lost(model: HybridModel, step: HybridStep) -> Iterable[Check]:
    """HB-03."""
    command = step.command
    if not isinstance(command, UnloadDuring):
        return
    if not model.manages:
        refused = step.error is not None and step.error.code == Unsupported.code
        yield REFUSED if refused else broken(f"hybrid.model_lifecycle is not declared, and: {step.story()}")
        return
    for request, answer in _answered(step):
        names = model.candidates(request)
        lost = _loss(model, request, answer)
        # Only the model that goes may turn a request away, and only before it began.
        going = command.model in names or not names
        excused = going and answer.error is not None and answer.error.code is not None and not answer.tokens
        yield check(lost is None or excused, f"unloading {command.model}: {lost}")
    listed = (
        {loaded.name for loaded in step.seen.models if loaded.state != "draining"}
        if step.seen is not None
        else set()
    )
    stayed = command.model in listed
    says = f"unload raises {step.error}, and {command.model} is not listed any more"
    yield check(step.error is None or (step.error.code is not None and stayed), says)
    yield check(step.error is not None or not stayed, f"{command.model} is listed after its unload")


def _loss(model: HybridModel, request: Request, answer: Answer) -> str | None:
    """Say how a request was lost; None for a full answer."""
    if isinstance(request, EmbedTexts):
        if answer.vectors is None or len(answer.vectors) != len(request.texts):
            return f"{request.story()} {answer}"
        return _other_vector(model, request, answer.vectors)
    says = flaw(request, answer)
    if says is not None or request.model is None or model.about is None or not model.about.exact:
        return says
    alone = model.outputs.get((request.model, request.kind, request.prompt, request.max_tokens))
    if alone is None or same(answer, alone):
        return None
    return f"{request.story()} {other_than(model, request.model, request, answer)}"


def _other_vector(model: HybridModel, request: EmbedTexts, vectors: tuple[str, ...]) -> str | None:
    known = model.embedders.get(request.model or "")
    if known is None:
        return None
    for text, packed in zip(request.texts, vectors, strict=True):
        if text in known.alone and distance(unpack(packed), known.alone[text]) > known.tolerance:
            return f"{request.story()} gives another vector of {text!r} than when nothing else runs"
    return None


def unknown_refused(model: HybridModel, step: HybridStep) -> Iterable[Check]:
    """HB-04."""
    command = step.command
    if isinstance(command, Ask):
        for request, answer in _answered(step):
            if request.model is not None and not model.candidates(request):
                known = (
                    request.model in {loaded.name for loaded in model.loaded()} or request.model in model.gone
                )
                if answer.error is None and not known:
                    yield broken(f"there is no such model, and {request.story()} {answer}")
                elif answer.error is not None:
                    yield from _names(model, answer.error, request.model, request.needs, strictly=not known)
    elif isinstance(command, (AskStatus, Unload)) and command.model not in {
        one.name for one in model.loaded()
    }:
        if isinstance(command, Unload) and not model.manages:
            return
        if command.model not in model.gone:
            yield check(step.error is not None, f"there is no such model, and {step.story()}")
        if step.error is not None:
            yield from _names(
                model, step.error, command.model, None, strictly=command.model not in model.gone
            )


def _names(
    model: HybridModel, error: Raised, asked: str, needs: str | None, *, strictly: bool
) -> Iterator[Check]:
    """Judge a refusal. A model of another type, or one that is gone, may be refused in another way."""
    if error.code != InvalidRequest.code:
        yield check(error.code is not None and not strictly, f"{asked} is not there, which raises {error}")
        return
    missing = [one.name for one in model.loaded(needs) if one.name not in error.message]
    yield check(
        not missing, f"the refusal of {asked!r} does not name {', '.join(missing)}: {error.message!r}"
    )


RULES = (
    Rule("HB-01", "sampled", 200, both_contracts),
    Rule("HB-02", "sampled", 150, within_budget),
    Rule("HB-03", "sampled", 40, never_lost),
    Rule("HB-04", "sampled", 15, unknown_refused),
)
STATED: tuple[Stated, ...] = ()
