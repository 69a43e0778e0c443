"""``xpu-smi -q -x``: the same as XML.

Format: influxdata/telegraf's plugin for xpu-smi (document type ``xpusmi_device_v11.dtd``, driver 5.19.0.0, P800 OAM).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import lines, pci_address, percent, whole
from sage_infer_contracts.devices import DeviceIds

from .records import Reading, from_ecc, last_level, once, some_bytes, used_bytes, uuid, version

SOURCE = "xpu-smi -q -x"
ROOT = "<xpu_smi_log"


def parse_query_xml(text: str) -> Reading:
    """Read the devices whose elements are whole; what follows a break is not there."""
    driver: str | None = None
    attached: int | None = None
    found: list[Device] = []
    for element in _elements(text):
        if element.tag == "driver_version":
            driver = driver or version(element.text)
        elif element.tag == "attached_xpus":
            attached = whole(element.text)
        elif element.tag == "xpu":
            device = _device(element, driver)
            found += [device] if device is not None else []
    devices = once(found)
    if attached == len(devices):
        devices = tuple(
            attrs.evolve(one, ids=one.ids.model_copy(update={"index": place}))
            for place, one in enumerate(devices)
        )
    return Reading(devices, driver, attached)


def _elements(text: str) -> Iterator[Element]:
    """Yield each element when it ends. Entities are none of the tool's: a document that defines some is not read."""
    plain = "\n".join((*lines(text), ""))
    start = plain.find(ROOT)
    if start < 0:
        return
    parser: XMLPullParser[Any] = XMLPullParser(("end",))
    with suppress(ParseError):  # the events before a break are there, and then the error again
        parser.feed(plain[start:])
    with suppress(ParseError):
        for event in parser.read_events():
            if isinstance(event[-1], Element):
                yield event[-1]


def _device(element: Element, driver: str | None) -> Device | None:
    bdf = pci_address(element.get("id"))
    if bdf is None:
        return None

    def text(path: str) -> str | None:
        found = element.find(path)
        return None if found is None else " ".join((found.text or "").split())

    total = some_bytes(text("fb_memory_usage/total"))
    health, reason = from_ecc(whole(text("ecc_errors/volatile/dram_uncorrectable")))
    architecture = text("product_architecture")
    return Device(
        ids=DeviceIds(uuid=uuid(text("uuid")), bdf=bdf, minor=whole(text("minor_number"))),
        name=text("product_name") or None,
        memory_total_bytes=total,
        memory_used_bytes=used_bytes(text("fb_memory_usage/used"), total),
        utilisation_percent=percent(text("utilization/xpu_util")),
        driver_version=driver,
        health=health,
        health_reason=reason,
        figures=last_level(some_bytes(text("l3_usage/total")), f"{SOURCE}: l3_usage/total"),
        features=(architecture,) if architecture and architecture != "N/A" else (),
    )
