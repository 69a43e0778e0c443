"""Architectures: full-attention decoders equal transformers, others are refused by name with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.errors import Unsupported
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_torch.plugin import create

pytestmark = pytest.mark.engine

SIZE: dict[str, Any] = {
    "vocab_size": 49_152,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GQA = {**SIZE, "num_key_value_heads": 2}
TOKENS = 24


def supported() -> dict[str, Callable[[], Any]]:
    import transformers as t

    return {
        "llama": lambda: t.LlamaConfig(**GQA, head_dim=24, tie_word_embeddings=False),
        "qwen2": lambda: t.Qwen2Config(**GQA),
        "qwen3": lambda: t.Qwen3Config(**GQA, head_dim=16),
        "mistral": lambda: t.MistralConfig(**GQA, sliding_window=None),
        "gpt_neox": lambda: t.GPTNeoXConfig(**SIZE, rotary_pct=0.5),
        "phi": lambda: t.PhiConfig(**SIZE),
        "olmo2": lambda: t.Olmo2Config(**GQA),
        "gpt2": lambda: t.GPT2Config(
            vocab_size=49_152, n_positions=256, n_embd=64, n_layer=3, n_head=4, bos_token_id=1, eos_token_id=2
        ),
    }


def unsupported() -> dict[str, tuple[Callable[[], Any], str]]:
    import transformers as t

    return {
        "MistralForCausalLM": (lambda: t.MistralConfig(**GQA, sliding_window=32), "sliding window of 32"),
        "MambaForCausalLM": (
            lambda: t.MambaConfig(vocab_size=49_152, hidden_size=32, num_hidden_layers=2, state_size=4),
            "linear_attention|recurrent state",
        ),
        "Gemma2ForCausalLM": (lambda: t.Gemma2Config(**GQA, head_dim=16), "sliding_attention"),
        "DeepseekV3ForCausalLM": (
            lambda: t.DeepseekV3Config(**{**SIZE, "num_hidden_layers": 1}, first_k_dense_replace=1),
            "MLA",
        ),
        "LlamaForCausalLM": (
            lambda: t.LlamaConfig(
                **GQA, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
            ),
            "dynamic RoPE",
        ),
    }


NAMES = ["llama", "qwen2", "qwen3", "mistral", "gpt_neox", "phi", "olmo2", "gpt2"]
REFUSED = [
    "MistralForCausalLM",
    "MambaForCausalLM",
    "Gemma2ForCausalLM",
    "DeepseekV3ForCausalLM",
    "LlamaForCausalLM",
]


@pytest.mark.parametrize("name", NAMES)
async def test_supported_architectures_equal_transformers(
    name: str, tiny_model: Callable[[Any], str], open_backend: Callable[..., Any]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    path = tiny_model(supported()[name]())
    prompts = [
        [(7 * i + 13 * k) % 49_000 + 3 for i in range(length)] for k, length in enumerate((1, 5, 40, 70))
    ]
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    expected = [
        model.generate(torch.tensor([p]), max_new_tokens=TOKENS, do_sample=False)[0, len(p) :].tolist()
        for p in prompts
    ]
    async with open_backend(path, {"prefill_chunk_tokens": 17}, max_batch_size=4) as backend:
        params = SamplingParams(max_tokens=TOKENS, temperature=0.0)
        streams = await backend.generate(prompts, params)
        done = await asyncio.gather(*(stream.collect() for stream in streams))
    assert [list(one.token_ids) for one in done] == expected


@pytest.mark.parametrize("name", REFUSED)
async def test_unsupported_architectures_are_refused_with_the_reason(name: str, tmp_path: Any) -> None:
    make, reason = unsupported()[name]
    config = make()
    config.architectures = [name]
    config.save_pretrained(tmp_path)
    backend = create(BackendConfig(model=ModelLocation(model_id="m", path=str(tmp_path))), BackendContext())
    with pytest.raises(Unsupported, match=f"{name} is not supported.*({reason})"):
        await backend.start()


async def test_an_encoder_decoder_is_refused(tmp_path: Any) -> None:
    import transformers as t

    t.T5Config(d_model=16, num_layers=1, num_heads=2, d_ff=16).save_pretrained(tmp_path)
    backend = create(BackendConfig(model=ModelLocation(model_id="m", path=str(tmp_path))), BackendContext())
    with pytest.raises(Unsupported, match="encoder-decoder"):
        await backend.start()


async def test_a_model_whose_attention_is_not_what_paging_computes_is_refused(
    tiny_model: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof at load catches an attention that differs, here one with another scale."""
    import transformers as t

    from sage_infer_torch import attention

    right = attention.KERNELS["gather_sdpa"]
    monkeypatch.setitem(
        attention.KERNELS, "gather_sdpa", lambda b, layer, q, scale: right(b, layer, q * 3.0, scale)
    )
    path = tiny_model(t.LlamaConfig(**GQA))
    backend = create(BackendConfig(model=ModelLocation(model_id="m", path=path)), BackendContext())
    with pytest.raises(Unsupported, match="differ from its own"):
        await backend.start()
