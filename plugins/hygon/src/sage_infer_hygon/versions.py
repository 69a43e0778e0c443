"""Versions that this plugin goes with (PK-06). Nothing of this project was run on DCU, so nothing bounds them above."""

from __future__ import annotations

from sage_infer_contracts.launch import VersionWindow

VLLM = VersionWindow(distribution="vllm", minimum="0.11.0")
"""Hygon's fork; the oldest one known is 0.11.0+dtk."""
VLLM_HCU = VersionWindow(distribution="vllm_hcu", minimum="0.21.0")
"""Hygon's platform plugin (HYGON-AI/vllm-plugin-das@06845d2, setup.py); it must be of the same release as vLLM."""
