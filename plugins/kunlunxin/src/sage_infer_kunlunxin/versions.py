"""Versions that this plugin goes with (PK-06).

Nothing of this project was run on the hardware yet; these are the releases of vLLM-Kunlun whose source was read
(baidu/vLLM-Kunlun@09869ee, 0.15.1 dev) and the first one on PyPI. Newer ones exist in the vendor's images.
"""

from __future__ import annotations

from sage_infer_contracts.launch import VersionWindow

VLLM_KUNLUN = VersionWindow(distribution="vllm-kunlun", minimum="0.11.1", below="0.16")
