"""GGUF of the Llama architecture to config.json and fp32 safetensors, one tensor in memory at a time."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INSIDE = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@attrs.frozen(slots=True)
class LlamaConfig:
    """What the GGUF metadata says about a Llama model."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    context: int
    vocabulary: int
    rope_theta: float
    rms_eps: float
    bos_id: int
    eos_id: int
    pad_id: int
    tied: bool


def read_config(reader: GGUFReader) -> LlamaConfig:
    """Read the model's shape; raises ValueError for another architecture, KeyError for a missing field."""
    architecture = value(reader, "general.architecture")
    if architecture != "llama":
        raise ValueError(f"GGUF architecture {architecture!r}; only 'llama' is converted")
    names = {tensor.name for tensor in reader.tensors}
    return LlamaConfig(
        layers=int(value(reader, "llama.block_count")),
        hidden=int(value(reader, "llama.embedding_length")),
        intermediate=int(value(reader, "llama.feed_forward_length")),
        heads=int(value(reader, "llama.attention.head_count")),
        kv_heads=int(value(reader, "llama.attention.head_count_kv")),
        context=int(value(reader, "llama.context_length")),
        vocabulary=int(value(reader, "llama.vocab_size")),
        rope_theta=float(value(reader, "llama.rope.freq_base")),
        rms_eps=_shortest(float(value(reader, "llama.attention.layer_norm_rms_epsilon"))),
        bos_id=int(value(reader, "tokenizer.ggml.bos_token_id")),
        eos_id=int(value(reader, "tokenizer.ggml.eos_token_id")),
        pad_id=int(value(reader, "tokenizer.ggml.padding_token_id")),
        tied="output.weight" not in names,
    )


def value(reader: GGUFReader, key: str) -> Any:
    """Return one metadata value; raises KeyError naming it."""
    field = reader.fields.get(key)
    if field is None:
        raise KeyError(f"the GGUF file has no {key}")
    return field.contents()


def _shortest(number: float) -> float:
    """Return the decimal a float32 was written from: 9.99999974e-06 is the float32 of 1e-05."""
    return float(str(np.float32(number)))


def write_config(config: LlamaConfig, folder: Path) -> None:
    """Write config.json and generation_config.json."""
    ids = {"bos_token_id": config.bos_id, "eos_token_id": config.eos_id, "pad_token_id": config.pad_id}
    model = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "hidden_act": "silu",
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.hidden // config.heads,
        "max_position_embeddings": config.context,
        "vocab_size": config.vocabulary,
        "rms_norm_eps": config.rms_eps,
        "rope_theta": config.rope_theta,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tied,
        **ids,
    }
    write_json(folder / "config.json", model)
    write_json(folder / "generation_config.json", ids)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write readable UTF-8 JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_weights(
    reader: GGUFReader, config: LlamaConfig, folder: Path, report: Callable[[float], None]
) -> None:
    """Dequantise every tensor to fp32 into model.safetensors; ``report`` gets the share written."""
    tensors = sorted(reader.tensors, key=lambda tensor: hf_name(tensor.name))
    total = sum(_elements(tensor) for tensor in tensors) * 4
    written = 0
    with (folder / "model.safetensors").open("wb") as file:
        file.write(_header(tensors))
        for tensor in tensors:
            data = _dequantised(tensor, config)
            file.write(data.data)
            written += data.nbytes
            report(written / total)


def hf_name(name: str) -> str:
    """Translate a GGUF tensor name; raises ValueError for one this architecture does not have."""
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _INSIDE and parts[3] == "weight":
        return f"model.layers.{int(parts[1])}.{_INSIDE[parts[2]]}.weight"
    raise ValueError(f"tensor {name!r} is not part of a Llama model")


def _header(tensors: list[ReaderTensor]) -> bytes:
    """Build the safetensors header: its length (u64, little endian), JSON, spaces up to a multiple of 8."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for tensor, (begin, end) in zip(tensors, _offsets(tensors), strict=True):
        entries[hf_name(tensor.name)] = {
            "dtype": "F32",
            "shape": _shape(tensor),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _offsets(tensors: list[ReaderTensor]) -> Iterator[tuple[int, int]]:
    begin = 0
    for tensor in tensors:
        end = begin + _elements(tensor) * 4
        yield begin, end
        begin = end


def _shape(tensor: ReaderTensor) -> list[int]:
    return [int(size) for size in reversed(tensor.shape)]  # GGUF keeps the fastest dimension first


def _elements(tensor: ReaderTensor) -> int:
    return int(np.prod(tensor.shape))


def _dequantised(tensor: ReaderTensor, config: LlamaConfig) -> NDArray[np.float32]:
    from gguf.quants import dequantize

    data = dequantize(tensor.data, tensor.tensor_type).reshape(_shape(tensor))
    if ".attn_q." in tensor.name:
        data = _half_rotated(data, config.heads)
    elif ".attn_k." in tensor.name:
        data = _half_rotated(data, config.kv_heads)
    return np.ascontiguousarray(data, dtype="<f4")


def _half_rotated(weights: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo GGUF's row order: it stores rotary pairs side by side, Hugging Face as first and second half."""
    rows, columns = weights.shape
    pairs = weights.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)
