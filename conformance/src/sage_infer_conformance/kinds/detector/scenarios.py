"""How machines are drawn: whole first, then with sources taken away, so that damage can be compared with both."""

from __future__ import annotations

from sage_infer_contracts.probe import CommandResult, PciDevice

from ..suite import Choices, Play, Scenario
from .damage import asked_sources, draw_damage, draw_failure, draw_loss, draw_swelling, text_sources
from .edits import AnyEdit, Beside, Gone, Nameless, Numbers, Relabel, Remove, Unheard, Variable
from .hosts import draw_host, draw_machine
from .model import DetectorModel
from .shown import Shown, Source
from .steps import Again, Detect, Load, Make
from .strangers import draw_strangers, draw_vendor

_BLANKS = ("N/A", "[N/A]", "-", "ERR!", "")
_ODD_LISTS = ("", "-1", "99", "0,0", "none", "all", " ", ",", "NoDevFiles", "0-3", "9" * 400, "0,x", "1,0")


def _begin(play: Play, ordinal: int | None = None) -> DetectorModel:
    """Take up one of the author's machines, or an ordinary host where he has none, and look at it."""
    choices = play.choices
    play.do(Load(ordinal=choices.integer(0, 255) if ordinal is None else ordinal))
    model: DetectorModel = play.model
    if model.loaded is None:
        recording = Shown().recording.model_copy(update={"files": draw_host(choices)})
        play.do(Make(name="a host", shown=Shown(recording=recording)))
    play.do(Detect())
    return model


def _spare(model: DetectorModel) -> tuple[str, ...]:
    """Return names and UUIDs: words in which no number is a figure."""
    return tuple(sorted({*model.known.names, *(one.ids.uuid or "" for one in model.known.devices)} - {""}))


def _without(play: Play, sources: list[Source], always: tuple[AnyEdit, ...] = ()) -> None:
    """Look at the machine without these sources, so that it is known what the rest tells."""
    ways: list[tuple[AnyEdit, ...]] = [(Gone(source=source),) for source in sources]
    ways += [(Unheard(source=source),) for source in sources]
    ways.append(tuple(Gone(source=source) for source in sources))
    commands = [source for source in sources if source.startswith("command:")]
    ways.append(tuple(draw_failure(play.choices, source) for source in commands))
    for edits in filter(None, ways):
        play.do(Detect(edits=(*always, *edits)))


def every_machine(play: Play) -> None:
    """Every machine of the author's, whole, and with each source taken away."""
    model = _begin(play, 0)
    number = model.facts.machines if model.facts is not None else 0
    for ordinal in range(max(1, number)):
        if ordinal:
            _begin(play, ordinal)
        _without(play, asked_sources(model)[:12])
        play.do(Detect())


def damaged(play: Play) -> None:
    """One or two sources damaged, in several ways."""
    choices = play.choices
    model = _begin(play)
    sources = text_sources(model)
    if not sources:
        return
    chosen = sorted({choices.one_of(sources) for _ in range(choices.integer(1, 2))})
    alone = _alone(play, model, chosen)
    _without(play, chosen, alone)
    names = tuple(sorted(model.known.names - {""}))
    if names:
        play.do(Detect(edits=(*alone, Nameless(names=names, by=choices.one_of(_BLANKS)))))
    for _ in range(choices.integer(4, 10)):
        edits = [draw_damage(choices, model.shown, source, _spare(model)) for source in chosen]
        play.do(Detect(edits=(*alone, *edits[: choices.integer(1, len(edits))])))


def _alone(play: Play, model: DetectorModel, chosen: list[Source]) -> tuple[AnyEdit, ...]:
    """Now and then leave the detector with nothing but the chosen sources: fallbacks hide what is misread."""
    rest = [source for source in asked_sources(model) if source not in chosen]
    if not rest or not play.choices.chance(30):
        return ()
    alone = tuple(Gone(source=source) for source in rest)
    play.do(Detect(edits=alone))
    return alone


def taken_away(play: Play) -> None:
    """Tools that fail, hang, are missing or were not recorded; one, some, or all of them."""
    choices = play.choices
    ordinal = choices.integer(0, 255)
    model = _begin(play, ordinal)
    sources = asked_sources(model)
    commands = [source for source in sources if source.startswith("command:")]
    everything: list[AnyEdit] = [draw_failure(choices, source) for source in commands]
    everything += [Gone(source=source) for source in sources if source not in commands]
    play.do(Detect(edits=tuple(everything)))
    for _ in range(4 if sources else 0):
        edits: list[AnyEdit] = [draw_loss(choices, source) for source in sources if choices.chance(60)]
        if choices.chance(40):
            edits = [draw_failure(choices, source) for source in commands]
        if choices.chance(15):
            edits.append(Unheard(source="pci"))
        play.do(Detect(edits=tuple(edits)))
    printing = [source for source in commands if model.shown.texts().get(source)]
    for _ in range(2 if printing else 0):
        play.do(Detect(edits=(draw_failure(choices, choices.one_of(printing), partly=True),)))
    if model.loaded is not None:
        _begin(play, ordinal + 1)
        play.do(Load(ordinal=ordinal))
        play.do(Detect(edits=tuple(everything)))


def strangers(play: Play) -> None:
    """Others' devices beside its own, and in place of its own."""
    choices = play.choices
    model = _begin(play)
    own, told = model.vendors, bool(model.facts is not None and model.facts.pci_vendors)
    classes = model.facts.pci_classes if model.facts is not None else ()
    for _ in range(3):
        beside = Beside(devices=draw_strangers(choices, own, told=told, classes=classes))
        play.do(Detect(edits=(beside,)))
        if own and model.shown.pci():
            vendor = draw_vendor(choices, own, told=told)
            relabel = Relabel(owners=tuple(sorted(own)), vendor=vendor)
            play.do(Detect(edits=(relabel, beside) if choices.chance(50) else (relabel,)))


def bare_machines(play: Play) -> None:
    """Machines without anything that its tools print: empty, unknown, and with tools that fail, hang or babble."""
    choices = play.choices
    model = _begin(play)
    cards = tuple(model.own_devices(model.shown))
    own = frozenset(model.facts.pci_vendors) if model.facts is not None else frozenset()
    classes = model.facts.pci_classes if model.facts is not None else ()
    if own and not cards:
        vendor, code = choices.one_of(sorted(own)), (classes or ("12",))[0].ljust(6, "0")
        cards = (PciDevice(bdf="0000:3b:00.0", vendor=vendor, device="0001", device_class=code),)
    for _ in range(3):
        name, shown = draw_machine(choices)
        if choices.chance(60):
            others = draw_strangers(choices, own, told=bool(own), classes=classes)
            shown = shown.with_pci(others if choices.chance(80) else ())
        elif own and choices.chance(50):
            name, shown = f"{name}, with a card of its own", shown.with_pci(cards)
        play.do(Make(name=name, shown=shown))
        play.do(Detect())


def devices(play: Play) -> None:
    """Devices taken out, and devices hidden by the variables that the vendor's runtime heeds."""
    choices = play.choices
    model = _begin(play)
    found = (
        model.whole.report.accelerators if model.whole is not None and model.whole.report is not None else ()
    )
    for _ in range(2 if len(found) > 1 else 0):
        out = choices.one_of(found)
        tokens = tuple(word for word in (out.ids.uuid, out.ids.bdf) if word)
        alone = sum(one.ids.bdf == out.ids.bdf for one in found) == 1
        if tokens:
            lost = Remove(tokens=tokens if alone else tokens[:1], bdf=out.ids.bdf if alone else None)
            play.do(Detect(edits=(lost,)))
    variables = model.facts.visible_variables if model.facts is not None else ()
    if not variables or not found:
        return
    unset = tuple(Variable(name=name, value=None) for name in variables)
    play.do(Detect(edits=unset))
    for _ in range(4):
        name = choices.one_of(variables)
        others = tuple(one for one in unset if one.name != name)
        play.do(Detect(edits=(*others, Variable(name=name, value=_draw_visible(choices, model)))))


def _draw_visible(choices: Choices, model: DetectorModel) -> str:
    report = model.unrestricted
    count = len(report.accelerators) if report is not None else 1
    if choices.chance(20):
        return str(choices.one_of(_ODD_LISTS))
    numbers = [number for number in range(count) if choices.chance(50)] or [
        choices.integer(0, max(0, count - 1))
    ]
    if report is not None and model.facts is not None and model.facts.visible_uuids and choices.chance(30):
        uuids = [one.ids.uuid for one in report.accelerators]
        return ",".join(uuids[number] or "" for number in numbers)
    return ",".join(map(str, numbers))


def figures(play: Play) -> None:
    """Numbers that are blanked or changed everywhere: what is still reported was not read."""
    choices = play.choices
    model = _begin(play)
    spare = _spare(model)
    for by in (None, *(choices.one_of(_BLANKS) for _ in range(2))):
        numbers = Numbers(by=by, spare=spare)
        play.do(Detect(edits=(numbers,)))
        lost: list[AnyEdit] = [
            draw_loss(choices, source) for source in asked_sources(model) if choices.chance(40)
        ]
        play.do(Detect(edits=(*lost, numbers)))


def slow(play: Play) -> None:
    """Commands that take their time, and output that is very large."""
    choices = play.choices
    model = _begin(play)
    for seconds in (0.5, 4.0, 1000.0):
        play.do(Detect(seconds_per_command=seconds))
    for source in text_sources(model)[:3]:
        if not source.startswith("library:"):
            play.do(Detect(edits=(draw_swelling(choices, source, (256, 1024, 2048)),)))
    failing = tuple(draw_failure(choices, s) for s in asked_sources(model) if s.startswith("command:"))
    play.do(Detect(edits=failing, seconds_per_command=choices.one_of([2.0, 60.0])))
    hanging = Shown(any_command=CommandResult(timed_out=True))
    play.do(Make(name="nothing, and every tool hangs", shown=hanging))
    play.do(Detect(seconds_per_command=60.0))


def elsewhere(play: Play) -> None:
    """Many machines, then all of them again in another process."""
    choices = play.choices
    for _ in range(3):
        model = _begin(play)
        sources = text_sources(model)
        for _ in range(6 if sources else 0):
            source = choices.one_of(sources)
            play.do(Detect(edits=(draw_damage(choices, model.shown, source, _spare(model)),)))
        play.do(Detect())
    for _ in range(3):
        name, shown = draw_machine(choices)
        play.do(Make(name=name, shown=shown))
        play.do(Detect())
    play.do(Again(hash_seed=choices.integer(1, 1000)))


SCENARIOS = (
    Scenario("every_machine", every_machine, certify=1, develop=1),
    Scenario("bare_machines", bare_machines, certify=40, develop=40),
    Scenario("strangers", strangers, certify=30, develop=30),
    Scenario("devices", devices, certify=30, develop=30),
    Scenario("figures", figures, certify=20, develop=20),
    Scenario("slow", slow, certify=8, develop=8),
    Scenario("elsewhere", elsewhere, certify=6, develop=3),
    Scenario("taken_away", taken_away, certify=40, develop=40),
    Scenario("damaged", damaged, certify=140, develop=150),
)
