"""What a worker of vLLM says about the KV it really holds, and the schema that describes it."""

from __future__ import annotations

from typing import Any

from sage_infer_contracts.errors import Unsupported
from sage_infer_contracts.kv import Axis, GroupKind, KVCacheSchema, KVGroup, KVLayout

REPORT_METHOD = "sage_infer_kv_report"
WORKER_EXTENSION = f"{__name__}.KVReporting"

_DTYPES = {
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "fp8_e4m3",
    "float8_e5m2": "fp8_e5m2",
}
_FP8_AS_BYTES = {"fp8": "fp8_e4m3", "fp8_e4m3": "fp8_e4m3", "fp8_e5m2": "fp8_e5m2"}
"""vLLM holds some 8-bit floats in byte tensors; which ones is in the name of its cache dtype."""

_AXES_INSIDE: dict[str, tuple[Axis, ...]] = {"CPU_ATTN": ("kv", "token", "dim")}
"""Where a kernel keeps K and V of a block apart, before its tokens; others keep K beside V in each token."""

_FULL, _WINDOW, _LATENT = "FullAttentionSpec", "SlidingWindowSpec", "MLAAttentionSpec"
_KINDS: dict[str, GroupKind] = {_FULL: "full", _WINDOW: "sliding_window", _LATENT: "mla"}


class KVReporting:
    """Mixed into vLLM's worker (``worker_extension_cls``) and called over ``collective_rpc``."""

    model_runner: Any

    def sage_infer_kv_report(self) -> dict[str, Any]:
        """Return the cache groups and layout as the runner allocated them, in plain values."""
        config = self.model_runner.kv_cache_config
        layout = (
            self.model_runner.cache_config.get_resolved_kv_cache_layout() if config.kv_cache_groups else None
        )
        tensors = list(self.model_runner.kv_caches)
        return {
            "num_blocks": config.num_blocks,
            "cache_dtype": str(self.model_runner.cache_config.cache_dtype),
            "layer_view_order": None if layout is None else list(layout.layer_view_order),
            "groups": [
                _group(group) | _kernel(kernels)
                for group, kernels in zip(config.kv_cache_groups, self.model_runner.attn_groups, strict=False)
            ],
            "tensor_bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        }


def _group(group: Any) -> dict[str, Any]:
    spec = group.kv_cache_spec
    return {
        "spec": type(spec).__name__,
        "layers": len(group.layer_names),
        "block_size": spec.block_size,
        "page_size_bytes": spec.page_size_bytes,
        "num_kv_heads": getattr(spec, "num_kv_heads", None),
        "head_size": getattr(spec, "head_size", None),
        "head_size_v": getattr(spec, "head_size_v", None),
        "dtype": str(getattr(spec, "dtype", "")).removeprefix("torch."),
        "sliding_window": getattr(spec, "sliding_window", None),
    }


def _kernel(kernels: Any) -> dict[str, Any]:
    if not kernels:
        return {"attention": None, "isa": None}
    builders = getattr(kernels[0], "metadata_builders", None) or [None]
    return {"attention": kernels[0].backend.get_name(), "isa": getattr(builders[0], "isa", None)}


def schema_of(report: dict[str, Any]) -> KVCacheSchema:
    """Return the schema of what ``report`` describes.

    Raises ``Unsupported`` when the contract's schema cannot say it exactly: recurrent state, head sizes that
    differ between K and V, padding or packing, or blocks of several sizes.
    """
    groups = report["groups"]
    if not groups:
        raise Unsupported("this model keeps no KV")
    for group in groups:
        _require_plain(group, report["cache_dtype"])
    first = groups[0]
    described = tuple(
        KVGroup(
            kind=_KINDS[group["spec"]],
            num_layers=group["layers"],
            num_heads=group["num_kv_heads"],
            head_dim=group["head_size"],
            window_tokens=group["sliding_window"] if group["spec"] == _WINDOW else None,
            layout=_layout(report["layer_view_order"], group),
        )
        for group in groups
    )
    dtype = _dtype(first, report["cache_dtype"])
    schema = KVCacheSchema(
        dtype=dtype,  # type: ignore[arg-type]
        # vLLM's fp8 has one scale for K and one for V of a layer, outside the pages.
        scale_granularity="tensor" if str(dtype).startswith("fp8") else "none",
        page_size=first["block_size"],
        num_layers=sum(group["layers"] for group in groups),
        num_heads=first["num_kv_heads"],
        head_dim=first["head_size"],
        groups=described,
    )
    actual = sum(group["page_size_bytes"] * group["layers"] for group in groups)
    if {group["block_size"] for group in groups} != {schema.page_size} or actual != schema.block_bytes:
        raise Unsupported(
            f"vLLM's blocks take {actual} bytes over all layers, and no KV schema says how: padding, packing or "
            f"scales in the pages"
        )
    return schema


def _dtype(group: dict[str, Any], cache_dtype: str) -> str | None:
    if group["dtype"] == "uint8":
        return _FP8_AS_BYTES.get(cache_dtype)
    return _DTYPES.get(group["dtype"])


def _require_plain(group: dict[str, Any], cache_dtype: str) -> None:
    if group["spec"] not in _KINDS or _dtype(group, cache_dtype) is None:
        raise Unsupported(
            f"no KV schema describes vLLM's {group['spec']} in {group['dtype'] or 'its own format'} ({cache_dtype})"
        )
    values = 0 if group["spec"] == _LATENT else group["head_size"]
    if group["head_size_v"] not in (None, values):
        raise Unsupported(
            f"no KV schema describes K heads of {group['head_size']} and V heads of {group['head_size_v']}"
        )


def _layout(view_order: list[int], group: dict[str, Any]) -> KVLayout:
    """Return the axes of one layer, slowest first, and whose kernel orders the elements.

    vLLM's logical axes are block, head, token, content; ``view_order`` is the order in which they are stored.
    """
    kernel = ":".join(part for part in ("vllm", group["attention"], group["isa"]) if part)
    inside = _AXES_INSIDE.get(group["attention"] or "")
    if inside is not None:
        if view_order != sorted(view_order):
            raise Unsupported(f"no KV schema describes {kernel} with axes stored in order {view_order}")
        return KVLayout(axes=("block", "head", *inside), packing=kernel)
    logical: list[tuple[Axis, ...]] = [("block",), ("head",), ("token",), ("kv", "dim")]
    return KVLayout(axes=tuple(axis for index in view_order for axis in logical[index]), packing=kernel)
