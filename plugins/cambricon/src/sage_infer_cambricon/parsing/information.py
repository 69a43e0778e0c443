"""``/proc/driver/cambricon/mlus/<BDF>/information``: what the driver says of a card.

The labels are those of the driver's own source, core/cndrv_debug.c of release 5.10, read in a public mirror.
"""

from __future__ import annotations

import re

from sage_infer_contracts.detecting.text import lines

from .records import Card, name_of, number_of, version_of

_LABEL = re.compile(r"\s{0,16}([A-Za-z][A-Za-z ]{1,30}?)\s*:\s*(\S.{0,120}|)", re.ASCII)
_NODE = re.compile(r"cambricon_dev([0-9]{1,4})", re.ASCII)
_VIRTUAL = "-VF"


def parse_information(text: str, bdf: str | None = None) -> Card | None:
    """Return the card at ``bdf``; None unless its name or its device number is there.

    A virtual function is called after its card with ``-VF`` at the end, which is taken off; its mode is ``VF``.
    """
    labels: dict[str, str] = {}
    if "\n" not in text:
        return None  # the driver ends each line, so this is half of one
    for line in lines(text):
        match = _LABEL.fullmatch(line[:200])
        if match:
            labels.setdefault(" ".join(match[1].lower().split()), match[2].strip())
    said = labels.get("device name") or ""
    name = name_of(said.removesuffix(_VIRTUAL))
    node = _NODE.search(labels.get("device inode path") or "")
    minor = int(node[1]) if node else number_of(labels.get("device minor"))
    if name is None and minor is None:
        return None
    serial = (labels.get("board serial number") or "").removeprefix("SN/")
    return Card(
        name=name,
        bdf=bdf,
        minor=minor,
        serial=serial if re.fullmatch(r"[0-9a-fA-F]{4,32}", serial) and set(serial) - {"0"} else None,
        driver=version_of(labels.get("driver version")),
        firmware=version_of(labels.get("mlu firmware version")),
        mode="VF" if said.endswith(_VIRTUAL) else None,
    )
