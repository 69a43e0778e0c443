"""Versions that this plugin goes with (PK-06).

Nothing of this project was run on the hardware yet, so these are the versions that vllm-ascend itself is released and
tested with: its 0.23 (vllm-project/vllm-ascend@182b75e), whose requirements.txt pins torch-npu 2.10 (@0baa3f1).
"""

from __future__ import annotations

from sage_infer_contracts.launch import VersionWindow

VLLM_ASCEND = VersionWindow(distribution="vllm-ascend", minimum="0.23", below="0.24")
TORCH_NPU = VersionWindow(distribution="torch-npu", minimum="2.10.0", below="2.11")
