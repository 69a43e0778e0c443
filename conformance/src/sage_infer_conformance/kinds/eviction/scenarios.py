"""How histories of a policy are drawn: state first, then questions whose answers can be wrong."""

from __future__ import annotations

from ..suite import Choices, Play, Scenario
from .model import EvictionModel
from .steps import Admit, Create, Discard, MeasureCost, MeasureState, Pin, Replay, Touch, Unpin, Victims

_EVENTS = {
    "admit": 30,
    "touch": 18,
    "stranger": 2,
    "pin": 14,
    "unpin": 10,
    "discard": 10,
    "victims": 18,
    "evict": 8,
}


class Life:
    """The life of one policy, drawn event by event."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._choices: Choices = play.choices
        self._model: EvictionModel = play.model
        self._fresh = 0
        self._left_pinned: list[str] = []

    def run(self, low: int, high: int) -> None:
        """Fill a policy, then draw ``low`` to ``high`` events, and ask at the end."""
        if self._play.do(Create(capacity_blocks=self._choices.integer(2, 24))).error is not None:
            return  # a policy that cannot be made here says so; the rest would be the kit's own mistake
        for _ in range(self._choices.integer(2, 12)):
            self._admit()
        for _ in range(self._choices.integer(low, high)):
            self._event(self._choices.weighted(_EVENTS))
        self._ask()

    def _event(self, event: str) -> None:
        model, choices, do = self._model, self._choices, self._play.do
        if event == "admit" or not model.blocks:
            self._admit()
        elif event == "touch":
            do(Touch(key=choices.one_of(list(model.blocks))))
        elif event == "stranger":
            do(Touch(key=choices.one_of(sorted(model.left) or ["never seen"])))
        elif event in ("pin", "unpin"):
            self._pin(event)
        elif event == "discard":
            do(Discard(key=self._leaving()))
        elif event == "evict":
            self._evict(choices.integer(1, 3))
        else:
            self._ask()

    def _pin(self, event: str) -> None:
        """Pin any block, rather a leaf, now and then one that is pinned already; undo a pin of one that is."""
        pinned = [key for key, block in self._model.blocks.items() if block.pins]
        if event == "unpin":
            if pinned:
                self._play.do(Unpin(key=self._choices.one_of(pinned)))
            return
        whose = self._choices.weighted({"any": 40, "leaf": 35, "pinned": 25})
        among = {"any": list(self._model.blocks), "leaf": self._model.leaves(), "pinned": pinned}[whose]
        self._play.do(Pin(key=self._choices.one_of(among or list(self._model.blocks))))

    def _admit(self) -> None:
        model = self._model
        if len(model.blocks) >= model.capacity:
            self._evict(1)
        if len(model.blocks) >= model.capacity:
            return
        key = self._key()
        parent = self._parent()
        depth = model.blocks[parent].depth + 1 if parent in model.blocks else int(parent is not None)
        admit = Admit(key=key, parent=parent, depth=depth)
        self._play.do(admit.model_copy(update=_hints(self._choices)))

    def _key(self) -> str:
        """Name a block that comes back, rather one that was pinned when it left, or a new one."""
        gone = sorted(self._model.left)
        lost = [key for key in self._left_pinned if key in self._model.left]
        if lost and self._choices.chance(50):
            return str(self._choices.one_of(lost))
        if gone and self._choices.chance(35):
            return str(self._choices.one_of(gone))
        self._fresh += 1
        return f"b{self._fresh}"

    def _parent(self) -> str | None:
        """Name a resident block, now and then one that lives in another tier, or none."""
        blocks = self._model.blocks
        if blocks and self._choices.chance(60):
            return str(self._choices.one_of(list(blocks)))
        return "elsewhere" if self._choices.chance(5) else None

    def _leaving(self) -> str:
        """Name a leaf that leaves without being asked to, as when its memory fails; pinned ones leave, too."""
        leaves = self._model.leaves()
        pinned = [key for key in leaves if self._model.blocks[key].pins]
        if pinned and self._choices.chance(60):
            self._left_pinned.append(str(self._choices.one_of(pinned)))
            return self._left_pinned[-1]
        return str(self._choices.one_of(leaves))

    def _evict(self, count: int) -> None:
        """Do what a full tier does: ask, and discard what was named, children first."""
        answer = self._play.do(Victims(count=count)).victims
        blocks = self._model.blocks
        keys = (
            {} if answer is None else {key: blocks[key].depth for key in answer.keys or () if key in blocks}
        )
        for key in sorted(keys, key=lambda name: -keys[name]):
            self._play.do(Discard(key=key))

    def _ask(self) -> None:
        """Ask for a number near the edges: one, all that may go, one more than that."""
        free = len(self._model.evictable())
        edges = [1, max(1, free // 2), max(1, free), max(1, free), free + 1]
        self._play.do(Victims(count=self._choices.one_of(edges)))


def _hints(choices: Choices) -> dict[str, object]:
    """Draw metadata; a policy may use any of it, and most of it is unknown most of the time."""
    if not choices.chance(30):
        return {}
    return {
        "size_bytes": 4096 * choices.integer(1, 4),
        "tenant": choices.one_of(["", "a", "b"]),
        "priority": choices.integer(0, 3),
        "recompute_cost_ms": choices.one_of([None, 0.5, 8.0]),
        "deadline_slack_ms": choices.one_of([None, 1.0, 250.0]),
    }


def wander(play: Play) -> None:
    """Any sequence of events on a small policy."""
    Life(play).run(10, 60)


def repeat(play: Play) -> None:
    """Several policies, then the same again elsewhere: once with everything, once without the vain questions.

    Each repetition is a process of its own, which is dear, so it repeats many lives.
    """
    for _ in range(play.choices.integer(5, 8)):
        Life(play).run(40, 80)
    play.do(Replay(hash_seed=play.choices.integer(1, 1000)))
    play.do(Replay(hash_seed=play.choices.integer(1, 1000), without_refusals=True))


def costs(play: Play) -> None:
    """Time events at two sizes, in four shapes."""
    for shape in ("flat", "chains", "parents", "pinned"):
        play.do(MeasureCost(capacities=(512, 8192), shape=shape, events=128))


def growth(play: Play) -> None:
    """Read the state after much of the same, for each way in which a policy is used."""
    for work in ("churn", "uses", "questions"):
        for capacity in (16, 128):
            play.do(MeasureState(work=work, capacity_blocks=capacity, rounds=16))


SCENARIOS = (
    Scenario("wander", wander, certify=120, develop=200),
    Scenario("repeat", repeat, certify=2, develop=2),
    Scenario("costs", costs, certify=1, develop=1),
    Scenario("growth", growth, certify=1, develop=1),
)
