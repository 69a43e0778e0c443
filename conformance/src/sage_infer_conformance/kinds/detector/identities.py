"""Who a reported device is: compared with what undamaged sources say. Used by the rules; pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds

from ...judging.rules import Check, check
from .edits import Edits
from .model import DetectorModel, Known
from .shown import Shown

_BDF = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_MARKUP = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00\ufffd\ufeff\u2028\x85\x0b\r]")
_FIXED = ("physical", "minor", "uuid", "bdf")
"""Identities that stay with a device; its row in the tool and its number in the runtime may change."""


def well_formed(report: DetectionReport) -> Iterable[Check]:
    """Addresses are as the contract writes them."""
    wrong = [one.ids.bdf for one in report.accelerators if one.ids.bdf and not _BDF.fullmatch(one.ids.bdf)]
    yield check(not wrong, f"the address {wrong[:1]} is not written as dddd:bb:dd.f in lower case")


def no_twins(report: DetectionReport) -> Iterable[Check]:
    """No two devices have all ids in common. Slices may."""
    whole = [one.ids for one in report.accelerators if one.slice_of is None and one.ids != DeviceIds()]
    twins = [
        f"{number} devices have the same ids: {_spell(ids)}"
        for ids, number in Counter(whole).items()
        if number > 1
    ]
    yield check(not twins, "; ".join(twins))


def nobody_new(model: DetectorModel, report: DetectionReport, edits: Edits) -> Iterable[Check]:
    """No device, address or UUID that undamaged sources do not give, and none more often."""
    known, found, most = model.known, len(report.accelerators), model.most_devices(edits)
    if most is not None:
        yield check(found <= most, f"{found} devices are reported, where undamaged sources show {most}")
    lossy = any(edit.lossy for edit in edits)
    texts = [text.lower() for text in model.shown.texts().values()]
    addresses = {device.bdf for device in model.after(edits).pci()}
    for uuid, number in Counter(one.ids.uuid.lower() for one in report.accelerators if one.ids.uuid).items():
        cut = lossy and any(whole.startswith(uuid) for whole in known.uuids)
        shows = uuid in known.uuids or cut or _stands_in(uuid, texts)
        yield check(shows, f"a device has the UUID {uuid!r}, which no undamaged source gives")
        yield check(number <= max(1, known.uuids[uuid]), f"{number} devices have the UUID {uuid!r}")
    for bdf, number in Counter(one.ids.bdf.lower() for one in report.accelerators if one.ids.bdf).items():
        shows = bdf in known.bdfs or bdf in addresses or _stands_in(bdf, texts)
        yield check(shows, f"a device has the address {bdf!r}, which no undamaged source gives")
        if model.is_compared(edits):
            yield check(number <= max(1, known.bdfs[bdf]), f"{number} devices have the address {bdf!r}")


def _stands_in(word: str, texts: Iterable[str]) -> bool:
    pattern = re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")
    return any(pattern.search(text) for text in texts)


def no_new_names(known: Known, report: DetectionReport, shown: Shown, edits: Edits) -> Iterable[Check]:
    """A name is one that undamaged sources give, or one that is not taken from the damaged text."""
    names = {plain(name) for name in known.names}
    lossy = any(edit.lossy for edit in edits)
    for one in report.accelerators:
        name = plain(one.name)
        if name in names or (lossy and any(whole.startswith(name) for whole in names)):
            yield check(True, "")
        else:
            taken = any(name and name in plain(text) for text in shown.texts().values())
            yield check(not taken, f"a device is called {one.name!r}, which is a piece of damaged output")


def still_itself(known: Known, report: DetectionReport) -> Iterable[Check]:
    """A device that is recognised by its UUID or address has no other fixed id than before."""
    for one in report.accelerators:
        same = [other.ids for other in known.devices if _recognised(one, other)]
        if not same:
            continue
        for name in _FIXED:
            value = getattr(one.ids, name)
            before = {getattr(ids, name) for ids in same} - {None}
            if value is not None and before:
                says = (
                    f"the device {one.ids.uuid or one.ids.bdf} has {name} {value!r}, and had {sorted(before)}"
                )
                yield check(value in before, says)


def as_known(expected: Iterable[DeviceIds], report: DetectionReport) -> Iterable[Check]:
    """Each device whose ids the author knows is reported with them."""
    for ids in expected:
        wanted = _lowered(ids)
        fits = any(wanted.items() <= _lowered(one.ids).items() for one in report.accelerators)
        reported = ", ".join(_spell(one.ids) for one in report.accelerators)
        yield check(fits, f"no device is reported with the ids {_spell(ids)}, but {reported or 'nothing'}")


def plain(text: str) -> str:
    """Return text without markup and odd characters, with digits in ASCII and gaps of one space."""
    kept = _MARKUP.sub("", text)
    if not kept.isascii():
        kept = "".join(str(unicodedata.digit(char, char)) for char in kept)
    return " ".join(kept.split())


def _recognised(one: AcceleratorDescriptor, other: AcceleratorDescriptor) -> bool:
    if one.ids.uuid is not None and other.ids.uuid is not None:
        return one.ids.uuid.lower() == other.ids.uuid.lower()
    return one.ids.bdf is not None and one.ids.bdf == other.ids.bdf


def _lowered(ids: DeviceIds) -> dict[str, object]:
    values = ids.model_dump(exclude_none=True)
    return {name: value.lower() if isinstance(value, str) else value for name, value in values.items()}


def _spell(ids: DeviceIds) -> str:
    return ", ".join(f"{name} {value}" for name, value in ids.model_dump(exclude_none=True).items()) or "none"
