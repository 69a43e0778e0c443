"""What a model's ``config.json`` says that decides whether a platform can run it. Nothing is guessed from names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_WEIGHTS = {"fp8": "fp8", "fbgemm_fp8": "fp8", "awq": "int4", "mxfp4": "fp4"}
"""Quantisation methods of transformers that store one kind of weight only."""


def model_facts(path: str) -> dict[str, str]:
    """Return ``model.type``, ``model.attention`` (mla, mha or gqa), ``model.dtype``, ``quantization`` and
    ``model.weights`` (fp8, int8, int4 or fp4), each only where the file says it.

    None of them for a folder whose config cannot be read; the engine says what is wrong with that.
    """
    try:
        config = json.loads((Path(path) / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(config, dict):
        return {}
    text = config.get("text_config")  # a multimodal model's language part
    inner: Mapping[str, Any] = {**config, **text} if isinstance(text, dict) else config
    facts = {
        "model.type": _text(config.get("model_type")),
        "model.attention": _attention(inner),
        "model.dtype": _DTYPES.get(
            str(inner.get("dtype") or inner.get("torch_dtype")).removeprefix("torch.")
        ),
        **_quantization(config.get("quantization_config") or inner.get("quantization_config")),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _attention(config: Mapping[str, Any]) -> str | None:
    """Latent attention is told by the rank of its latent, as in transformers' DeepSeek and MiniCPM3 configurations."""
    if _count(config.get("kv_lora_rank")):
        return "mla"
    heads, kv_heads = _count(config.get("num_attention_heads")), _count(config.get("num_key_value_heads"))
    if heads is None or kv_heads is None:
        return None  # the default differs by model type
    return "mha" if kv_heads == heads else "gqa"


def _quantization(config: object) -> dict[str, str | None]:
    if not isinstance(config, dict):
        return {}
    method = _text(config.get("quant_method"))
    return {"quantization": method, "model.weights": _WEIGHTS.get(method or "") or _weights(config)}


def _weights(config: Mapping[str, Any]) -> str | None:
    """Read the bits of GPTQ's and compressed-tensors' configurations."""
    groups = config.get("config_groups")
    kinds = (
        [_object(group).get("weights") for group in groups.values()] if isinstance(groups, dict) else [config]
    )
    found = set()
    for kind in map(_object, kinds):
        bits = _count(kind.get("num_bits", kind.get("bits")))
        if bits is not None:
            found.add(f"{'fp' if kind.get('type') == 'float' else 'int'}{bits}")
    return found.pop() if len(found) == 1 else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
