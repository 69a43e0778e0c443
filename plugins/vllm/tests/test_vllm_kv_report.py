"""From a worker's report to a KV schema: described exactly, or not at all. Needs no vLLM."""

from __future__ import annotations

from typing import Any

import pytest

from sage_infer_contracts.errors import Unsupported
from sage_infer_vllm.kv_report import schema_of

HBN, BNH = [0, 1, 2, 3], [0, 2, 1, 3]


def group(**facts: Any) -> dict[str, Any]:
    base = {
        "spec": "FullAttentionSpec",
        "layers": 30,
        "block_size": 128,
        "num_kv_heads": 3,
        "head_size": 64,
        "head_size_v": 64,
        "dtype": "float32",
        "sliding_window": None,
        "attention": "FLASH_ATTN",
        "isa": None,
    }
    merged = {**base, **facts}
    width = {"float32": 4, "bfloat16": 2, "float8_e4m3fn": 1, "uint8": 1}.get(merged["dtype"], 4)
    values = merged["head_size_v"] or 0
    bytes_ = merged["block_size"] * merged["num_kv_heads"] * (merged["head_size"] + values) * width
    return {"page_size_bytes": bytes_, **merged}


def report(*groups: dict[str, Any], view_order: list[int] = HBN, cache: str = "auto") -> dict[str, Any]:
    return {"num_blocks": 10, "cache_dtype": cache, "layer_view_order": view_order, "groups": list(groups)}


def test_a_plain_model_is_described_to_the_byte() -> None:
    schema = schema_of(report(group()))
    assert (schema.dtype, schema.page_size, schema.num_layers) == ("fp32", 128, 30)
    assert schema.block_bytes == 30 * group()["page_size_bytes"]
    assert schema.all_groups[0].layout.packing == "vllm:FLASH_ATTN"


def test_the_axes_follow_how_the_pages_are_stored() -> None:
    axes = schema_of(report(group(), view_order=BNH)).all_groups[0].layout.axes
    assert axes == ("block", "token", "head", "kv", "dim")
    on_cpu = schema_of(report(group(attention="CPU_ATTN", isa="vec"))).all_groups[0].layout
    assert on_cpu.axes == ("block", "head", "kv", "token", "dim")
    assert on_cpu.packing == "vllm:CPU_ATTN:vec"


def test_pages_of_two_engines_are_never_taken_for_the_same() -> None:
    fingerprints = {
        schema_of(report(group(attention=name, isa=isa))).fingerprint()
        for name, isa in (("CPU_ATTN", "vec"), ("CPU_ATTN", "amx"), ("FLASH_ATTN", None))
    }
    assert len(fingerprints) == 3


def test_groups_of_windows_and_latents_keep_their_kind() -> None:
    mixed = schema_of(
        report(
            group(layers=4, dtype="bfloat16"),
            group(layers=20, dtype="bfloat16", spec="SlidingWindowSpec", sliding_window=512),
        )
    )
    assert [(g.kind, g.window_tokens) for g in mixed.groups] == [("full", None), ("sliding_window", 512)]
    latent = schema_of(report(group(spec="MLAAttentionSpec", num_kv_heads=1, head_size=576, head_size_v=0)))
    assert latent.groups[0].kind == "mla"


@pytest.mark.parametrize(
    "unlike",
    [
        group(spec="MambaSpec", dtype=""),
        group(head_size_v=128),
        group(page_size_bytes=999_999),
        group(dtype="uint8"),
    ],
    ids=["recurrent", "uneven heads", "padded", "packed"],
)
def test_what_no_schema_says_is_not_described(unlike: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        schema_of(report(unlike))


@pytest.mark.parametrize(("cache", "dtype"), [("fp8", "fp8_e4m3"), ("fp8_e5m2", "fp8_e5m2")])
def test_floats_held_as_bytes_are_named(cache: str, dtype: str) -> None:
    schema = schema_of(report(group(dtype="uint8"), cache=cache))
    assert (schema.dtype, schema.scale_granularity) == (dtype, "tensor")


def test_blocks_of_two_sizes_are_not_described() -> None:
    with pytest.raises(Unsupported, match="blocks take"):
        schema_of(report(group(), group(block_size=64)))


def test_no_groups_is_no_kv() -> None:
    with pytest.raises(Unsupported, match="keeps no KV"):
        schema_of({"num_blocks": 1, "cache_dtype": "auto", "layer_view_order": None, "groups": []})
