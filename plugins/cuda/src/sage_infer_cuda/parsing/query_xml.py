"""``nvidia-smi -q -x``: one element ``gpu`` for each GPU, schemas v11 to v13.

Each ``gpu`` element is parsed by itself, so that noise around the document, and a document that was cut off, leave
those that are whole. No document type is read, so there are no entities to expand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, fromstring

from sage_infer_contracts.detecting.text import lines

from .fields import device_of, version
from .labels import ELEMENTS, Path, fields_of, slice_of_elements
from .records import Reading, distinct, distinct_slices

_ODD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffd\ufffe\uffff]")
_DRIVER = re.compile(r"<(?:driver|kmd)_version>\s*([\w.]{1,40})\s*</")
_ID = re.compile(r"<gpu id=\"([0-9A-Fa-f:.]{7,16})\"", re.ASCII)
_DEEPEST = 8


def parse_query_xml(text: str) -> Reading:
    """Read GPUs and MIG devices of every ``gpu`` element that is there whole."""
    plain = _ODD.sub("", "\n".join(lines(text)))
    if "<nvidia_smi_log" not in plain:
        return Reading()
    driver = _DRIVER.search(plain)
    devices, slices = [], []
    for block in _blocks(plain):
        element = _parsed(block)
        address = _ID.match(block)
        if element is None:
            continue
        values = dict(_values(element))
        fields = {"pci.bus_id": address[1] if address else "", **fields_of(values, ELEMENTS)}
        device = device_of({**fields, "driver_version": driver[1] if driver else ""})
        if device is None:
            continue
        devices.append(device)
        found = (
            slice_of_elements(dict(_values(one)), device.ids)
            for one in element.iterfind("mig_devices/mig_device")
        )
        slices += [one for one in found if one is not None]
    return Reading(
        devices=distinct(devices),
        slices=distinct_slices(slices),
        driver_version=version(driver[1]) if driver else None,
    )


def _blocks(plain: str) -> Iterator[str]:
    end = "</gpu>"
    start = plain.find("<gpu ")
    while start >= 0:
        stop = plain.find(end, start)
        if stop < 0:
            return  # cut off: half an element invents nothing
        following = plain.find("<gpu ", start + 1)
        if following < 0 or following > stop:
            yield plain[start : stop + len(end)]
        start = following


def _parsed(block: str) -> Element | None:
    try:
        return fromstring(block)
    except (ParseError, ValueError):
        return None


def _values(element: Element, above: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield the text of every leaf with its path; ``mig_devices`` are read apart, and nothing is that deep."""
    for child in element:
        path = (*above, child.tag)
        if len(child) and child.tag != "mig_devices" and len(path) < _DEEPEST:
            yield from _values(child, path)
        elif not len(child):
            yield path, (child.text or "").strip()
