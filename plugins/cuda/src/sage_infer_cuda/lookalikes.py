"""Others whose tools, names and torch builds look like NVIDIA's. The PCI vendor decides wherever it is known."""

from __future__ import annotations

import re

PRODUCTS = re.compile(
    r".*\b(?:kunlun\w*|iluvatar\w*|metax\w*|hygon\w*|moore threads|mthreads|MTT S\d+|[DH]CU|P800|R[23]00|MXC\d+"
    r"|BI-V\d+|MR-V\d+|Z100L?|K100_AI|BW\d{2,4}|PPU(?:-\w+)?|biren\w*|ascend\w*|cambricon|MLU\d+\S*"
    r"|AMD|radeon|instinct|intel)\b.*|GPU",
    re.IGNORECASE,
)
"""Names that are others' products in full; ``GPU`` is Kunlunxin's alias for any of its chips.

Iluvatar and MetaX ship tools like nvidia-smi, Kunlunxin prints UUIDs ``GPU-...`` and has a library like NVML.
"""
BUILDS = re.compile(r"\+.*(?:metax|maca|corex|dtk|das|musa|xpu|kunlun|ppu)", re.IGNORECASE)
"""Local versions of torch builds that put another vendor's device behind ``torch.cuda``."""
EXTENSIONS = ("torch_xmlir", "torch_musa")
"""Modules that do the same to any build of torch."""
VERSIONS = ("hip", "maca", "corex", "musa")
"""Attributes of ``torch.version`` that such builds have, and NVIDIA's lack or leave None."""
