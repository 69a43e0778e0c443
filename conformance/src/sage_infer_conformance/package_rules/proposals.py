"""What the alternative of a refusal proposes, where it is written so that it can be tried."""

from __future__ import annotations

import re
from collections.abc import Collection

from sage_infer_contracts.launch import Refusal

from .settings import ENGINE, canonical

_PAIR = re.compile(r"(?<![\w.-])([a-z][a-z0-9_.]*)=([\w.+-]*\w)", re.ASCII)
_ENGINE = re.compile(r"\bengine[ =](\w+)")


def proposed(refusal: Refusal, engines: Collection[str]) -> list[dict[str, str]]:
    """Return the settings to try instead, each way by itself, then all together: ``name=value``, and ``engine NAME``.

    Only those that change what the refusal is about: its setting, one of its conditions, or the engine.
    """
    about = {canonical(name) for name in (refusal.setting, *refusal.when, ENGINE)}
    pairs = [(canonical(name), value) for name, value in _PAIR.findall(refusal.alternative)]
    pairs += [(ENGINE, name) for name in _ENGINE.findall(refusal.alternative) if name in engines]
    chosen = list(dict.fromkeys((name, value) for name, value in pairs if name in about))
    ways = [{name: value} for name, value in chosen]
    return ways if len(ways) < 2 or len({name for name, _ in chosen}) < 2 else [*ways, dict(chosen)]
