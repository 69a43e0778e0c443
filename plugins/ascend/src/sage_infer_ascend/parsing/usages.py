"""``npu-smi info -t usages``, ``common``, ``memory`` and ``health``: what was measured of each chip of an NPU."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from sage_infer_contracts.detecting.text import decimal, percent, size_bytes, whole

from .key_values import Fields, answers, given

_CARD_KEYS = frozenset({"npu id", "chip count", "total count", "card count"})


@attrs.frozen(slots=True, kw_only=True)
class ChipFacts:
    """What an answer says of one chip; None: nothing."""

    npu: int | None = None
    chip: int | None = None
    total_bytes: int | None = None
    busy_percent: float | None = None
    cores: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    health: str | None = None


def parse_chips(text: str) -> tuple[ChipFacts, ...]:
    """Read an answer, or several one after the other: one entry for each chip, what was said first of it standing."""
    chips: dict[tuple[str, str], dict[str, str]] = {}
    for answer in answers(text):
        card, blocks = _blocks(answer)
        for block in blocks:
            if block.get("chip name", "").lower() != "mcu":
                one = chips.setdefault((card.get("npu id", ""), block.get("chip id", "")), {**card})
                one.update({key: value for key, value in block.items() if key not in one})
    return tuple(map(_facts, chips.values()))


def _blocks(answer: Fields) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return what an answer says of the card, and of each chip.

    The chip's id stands above its values in some types and below them in others; values of a block that was cut
    before its id are nobody's.
    """
    card: dict[str, str] = {}
    blocks: list[dict[str, str]] = []
    begun: dict[str, str] = {}
    id_first: bool | None = None
    for key, value in answer:
        if key in _CARD_KEYS and not begun:
            card.setdefault(key, value)
            continue
        id_first = key == "chip id" if id_first is None else id_first
        begins = key == "chip name" or (key == "chip id" and id_first)
        if begins and begun:
            blocks.append(begun)
            begun = {}
        begun.setdefault(key, value)
        if key == "chip id" and not id_first:
            blocks.append(begun)
            begun = {}
    if begun and (id_first or (not blocks and "chip count" not in card)):
        blocks.append(begun)
    return card, blocks


def _facts(values: Mapping[str, str]) -> ChipFacts:
    totals = (size_bytes(values.get(f"{kind}capacity(mb)"), unit="MB") for kind in ("hbm ", "ddr ", ""))
    return ChipFacts(
        npu=whole(values.get("npu id")),
        chip=whole(values.get("chip id")),
        total_bytes=next((total for total in totals if total), None),
        busy_percent=percent(_either(values, "aicore usage rate(%)", "npu utilization(%)")),
        cores=whole(values.get("aicore count")) or None,
        temperature_c=decimal(values.get("temperature(c)")),
        power_w=decimal(_either(values, "npu real-time power(w)", "power dissipation(w)")),
        health=given(_either(values, "health status", "health")),
    )


def _either(values: Mapping[str, str], *keys: str) -> str | None:
    return next((values[key] for key in keys if key in values), None)
