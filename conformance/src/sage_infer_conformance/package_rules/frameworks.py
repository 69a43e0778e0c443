"""What is heavy, and what is tied to one vendor's machines."""

from __future__ import annotations

from packaging.utils import canonicalize_name

HEAVY_MODULES = frozenset(
    {
        "torch",
        "torch_mlu",
        "torch_musa",
        "torch_npu",
        "torch_xmlir",
        "torch_xla",
        "vllm",
        "sglang",
        "transformers",
        "sentence_transformers",
        "tensorflow",
        "tensorrt",
        "tensorrt_llm",
        "jax",
        "paddle",
        "mindspore",
        "onnxruntime",
        "deepspeed",
        "triton",
        "cupy",
        "acl",
        "cndev",
        "pynvml",
    }
)
"""Frameworks and device libraries: seconds to import, memory to hold, or bound to a driver."""

_RUN_ANYWHERE = frozenset(
    {"torch", "transformers", "sentence_transformers", "jax", "onnxruntime", "tensorflow", "paddle"}
)
"""Those of them whose ordinary wheels also install and run without a chip."""
_VENDOR_PREFIXES = ("nvidia-", "cupy-", "tensorrt", "rocm-", "torch-npu", "torch-mlu", "vllm-")

_PURE_BINDINGS = frozenset({"nvidia-ml-py"})
"""Bindings in pure Python, below 100 kB, that need no other package and look for the vendor's library when first asked.

PK-03 is about packages that cannot be installed or listed without a vendor's machine. These can, so requiring them
costs nothing there, and leaving them out would cost their users a source of detection. What is listed was looked at:
nvidia-ml-py 11.470 to 13.615 is one wheel for any platform (py3-none-any) without requirements. Its module still
counts as heavy: only a child process may import it.
"""

HEAVY_DISTRIBUTIONS = frozenset(canonicalize_name(module) for module in HEAVY_MODULES)


def is_vendor_bound(distribution: str) -> bool:
    """Say whether a distribution (normalised) needs one vendor's machine to be installed or used."""
    if distribution in _PURE_BINDINGS:
        return False
    if distribution in {canonicalize_name(module) for module in HEAVY_MODULES - _RUN_ANYWHERE}:
        return True
    return distribution.startswith(_VENDOR_PREFIXES)
