"""Versions that this plugin goes with (PK-06). Nothing was run on the hardware, so nothing bounds them above."""

from __future__ import annotations

from sage_infer_contracts.launch import VersionWindow

VLLM_MLU = VersionWindow(distribution="vllm_mlu", minimum="0.9.1")
"""From the oldest vllm-mlu whose source was read on: the one for vLLM 0.9.1, commit 8fa99fd."""
