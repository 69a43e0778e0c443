"""The rules of embedding backends as pure functions, on steps made by hand."""

import math

import pytest

from sage_infer_conformance.history.steps import Raised
from sage_infer_conformance.judging.rules import Check
from sage_infer_conformance.kinds.embedding.model import EmbeddingModel
from sage_infer_conformance.kinds.embedding.rules import RULES
from sage_infer_conformance.kinds.embedding.steps import (
    About,
    Call,
    Close,
    CloseDuring,
    Count,
    Create,
    Embed,
    EmbeddingStep,
    Outcome,
    Start,
    Together,
)  # fmt: skip
from sage_infer_conformance.kinds.embedding.vectors import distance, pack, unpack
from sage_infer_contracts.capabilities import Capability

JUDGES = {rule.clause: rule.judge for rule in RULES}
A, B = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)
REFUSED = Raised(type="InvalidRequest", code="invalid_request", message="6 tokens; a text may have 5")
GONE = Raised(type="BackendUnavailable", code="backend_unavailable", message="closed")


def outcome(*vectors: tuple[float, ...]) -> Outcome:
    return Outcome(vectors=tuple(pack(vector) for vector in vectors))


def embedded(*texts: str, gives: Outcome) -> EmbeddingStep:
    return EmbeddingStep(command=Embed(call=Call(texts=texts)), outcomes=(gives,))


def ready(*, truncates: bool = True) -> EmbeddingModel:
    """A started backend of 5 tokens, one before and one after the words; ``a`` and ``b`` are known alone."""
    model = EmbeddingModel()
    about = About(dimension=4, max_tokens=5, precisions=("fp32",), health="ready")
    capabilities = (Capability.EMBEDDING_TRUNCATES,) if truncates else ()
    counts = {"": 2, "a": 3, "b": 3, "a a": 4, "b b": 4, "a a a": 5, "a a b": 5}
    for step in (
        EmbeddingStep(command=Create()),
        EmbeddingStep(command=Start(), about=about, capabilities=capabilities),
        EmbeddingStep(command=Count(texts=tuple(counts)), counts=tuple(counts.values())),
        embedded("a", gives=outcome(A)),
        embedded("b", gives=outcome(B)),
    ):
        model.apply(step)
    return model


def faults(clause: str, model: EmbeddingModel, step: EmbeddingStep) -> list[str]:
    found: list[Check] = list(JUDGES[clause](model, step))
    return [check.says for check in found if check.says is not None]


def test_sizes_are_known_from_counts() -> None:
    model = ready()
    sizes = {text: model.size(text) for text in ("", "a a", "a a a", "a a a b", "unseen", "1 2 3 4 5 6")}
    assert sizes == {
        "": "within", "a a": "within", "a a a": "exact", "a a a b": "over", "unseen": None, "1 2 3 4 5 6": "over"
    }  # fmt: skip
    assert model.siblings("a a a") == ["a a b"]
    assert model.cut("a a a b") == "a a a"


@pytest.mark.parametrize(
    "gives",
    [
        outcome(A),
        outcome(B, A),
        outcome(A, (0.0, math.nan, 0.0, 0.0)),
        outcome(A, (1.0, 2.0)),
        Outcome(malformed="None is given where a list of vectors is due"),
        Outcome(error=REFUSED),
        Outcome(error=Raised(type="CapacityExceeded", code="capacity_exceeded")),
        Outcome(pending=True),
    ],
    ids=["fewer", "swapped", "nan", "short", "none", "refused", "no-room-alone", "no-end"],
)
def test_one_good_vector_each_in_order(gives: Outcome) -> None:
    assert faults("EB-01", ready(), embedded("a", "b", gives=gives))
    assert faults("EB-01", ready(), embedded("a", "b", gives=outcome(A, B))) == []


def test_no_texts_give_no_vectors() -> None:
    assert faults("EB-01", ready(), embedded(gives=outcome())) == []
    assert faults("EB-01", ready(), embedded(gives=Outcome(error=REFUSED)))


def test_a_call_beside_others_may_find_no_room() -> None:
    full = Outcome(error=Raised(type="CapacityExceeded", code="capacity_exceeded"))
    calls = (Call(texts=("a",)), Call(texts=("b",)))
    step = EmbeddingStep(command=Together(calls=calls), outcomes=(outcome(A), full))
    assert not any(faults(clause, ready(), step) for clause in JUDGES)


def test_a_vector_is_that_of_the_text_alone() -> None:
    near = (1.0, 1e-5, 0.0, 0.0)
    off = (1.0, 1e-3, 0.0, 0.0)
    assert faults("EB-02", ready(), embedded("a", "b", gives=outcome(near, B))) == []
    assert faults("EB-02", ready(), embedded("a", "b", gives=outcome(off, B)))
    changed = embedded("a", gives=outcome(A)).model_copy(update={"overwritten": 1})
    assert faults("EB-02", ready(), changed)


def test_over_long_text_is_its_beginning_where_truncation_is_declared() -> None:
    model = ready()
    model.apply(embedded("a a a", gives=outcome(A)))
    assert faults("EB-03", model, embedded("a a a b", gives=outcome(A))) == []
    assert faults("EB-03", model, embedded("a a a b", gives=outcome(B)))
    assert faults("EB-03", model, embedded("a a a b", gives=Outcome(error=REFUSED)))
    assert faults("EB-03", model, embedded("a a b", gives=outcome(A)))  # the last token does not count
    assert faults("EB-03", model, EmbeddingStep(command=Count(texts=("a a a b",)), counts=(4,)))


def test_over_long_text_is_refused_by_name_where_truncation_is_not_declared() -> None:
    model = ready(truncates=False)
    unnamed = Raised(type="InvalidRequest", code="invalid_request", message="bad input")
    assert faults("EB-03", model, embedded("a", "a a a b", gives=Outcome(error=REFUSED))) == []
    assert faults("EB-03", model, embedded("a", "a a a b", gives=outcome(A, A)))
    assert faults("EB-03", model, embedded("a", "a a a b", gives=outcome(A)))
    assert faults("EB-03", model, embedded("a a a b", gives=Outcome(error=unnamed)))
    assert faults("EB-03", model, embedded("a a a", gives=Outcome(error=REFUSED)))


def test_the_end_of_a_backend_is_told_to_everybody() -> None:
    calls = (Call(texts=("a", "b")),)
    for gives, fine in (
        (outcome(A, B), True), (Outcome(error=GONE), True), (outcome(A), False), (Outcome(pending=True), False),
        (Outcome(error=Raised(type="CancelledError")), False),
    ):  # fmt: skip
        step = EmbeddingStep(command=CloseDuring(calls=calls), outcomes=(gives,))
        assert (faults("EB-04", ready(), step) == []) is fine
    assert faults("EB-04", ready(), EmbeddingStep(command=Close(), error=GONE))
    assert faults("EB-04", ready(), EmbeddingStep(command=Close(), health="ready"))
    model = ready()
    model.apply(EmbeddingStep(command=Close(), health="closed"))
    assert faults("EB-04", model, embedded("a", gives=outcome(A)))
    assert faults("EB-04", model, embedded("a", gives=Outcome(error=GONE))) == []
    assert faults("EB-04", model, EmbeddingStep(command=Start(), error=GONE))


def test_vectors_are_recorded_exactly() -> None:
    for vector in ((0.5, -1.25), (0.1, 1e300, 1e-300), (), (math.inf, -0.0)):
        assert unpack(pack(vector)) == vector
    assert math.isnan(unpack(pack([math.nan]))[0])
    assert distance((0.0,), (0.0,)) == 0.0
    assert distance((1.0,), (1.0, 2.0)) == math.inf
    for wrong in ("text", 1.0, [None], [True], ["1"], {1.0}):
        with pytest.raises(TypeError):
            pack(wrong)
