"""What a tier that is closed, or is being closed, must not do any more."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.store import BlockOutcome, KVStoreTier

from .contents import Library
from .operations import PATIENCE_S, carry_out
from .regions import Regions
from .steps import CloseBusy, Closed

_DEADLINE_S = 2.0


def ask_closed(tier: KVStoreTier, library: Library, key: str, nbytes: int) -> tuple[Closed, ...]:
    """Ask a closed tier for everything it must refuse: by an error, or by an outcome that says why."""
    keys = [library.key(key)]
    regions = Regions.holding([library.content("a", key, 0, nbytes)])

    def transfer(op: str) -> Callable[[], object]:
        return lambda: carry_out(tier, op, "a", keys, regions, _DEADLINE_S).outcomes

    calls: dict[str, Callable[[], object]] = {
        "put": transfer("put"),
        "get": transfer("get"),
        "contains": lambda: tier.contains("a", keys),
        "remove": lambda: tier.remove("a", keys),
    }
    return tuple(_answer(name, call) for name, call in calls.items())


def _answer(name: str, call: Callable[[], object]) -> Closed:
    try:
        given = call()
    except SageInferError as error:
        return Closed(call=name, refused=True, answer=f"{type(error).__name__}")
    outcomes = given if isinstance(given, list) and name in ("put", "get") else []
    return Closed(call=name, refused=bool(outcomes) and _says_no(outcomes), answer=str(given))


def _says_no(outcomes: Sequence[BlockOutcome]) -> bool:
    return all(one.outcome in ("rejected", "missing") and bool(one.reason) for one in outcomes)


def close_busy(tier: KVStoreTier, library: Library, command: CloseBusy, kept: list[Regions]) -> None:
    """Close while puts run; then ask what became of them until they end or are refused."""
    contents = [library.content("a", key, 0, command.nbytes) for key in command.keys]
    handles = []
    for key, data in zip(command.keys, contents, strict=True):
        regions = Regions.holding([data])
        kept.append(regions)
        handles.append(tier.submit_put("a", [library.key(key)], regions.regions, deadline_s=_DEADLINE_S))
    tier.close()
    until = time.monotonic() + _DEADLINE_S + PATIENCE_S
    for handle in handles:
        with contextlib.suppress(SageInferError):
            while tier.poll(handle) is None and time.monotonic() < until:
                time.sleep(0.001)
