"""Which models this engine runs: decoders with full attention that goes through transformers' registry."""

from __future__ import annotations

from typing import Any

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.errors import Unsupported

_LENGTH_DEPENDENT_ROPE = frozenset({"dynamic", "longrope"})


def require_supported(config: Any, model_class: Any | None) -> None:
    """Raise ``Unsupported`` naming the architecture and the reason, or return.

    ``config`` is the model's transformers configuration, ``model_class`` the class for causal language
    modelling that belongs to it, if there is one.
    """
    name = (getattr(config, "architectures", None) or [type(config).__name__])[0]
    reason = _configuration_reason(config) or _class_reason(model_class)
    if reason is not None:
        raise Unsupported(f"{name} is not supported by the torch engine: {reason}", param="model")
    if getattr(config, "quantization_config", None) is not None:
        raise Unsupported(
            f"{name} is stored quantised; the torch engine loads plain weights only",
            capability=Capability.BACKEND_QUANTIZATION,
            param="model",
        )


def _configuration_reason(config: Any) -> str | None:
    if getattr(config, "is_encoder_decoder", False):
        return "it is an encoder-decoder"
    if config.get_text_config() is not config:
        return "it is a multimodal model"
    kinds = sorted(set(getattr(config, "layer_types", None) or ()) - {"full_attention"})
    if kinds:
        return f"it has {', '.join(kinds)} layers, and only full attention is paged"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return f"it uses a sliding window of {config.sliding_window} tokens, and only full attention is paged"
    if getattr(config, "kv_lora_rank", None):
        return "it stores latent KV (MLA)"
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kind = rope.get("rope_type", rope.get("type")) if isinstance(rope, dict) else None
    if kind in _LENGTH_DEPENDENT_ROPE:
        return f"its positions ({kind} RoPE) depend on the longest sequence of a batch"
    return None


def _class_reason(model_class: Any | None) -> str | None:
    if model_class is None:
        return "transformers has no causal language model for it"
    if getattr(model_class, "_is_stateful", False):
        return "it keeps recurrent state instead of KV"
    if not getattr(model_class, "_supports_attention_backend", False):
        return "its attention does not go through transformers' attention registry"
    return None
