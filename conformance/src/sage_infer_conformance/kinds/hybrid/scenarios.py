"""How histories of a hybrid are drawn: what each model answers alone first, then all at once, then while models go."""

from __future__ import annotations

from ..suite import Choices, Play, Scenario
from .asks import Chat, EmbedTexts, Generate, Request, ServedType
from .model import HybridModel
from .steps import Ask, AskStatus, Calibrate, Create, HybridStep, Load, Unload, UnloadDuring, Wanted

PROMPTS = (
    "The sea was",
    "Seven stones in the rain",
    "A boat and a light",
    "Water",
    "Été: 海 and 世界",
    "The keeper of the light was on the boat",
)
TEXTS = (
    "",
    "the sea",
    "a light in the rain",
    "缓存",
    "seven stones",
    "naïve café",
    "one more text of some words",
)
LENGTHS = (4, 12, 24)
MANY = 12
"""How often all texts stand in a request that is to take a while."""
UNKNOWN = ("no-such-model", "LLM", "gpt", "llm", "embed-")


def load(play: Play, *wanted: Wanted) -> HybridStep:
    """Load models at once."""
    step: HybridStep = play.do(Load(models=wanted))
    return step


def names(play: Play, kind: ServedType | None = None) -> list[str]:
    """Return the loaded models."""
    return [loaded.name for loaded in play.model.loaded(kind)]


def prepare(play: Play, llms: int, embeddings: int, *, learning: int = 0) -> bool:
    """Make a hybrid, and load as many models as it has room for; False if no model is there then.

    With ``learning``, each model is first asked for generations of that length while no other is loaded, so that no
    other can have answered.
    """
    model: HybridModel = play.model
    if play.do(Create(llms=llms, embeddings=embeddings)).error is not None:
        return False
    if not model.manages:
        load(play, Wanted(name="llm-a", type="llm"))
        learn(play, learning or 4)
        return bool(names(play))
    wanted = [Wanted(name=f"llm-{'abc'[number]}", type="llm") for number in range(llms)]
    wanted += [Wanted(name=f"embed-{'abc'[number]}", type="embedding") for number in range(embeddings)]
    if learning:
        for one in wanted:
            load(play, one)
            learn(play, learning)
            play.do(Unload(model=one.name))
    for one in wanted:
        load(play, one)
    return bool(names(play))


def learn(play: Play, length: int) -> None:
    """Ask each loaded model alone for everything that is asked again later."""
    for name in names(play, "llm"):
        for prompt in PROMPTS:
            play.do(Ask(requests=(Generate(model=name, prompt=prompt, max_tokens=length),)))
        play.do(Ask(requests=(Chat(model=name, prompt=PROMPTS[0], max_tokens=8),)))
    for name in names(play, "embedding"):
        for text in TEXTS:
            play.do(Ask(requests=(EmbedTexts(model=name, texts=(text,)),)))


def request(choices: Choices, name: str | None, kind: ServedType, length: int) -> Request:
    """Draw a request to one model."""
    if kind == "embedding":
        at = choices.integer(0, len(TEXTS) - 1)
        count = choices.one_of((1, 2, 5, 12))
        return EmbedTexts(
            model=name, texts=tuple(TEXTS[(at + number) % len(TEXTS)] for number in range(count))
        )
    if choices.chance(15):
        return Chat(model=name, prompt=PROMPTS[0], max_tokens=8)
    return Generate(model=name, prompt=choices.one_of(PROMPTS), max_tokens=length)


def crowd(play: Play, length: int, low: int, high: int) -> tuple[Request, ...]:
    """Draw requests to all sorts of loaded models."""
    choices, loaded = play.choices, play.model.loaded()
    requests = []
    for _ in range(choices.integer(low, high)):
        chosen = choices.one_of(loaded)
        name = None if choices.chance(15) else chosen.name
        requests.append(request(choices, name, chosen.type, length))
    return tuple(requests)


def one_each(play: Play, length: int) -> tuple[Request, ...]:
    """Return a generation or an embedding for each loaded model: one prompt, the same texts in an order of its own.

    No two models are asked for the same batch, so an answer kept from another model's does not fit what was learned.
    """
    prompt = play.choices.one_of(PROMPTS)
    return tuple(
        EmbedTexts(model=loaded.name, texts=TEXTS[number % len(TEXTS) :] + TEXTS[: number % len(TEXTS)])
        if loaded.type == "embedding"
        else Generate(model=loaded.name, prompt=prompt, max_tokens=length)
        for number, loaded in enumerate(play.model.loaded())
    )


def special(play: Play, length: int) -> None:
    """Ask each language model with a stop string out of what it answers, and with several prompts at once."""
    model: HybridModel = play.model
    for name in names(play, "llm"):
        for prompt in PROMPTS[:3]:
            asked = Generate(model=name, prompt=prompt, max_tokens=length)
            alone = model.outputs.get((name, asked.kind, prompt, length))
            if alone is not None and len(alone.text) >= 6:
                stop = alone.text[len(alone.text) // 2 :][:3]
                play.do(Ask(requests=(asked.model_copy(update={"stop": stop}),)))
            others = tuple(other for other in PROMPTS if other != prompt)
            play.do(
                Ask(requests=(asked.model_copy(update={"beside": others[: play.choices.integer(1, 5)]}),))
            )


def strangers(play: Play) -> None:
    """Ask for models that are not there, and for models of the other type."""
    choices = play.choices
    name = choices.one_of(UNKNOWN)
    for asked in (
        Generate(model=name, prompt=PROMPTS[0], max_tokens=4),
        Chat(model=name, prompt=PROMPTS[0], max_tokens=4),
        EmbedTexts(model=name, texts=TEXTS[:2]),
    ):
        play.do(Ask(requests=(asked,)))
    play.do(AskStatus(model=name))
    play.do(Unload(model=name))
    for one in names(play, "llm")[:1]:
        play.do(Ask(requests=(EmbedTexts(model=one, texts=TEXTS[:2]),)))
    for one in names(play, "embedding")[:1]:
        play.do(Ask(requests=(Generate(model=one, prompt=PROMPTS[0], max_tokens=4),)))


def traffic(play: Play) -> None:
    """Ask several models of both types at once, and for models that are not there."""
    choices = play.choices
    length = choices.one_of(LENGTHS)
    if not prepare(play, 2, 2, learning=length):
        return
    strangers(play)
    for name in names(play, "llm"):
        play.do(Ask(requests=(Chat(model=name, prompt=PROMPTS[0], max_tokens=8),)))
    special(play, length)
    for _ in range(choices.integer(6, 10)):
        play.do(Ask(requests=(*one_each(play, length), *crowd(play, length, 1, 5))))
    for kind in ("llm", "embedding"):
        play.do(Ask(requests=(request(choices, None, kind, length),)))
    gone = choices.one_of(names(play))
    play.do(Unload(model=gone))
    play.do(AskStatus(model=gone))
    strangers(play)
    if names(play):
        play.do(Ask(requests=crowd(play, length, 2, 4)))


def budget(play: Play) -> None:
    """Load and unload around the edge of the budget, again and again."""
    choices = play.choices
    if not prepare(play, 1, 1):
        return
    play.do(Ask(requests=one_each(play, 4)))
    for name in names(play):
        play.do(Unload(model=name))
    play.do(Calibrate())
    for turn in range(choices.integer(6, 8)):
        kinds: list[ServedType] = ["llm", "embedding"]
        first = choices.one_of(kinds)
        load(play, Wanted(name=f"{first}-{turn}", type=first))
        load(play, Wanted(name=f"vast-{turn}", type=choices.one_of(kinds), percent=400))
        if turn % 2 == 0:
            # Each of them fits, and not all together. They are alike, so that as many are loaded whoever comes first.
            load(play, *(Wanted(name=f"{first}-{turn}-{place}", type=first) for place in range(4)))
        else:
            other = kinds[first == "llm"]
            load(play, Wanted(name=f"{other}-{turn}", type=other))
            load(play, Wanted(name=f"{choices.one_of(kinds)}-{turn}-more", type=first))
        if names(play):
            play.do(Ask(requests=one_each(play, 4)))
        for name in names(play):
            play.do(Unload(model=name))


def drain(play: Play) -> None:
    """Unload models while requests are on their way, and load them again."""
    choices = play.choices
    if not prepare(play, 2, 1, learning=24):
        return
    for turn in range(choices.integer(5, 7)):
        if not names(play):
            return
        # Both types go at least once.
        kinds: dict[int, ServedType] = {0: "embedding", 1: "llm"}
        going = choices.one_of(play.model.loaded(kinds.get(turn)) or play.model.loaded())
        step = _unload_during(play, going.name, going.type)
        if not names(play) or any(answer.pending for answer in step.answers):
            return
        play.do(Ask(requests=one_each(play, 24)))
        load(play, Wanted(name=going.name, type=going.type))
        play.do(Ask(requests=one_each(play, 24)))


def _unload_during(play: Play, going: str, kind: ServedType) -> HybridStep:
    choices = play.choices
    own = tuple(request(choices, going, kind, 24) for _ in range(choices.integer(2, 6)))
    if kind == "llm":
        own = (*own, Generate(model=going, prompt=choices.one_of(PROMPTS), max_tokens=24))
    else:
        own = (*own, *(EmbedTexts(model=going, texts=TEXTS * MANY) for _ in range(3)))
    begun = (*own, *crowd(play, 24, 1, 3))
    late = (request(choices, going, kind, 24), *one_each(play, 24))
    tokens = choices.one_of((0, 1, 3, 30)) if any(isinstance(one, Generate) for one in begun) else 0
    turns = choices.one_of((1, 2, 3, 5))
    during = UnloadDuring(model=going, requests=begun, late=late, after_tokens=tokens, turns=turns)
    step: HybridStep = play.do(during)
    return step


SCENARIOS = (
    Scenario("traffic", traffic, certify=2, develop=4),
    Scenario("drain", drain, certify=3, develop=4),
    Scenario("budget", budget, certify=2, develop=4),
)
