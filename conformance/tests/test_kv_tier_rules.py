"""The rules of tiers as what they are: functions of a model and a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from sage_infer_conformance.history.steps import Raised
from sage_infer_conformance.judging.rules import Check
from sage_infer_conformance.kinds.kv_tier import block_rules, tier_rules
from sage_infer_conformance.kinds.kv_tier.model import TierModel
from sage_infer_conformance.kinds.kv_tier.rules import RULES
from sage_infer_conformance.kinds.kv_tier.steps import (
    Act,
    Acted,
    AskUsage,
    Contains,
    Crash,
    Create,
    Damage,
    Extent,
    Fault,
    Footprint,
    Get,
    Heal,
    Held,
    Lost,
    Put,
    Remove,
    Reopen,
    Seen,
    TakeLost,
    TierStep,
    Together,
)

NBYTES = 100
CREATE = TierStep(command=Create(capacity_bytes=4 * NBYTES), capabilities=("tier.persistent",))


def put(key: str, outcome: str, *, version: int = 0, namespace: str = "a", **more: Any) -> TierStep:
    command = Put(namespace=namespace, keys=(key,), version=version, nbytes=NBYTES)
    return TierStep(command=command, blocks=(Seen(outcome=outcome, reason="full"),), **more)


def get(key: str, outcome: str, version: int | None = None, *, namespace: str = "a", **more: Any) -> TierStep:
    seen = Seen(
        outcome=outcome, version=version, reason=more.pop("reason", None), other=more.pop("other", None)
    )
    return TierStep(command=Get(namespace=namespace, keys=(key,), nbytes=NBYTES), blocks=(seen,), **more)


def told(key: str, visible: bool, *, namespace: str = "a") -> TierStep:
    return TierStep(command=Contains(namespace=namespace, keys=(key,)), visible=(visible,))


def removed(key: str, count: int, *, namespace: str = "a") -> TierStep:
    return TierStep(command=Remove(namespace=namespace, keys=(key,)), removed=count)


def lost(*keys: str) -> TierStep:
    return TierStep(
        command=TakeLost(), lost=tuple(Lost(namespace="a", key=key, reason="damaged") for key in keys)
    )


def used(blocks: int) -> TierStep:
    held = Held(blocks=blocks, bytes=blocks * NBYTES, capacity_bytes=4 * NBYTES)
    return TierStep(command=AskUsage(), usage=held)


DAMAGE = TierStep(command=Damage(kind="flip", nbytes=NBYTES), damaged=True)
REOPEN = TierStep(command=Reopen(), capabilities=("tier.persistent",))


def stuck(**more: Any) -> TierStep:
    return TierStep(command=Fault(kind="stall"), **more)


def says(checks: Iterable[Check]) -> list[str]:
    return [check.says for check in checks if check.says is not None]


def after(*steps: TierStep) -> TierModel:
    model = TierModel()
    for step in (CREATE, *steps):
        model.apply(step)
    return model


BROKEN = [
    ("KV-01", [put("x", "stored")], get("x", "hit")),
    (
        "KV-01",
        [put("x", "stored"), DAMAGE, get("x", "corrupt", reason="bits")],
        get("x", "corrupt", reason="bits"),
    ),
    ("KV-01", [put("x", "stored"), DAMAGE, get("x", "corrupt", reason="bits")], told("x", True)),
    ("KV-01", [put("x", "stored"), DAMAGE], get("x", "corrupt")),
    ("KV-01", [], get("x", "corrupt", reason="bits")),
    ("KV-02", [put("x", "stored"), told("x", True)], get("x", "missing")),
    ("KV-02", [put("x", "rejected")], told("x", True)),
    (
        "KV-02",
        [TierStep(command=Crash(commands=()))],
        REOPEN.model_copy(update={"error": Raised(type="OSError")}),
    ),
    ("KV-03", [put(f"x{number}", "stored") for number in range(4)], put("y", "stored")),
    ("KV-03", [put("x", "stored")], get("x", "missing")),
    ("KV-03", [], used(5)),
    ("KV-04", [put("x", "stored")], put("x", "stored", version=1)),
    ("KV-04", [], put("x", "present")),
    ("KV-04", [put("x", "stored"), put("x", "present", version=1)], get("x", "hit", 1)),
    ("KV-05", [], get("x", "missing", seconds=13.0)),
    ("KV-05", [], put("x", "stored", ended=False)),
    ("KV-05", [stuck(), put("x", "rejected"), TierStep(command=Heal())], get("x", "hit", 0)),
    ("KV-06", [put("x", "stored")], used(2)),
    ("KV-06", [put("x", "stored"), removed("x", 1)], get("x", "hit", 0)),
    ("KV-06", [put("x", "stored")], removed("x", 0)),
    ("KV-07", [put("x", "stored"), DAMAGE, get("x", "missing")], lost()),
    ("KV-07", [put("x", "stored"), DAMAGE, get("x", "missing"), lost("x")], lost("x")),
    ("KV-07", [put("x", "stored")], lost("x")),
    ("KV-07", [put("x", "stored"), DAMAGE, lost("x")], get("x", "hit", 0)),
    ("KV-08", [put("x", "stored")], told("x", True, namespace="b")),
    ("KV-08", [put("x", "stored")], get("x", "hit", namespace="b", other=("a", "x"))),
    ("KV-08", [put("x", "stored")], removed("x", 1, namespace="b")),
    ("KV-08", [put("x", "stored"), removed("x", 1, namespace="b")], get("x", "missing")),
    ("KV-09", [], get("x", "missing", outside=1)),
    ("KV-09", [], TierStep(command=Heal(), late=1)),
    ("KV-10", [put("x", "stored"), REOPEN], told("x", False)),
    ("KV-10", [put("x", "stored"), REOPEN], used(0)),
]
HOLDS = [
    [
        put("x", "stored"),
        get("x", "hit", 0),
        told("x", True),
        used(1),
        removed("x", 1),
        get("x", "missing"),
        used(0),
    ],
    [put("x", "stored"), DAMAGE, get("x", "corrupt", reason="bits"), lost("x"), get("x", "missing"), used(0)],
    [
        put("x", "stored"),
        DAMAGE,
        get("x", "missing"),
        put("x", "stored", version=1),
        lost("x"),
        get("x", "hit", 1),
    ],
    [put("x", "stored"), DAMAGE, get("x", "hit", 0), used(1), lost()],
    [put("x", "stored"), put("x", "rejected", version=1), get("x", "hit", 0)],
    [
        put("x", "stored"),
        stuck(),
        get("x", "missing"),
        TierStep(command=Heal(), late=0),
        get("x", "hit", 0),
        lost(),
    ],
    [
        put("x", "stored"),
        put("x", "stored", namespace="b"),
        used(2),
        removed("x", 1, namespace="b"),
        get("x", "hit", 0),
    ],
    [put("x", "stored"), REOPEN, told("x", True), used(1), get("x", "hit", 0)],
]
JUDGES = {rule.clause: rule.judge for rule in RULES}


@pytest.mark.parametrize(("clause", "before", "step"), BROKEN)
def test_a_rule_sees_what_breaks_its_clause(clause: str, before: list[TierStep], step: TierStep) -> None:
    step = TierStep.model_validate(step.model_dump())
    assert says(JUDGES[clause](after(*before), step))


@pytest.mark.parametrize("steps", HOLDS)
def test_no_rule_speaks_against_what_is_allowed(steps: list[TierStep]) -> None:
    for number, step in enumerate(steps):
        model = after(*steps[:number])
        assert {
            clause: found for clause, judge in JUDGES.items() if (found := says(judge(model, step)))
        } == {}


def together(*threads: tuple[Act, Acted]) -> TierStep:
    acts = tuple((act,) for act, _ in threads)
    return TierStep(
        command=Together(nbytes=NBYTES, threads=acts), acts=tuple((acted,) for _, acted in threads)
    )


def stored(key: str, version: int) -> tuple[Act, Acted]:
    return Act(op="put", keys=(key,), version=version), Acted(blocks=(Seen(outcome="stored"),))


def test_two_threads_never_both_store_one_block() -> None:
    assert says(block_rules.never_torn(after(), together(stored("x", 1), stored("x", 2))))
    assert not says(block_rules.never_torn(after(), together(stored("x", 1), stored("y", 2))))


def test_threads_together_never_store_more_than_fits() -> None:
    step = together(*(stored(f"x{number}", 0) for number in range(5)))
    assert says(tier_rules.within_capacity(after(), step))


def test_where_timing_decides_only_what_is_broken_is_counted() -> None:
    unsteady = after(put("x", "stored"), DAMAGE, get("x", "hit", 0))
    assert list(JUDGES["KV-01"](unsteady, get("x", "hit", 0))) == []
    assert says(JUDGES["KV-01"](unsteady, get("x", "hit", 7)))


def test_what_was_removed_must_be_free_again() -> None:
    command = Footprint(nbytes=NBYTES, blocks=4, rounds=3)
    stays = Extent(stored=(4, 4, 0), full_bytes=(400, 400, 400), disk_bytes=(0, 0, 0), memory_bytes=(0, 0, 0))
    assert says(tier_rules.adds_up(after(), TierStep(command=command, extent=stays)))
    grows = stays.model_copy(update={"stored": (4, 4, 4), "memory_bytes": (0, 1 << 24, 1 << 25)})
    assert says(tier_rules.adds_up(after(), TierStep(command=command, extent=grows)))
