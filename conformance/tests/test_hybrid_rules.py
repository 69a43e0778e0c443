"""The rules of hybrids as pure functions, on steps made by hand."""

import pytest

from sage_infer_conformance.history.steps import Raised
from sage_infer_conformance.judging.rules import Check
from sage_infer_conformance.kinds.embedding.vectors import pack
from sage_infer_conformance.kinds.hybrid.asks import Answer, Chat, EmbedTexts, Generate
from sage_infer_conformance.kinds.hybrid.memory import MemoryWatch, resident_bytes
from sage_infer_conformance.kinds.hybrid.model import HybridModel
from sage_infer_conformance.kinds.hybrid.reference import take_memory
from sage_infer_conformance.kinds.hybrid.rules import RULES
from sage_infer_conformance.kinds.hybrid.steps import (
    About,
    Ask,
    AskStatus,
    Calibrate,
    Create,
    HybridStep,
    Load,
    Loaded,
    Memory,
    Seen,
    Unload,
    UnloadDuring,
    Wanted,
)  # fmt: skip
from sage_infer_contracts.capabilities import Capability

JUDGES = {rule.clause: rule.judge for rule in RULES}
MIB = 1024**2
TOTAL = 100 * MIB
SEEN = Seen(
    models=(
        Loaded(name="big", type="llm", budget_bytes=40 * MIB, state="ready", held_bytes=40 * MIB),
        Loaded(name="other", type="llm", budget_bytes=20 * MIB, state="ready", held_bytes=20 * MIB),
        Loaded(name="words", type="embedding", budget_bytes=20 * MIB, state="ready", held_bytes=20 * MIB),
    ),
    total_bytes=TOTAL,
    available_bytes=20 * MIB,
)
ASKED = Generate(model="big", prompt="p", max_tokens=3)
CHAT = Chat(model="big", prompt="p", max_tokens=3)
FULL = Answer(tokens=(1, 2, 3), text="abc", finish="length", usage=3, accepted=True)
OTHER = Answer(tokens=(7, 8, 9), text="xyz", finish="length", usage=3, accepted=True)
EMBED = EmbedTexts(model="words", texts=("a",))
VECTOR = Answer(vectors=(pack((1.0, 0.0)),))
GONE = Raised(type="BackendUnavailable", code="backend_unavailable", message="closed")
NO_ROOM = Raised(
    type="CapacityExceeded", code="capacity_exceeded", message="needs 30 MiB, 20 of 100 MiB are free"
)
UNKNOWN = Raised(type="InvalidRequest", code="invalid_request", message="there are big, other and words")


def asked(request: object, answer: Answer) -> HybridStep:
    return HybridStep(command=Ask(requests=(request,)), answers=(answer,), seen=SEEN)  # type: ignore[arg-type]


def ready(capabilities: tuple[str, ...] = (Capability.HYBRID_MODEL_LIFECYCLE,)) -> HybridModel:
    model = HybridModel()
    about = About(llm_bytes=40 * MIB, embedding_bytes=20 * MIB)
    for step in (
        HybridStep(command=Create(llms=2, embeddings=1), about=about, capabilities=capabilities, seen=SEEN),
        HybridStep(command=Calibrate(), memory=Memory(before=MIB, peak=MIB, after=MIB), seen=SEEN),
        asked(ASKED, FULL),
        asked(ASKED.model_copy(update={"model": "other"}), OTHER),
        asked(EMBED, VECTOR),
    ):
        model.apply(step)
    return model


def faults(clause: str, model: HybridModel, step: HybridStep) -> list[str]:
    found: list[Check] = list(JUDGES[clause](model, step))
    return [check.says for check in found if check.says is not None]


@pytest.mark.parametrize(
    ("request_", "answer", "fine"),
    [
        (ASKED, FULL, True),
        (ASKED, OTHER, False),
        (ASKED, FULL.model_copy(update={"tokens": (1, 2), "usage": 2}), False),
        (ASKED, FULL.model_copy(update={"finish": "cancelled"}), False),
        (ASKED, FULL.model_copy(update={"usage": 4}), False),
        (ASKED, Answer(error=GONE), False),
        (ASKED, Answer(tokens=(1,), pending=True), False),
        (ASKED.model_copy(update={"model": None}), OTHER, True),
        (
            Chat(model="big", prompt="p", max_tokens=3),
            Answer(text="t", finish="eos", usage=2, served_by="big"),
            True,
        ),
        (
            Chat(model="big", prompt="p", max_tokens=3),
            Answer(text="t", finish="eos", usage=2, served_by="other"),
            False,
        ),
        (EMBED, VECTOR, True),
        (EMBED, Answer(vectors=(pack((0.0, 1.0)),)), False),
        (EMBED, Answer(vectors=()), False),
    ],
)
def test_each_model_keeps_to_its_contract(request_: object, answer: Answer, fine: bool) -> None:
    assert (faults("HB-01", ready(), asked(request_, answer)) == []) is fine


def test_memory_stays_within_the_budget() -> None:
    for peak, fine in ((TOTAL, True), (TOTAL + 6 * MIB, True), (TOTAL + 20 * MIB, False)):
        memory = Memory(before=MIB, peak=peak + MIB, after=MIB)
        step = asked(ASKED, FULL).model_copy(update={"memory": memory})
        assert (faults("HB-02", ready(), step) == []) is fine


def test_a_load_is_refused_with_figures_and_before_work() -> None:
    def load(error: Raised | None, peak: int = 0) -> HybridStep:
        memory = Memory(before=80 * MIB, peak=(80 + peak) * MIB, after=80 * MIB)
        wanted = Wanted(name="vast", type="llm", percent=400)
        return HybridStep(
            command=Load(models=(wanted,)), errors=(error,), error=error, seen=SEEN, memory=memory
        )

    vague = NO_ROOM.model_copy(update={"message": "out of memory"})
    assert faults("HB-02", ready(), load(NO_ROOM)) == []
    assert faults("HB-02", ready(), load(vague))
    assert faults("HB-02", ready(), load(UNKNOWN))
    assert faults("HB-02", ready(), load(NO_ROOM, peak=16))
    assert faults("HB-02", ready(), load(None))  # it says that it was loaded, and does not list it


@pytest.mark.parametrize(
    "change",
    [
        {"available_bytes": 90 * MIB},
        {"available_bytes": -1},
        {"models": (*SEEN.models, SEEN.models[0])},
        {"models": (SEEN.models[0].model_copy(update={"held_bytes": None}),)},
        {"models": (SEEN.models[0].model_copy(update={"budget_bytes": 2 * TOTAL}),)},
    ],
    ids=["free-twice", "negative", "listed-twice", "untold", "overcommitted"],
)
def test_what_is_said_of_memory_adds_up(change: dict[str, object]) -> None:
    step = HybridStep(command=Create(llms=1, embeddings=1), seen=SEEN.model_copy(update=change))
    assert faults("HB-02", HybridModel(), step)
    assert faults("HB-02", HybridModel(), step.model_copy(update={"seen": SEEN})) == []


@pytest.mark.parametrize(
    ("answer", "fine"),
    [
        (FULL, True),
        (Answer(error=GONE), True),
        (Answer(tokens=(1,), error=GONE, accepted=True), False),
        (FULL.model_copy(update={"finish": "cancelled"}), False),
        (FULL.model_copy(update={"tokens": (), "usage": 0}), False),
        (OTHER, False),
        (Answer(pending=True), False),
        (Answer(error=Raised(type="KeyError")), False),
    ],
)
def test_no_request_is_lost_to_an_unload(answer: Answer, fine: bool) -> None:
    left = SEEN.model_copy(update={"models": SEEN.models[1:]})
    command = UnloadDuring(model="big", requests=(ASKED,), late=(EMBED,))
    step = HybridStep(command=command, answers=(answer, VECTOR), seen=left)
    assert (faults("HB-03", ready(), step) == []) is fine
    others = step.model_copy(update={"answers": (FULL, Answer(error=GONE))})
    assert faults("HB-03", ready(), others)  # the embedding model was not to go
    busy = step.model_copy(update={"error": NO_ROOM, "seen": SEEN, "answers": (FULL, VECTOR)})
    assert faults("HB-03", ready(), busy) == []
    assert faults("HB-03", ready(), busy.model_copy(update={"seen": left}))


def test_unknown_models_are_refused_by_naming_those_there_are() -> None:
    nobody = Generate(model="nobody", prompt="p", max_tokens=3)
    vague = UNKNOWN.model_copy(update={"message": "no such model"})
    for step in (
        asked(nobody, Answer(error=UNKNOWN)),
        HybridStep(command=AskStatus(model="nobody"), error=UNKNOWN, seen=SEEN),
        HybridStep(command=Unload(model="nobody"), error=UNKNOWN, seen=SEEN),
    ):
        assert faults("HB-04", ready(), step) == []
    for step in (
        asked(nobody, FULL),
        asked(nobody, Answer(error=vague)),
        asked(nobody, Answer(error=GONE)),
        HybridStep(command=AskStatus(model="nobody"), state="unloaded", seen=SEEN),
        HybridStep(command=Unload(model="nobody"), seen=SEEN),
    ):
        assert faults("HB-04", ready(), step)


def test_memory_that_is_held_for_a_moment_is_seen() -> None:
    with MemoryWatch() as watch:
        take_memory(32 * MIB).close()
    found = watch.memory
    assert found.peak - found.before > 24 * MIB
    assert found.after - found.before < 8 * MIB
    assert resident_bytes() > 0
