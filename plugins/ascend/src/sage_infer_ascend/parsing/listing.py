"""``npu-smi info -l``: which NPUs there are, and how many chips each has."""

from __future__ import annotations

import attrs

from sage_infer_contracts.detecting.text import whole

from .key_values import answers, first_of_each, given


@attrs.frozen(slots=True)
class ListedNpu:
    """One entry; ``chips`` is None where the release does not count them (A5)."""

    npu: int
    chips: int | None = None
    product: str | None = None


def parse_list(text: str) -> tuple[ListedNpu, ...]:
    """Read the list; an NPU that it names twice is one."""
    listed: dict[int, ListedNpu] = {}
    for values in map(first_of_each, answers(text)):
        npu = whole(values.get("npu id"))
        if npu is not None:
            chips, product = whole(values.get("chip count")), given(values.get("product name"))
            listed.setdefault(npu, ListedNpu(npu, chips, product))
    return tuple(listed.values())
