"""Which devices a variable of visible devices leaves: what must be reported, where that can be told for certain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor

from ...judging.rules import Check, check
from .steps import Facts


def honoured(facts: Facts, before: DetectionReport, value: str, after: DetectionReport) -> Iterable[Check]:
    """Compare what is visible with ``value`` to what was reported without any restriction.

    A detector may leave hidden devices out, or report them without a number in the runtime. What an empty, foreign
    or unordered list means differs from vendor to vendor, so of these only certain ones are judged.
    """
    numbered = any(one.ids.logical is not None for one in (*before.accelerators, *after.accelerators))
    visible = [one for one in after.accelerators if not numbered or one.ids.logical is not None]
    if numbered:
        visible.sort(key=lambda one: one.ids.logical or 0)
    got = [_who(one) for one in visible]
    wanted = chosen(facts, before.accelerators, value)
    if wanted is None:
        allowed = at_most(facts, before.accelerators, value)
        others = [] if allowed is None else [one for one in got if one not in set(map(_who, allowed))]
        if allowed is not None:
            yield check(not others, f"with the devices {value!r} visible, {others} are reported, too")
        return
    expected = [_who(one) for one in wanted]
    yield check(got == expected, f"with the devices {value!r} visible, {got} are reported, not {expected}")
    if numbered and got == expected:
        logical = [one.ids.logical for one in visible]
        says = f"with the devices {value!r} visible, the runtime counts from 0; reported are {logical}"
        yield check(logical == list(range(len(logical))), says)


def chosen(
    facts: Facts, devices: Sequence[AcceleratorDescriptor], value: str
) -> list[AcceleratorDescriptor] | None:
    """Return the devices that ``value`` names: numbers in rising order, or UUIDs; None where that is not certain.

    Beside slices it is certain only for numbers that were reported, and for one UUID, of a device that has no slices:
    some runtimes use one slice, whatever is named, and count devices or slices as they please.
    """
    words = [word.strip() for word in value.split(",")]
    if len({_who(one) for one in devices}) != len(devices):
        return None
    by_number = {str(number): one for number, one in _numbered(devices)}
    if all(word in by_number for word in words):
        rising = [int(word) for word in words]
        return [by_number[word] for word in words] if rising == sorted(set(rising)) else None
    named = _by_uuid(facts, devices, words)
    if named and _are_cut(devices) and (len(named) > 1 or _slices_of(named[0], devices)):
        return None
    return named


def at_most(
    facts: Facts, devices: Sequence[AcceleratorDescriptor], value: str
) -> list[AcceleratorDescriptor] | None:
    """Return what may be visible beside slices: what the UUIDs of ``value`` name, and its slices; None: not certain."""
    if not _are_cut(devices) or len({_who(one) for one in devices}) != len(devices):
        return None
    named = _by_uuid(facts, devices, [word.strip() for word in value.split(",")])
    return None if named is None else [*named, *(part for one in named for part in _slices_of(one, devices))]


def _by_uuid(
    facts: Facts, devices: Sequence[AcceleratorDescriptor], words: Sequence[str]
) -> list[AcceleratorDescriptor] | None:
    by_uuid = {one.ids.uuid: one for one in devices if one.ids.uuid}
    if facts.visible_uuids and all(word in by_uuid for word in words) and len(set(words)) == len(words):
        return [by_uuid[word] for word in words]
    return None


def _are_cut(devices: Sequence[AcceleratorDescriptor]) -> bool:
    return any(one.slice_of is not None for one in devices)


def _slices_of(
    parent: AcceleratorDescriptor, devices: Sequence[AcceleratorDescriptor]
) -> list[AcceleratorDescriptor]:
    ids = {parent.ids.uuid, parent.ids.bdf} - {None}
    return [one for one in devices if one.slice_of in ids and one is not parent]


def _numbered(devices: Sequence[AcceleratorDescriptor]) -> list[tuple[int, AcceleratorDescriptor]]:
    """Number devices as the runtime does, as far as that is reported; else by row, else in order.

    Beside slices only numbers that are reported count, and some devices have none.
    """
    if _are_cut(devices):
        told = [(one.ids.logical, one) for one in devices if one.ids.logical is not None]
        return told if len({number for number, _ in told}) == len(told) else []
    for name in ("logical", "index"):
        numbers = [getattr(one.ids, name) for one in devices]
        if None not in numbers and len(set(numbers)) == len(numbers):
            return list(zip(numbers, devices, strict=True))
    return list(enumerate(devices))


def _who(one: AcceleratorDescriptor) -> str:
    ids = one.ids
    for name in ("uuid", "physical", "minor", "bdf", "index"):
        if getattr(ids, name) is not None:
            return f"{name} {getattr(ids, name)}"
    return one.name
