"""Versions that this plugin goes with (PK-06).

Which versions of vLLM were tried, the adapter ``sage-infer-vllm`` says: vLLM brings the platform for CUDA itself.
"""

from __future__ import annotations

from sage_infer_contracts.launch import VersionWindow

NVIDIA_ML_PY = VersionWindow(distribution="nvidia-ml-py", minimum="12.535", below="14")
"""12.535.161 and 13.615.71 answered the probe script, in front of a stand-in for ``libnvidia-ml.so.1``."""
