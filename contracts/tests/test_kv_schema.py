"""KVCacheSchema: bytes, identity, and what a user may ask for."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import ValidationError

from sage_infer_contracts.kv import (
    KV_SCHEMA_PRESETS,
    KVCacheSchema,
    KVGroup,
    KVLayout,
    KVSchemaRequest,
    parse_kv_schema,
)
from sage_infer_contracts.names import DTYPE_BITS

SMOL = KVCacheSchema(dtype="fp32", page_size=16, num_layers=30, num_heads=3, head_dim=64)

schemas = st.builds(
    KVCacheSchema,
    dtype=st.sampled_from(sorted(DTYPE_BITS)),
    page_size=st.integers(1, 256),
    num_layers=st.integers(1, 96),
    num_heads=st.integers(1, 64),
    head_dim=st.sampled_from([32, 64, 80, 96, 128, 256]),
)


def test_bytes_per_token_of_a_known_model() -> None:
    # SmolLM2-135M: 30 layers, 3 KV heads of 64, K and V, four bytes each.
    assert SMOL.bytes_per_token == 46_080
    assert SMOL.block_bytes == 46_080 * 16


@given(schemas)
def test_bytes_scale_with_every_dimension(schema: KVCacheSchema) -> None:
    expected = 2 * schema.num_layers * schema.num_heads * schema.head_dim * DTYPE_BITS[schema.dtype] // 8
    assert schema.bytes_per_token == expected
    assert schema.block_bytes == expected * schema.page_size


@given(schemas, schemas)
def test_fingerprints_agree_exactly_when_the_bytes_do(one: KVCacheSchema, other: KVCacheSchema) -> None:
    assert (one.fingerprint() == other.fingerprint()) == (one == other)


def test_fingerprint_ignores_how_the_single_group_was_spelled() -> None:
    spelled = SMOL.model_copy(update={"groups": SMOL.all_groups})
    assert spelled.fingerprint() == SMOL.fingerprint()


def test_fingerprint_ignores_an_unused_scale_dtype() -> None:
    assert SMOL.model_copy(update={"scale_dtype": "fp16"}).fingerprint() == SMOL.fingerprint()


@given(schemas)
def test_a_schema_survives_json(schema: KVCacheSchema) -> None:
    assert KVCacheSchema.model_validate_json(schema.model_dump_json()) == schema


def test_scales_per_token_and_head_are_counted() -> None:
    schema = KVCacheSchema(
        dtype="int8", page_size=16, num_layers=2, num_heads=4, head_dim=64, scale_granularity="token_head"
    )
    assert schema.bytes_per_token == 2 * 2 * 4 * 64 + 2 * 2 * 4 * 4


def test_a_latent_group_stores_one_copy_not_two() -> None:
    group = KVGroup(kind="mla", num_layers=10, num_heads=1, head_dim=576)
    schema = KVCacheSchema(
        dtype="bf16", page_size=64, num_layers=10, num_heads=1, head_dim=576, groups=(group,)
    )
    assert schema.bytes_per_token == 10 * 576 * 2


def test_unquantised_kv_cannot_have_scales() -> None:
    with pytest.raises(ValidationError, match="no scales"):
        KVCacheSchema(
            dtype="fp16", page_size=16, num_layers=1, num_heads=1, head_dim=64, scale_granularity="tensor"
        )


def test_groups_that_contradict_the_seed_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="total"):
        KVCacheSchema(
            dtype="fp16",
            page_size=16,
            num_layers=3,
            num_heads=1,
            head_dim=64,
            groups=(KVGroup(num_layers=2, num_heads=1, head_dim=64),),
        )


def test_int4_needs_an_even_number_of_elements() -> None:
    group = KVGroup(kind="mla", num_layers=1, num_heads=1, head_dim=63)
    with pytest.raises(ValidationError, match="even"):
        KVCacheSchema(dtype="int4", page_size=1, num_layers=1, num_heads=1, head_dim=63, groups=(group,))


@pytest.mark.parametrize(("kind", "window"), [("full", 128), ("sliding_window", None)])
def test_a_window_belongs_to_sliding_groups_only(kind: str, window: int | None) -> None:
    with pytest.raises(ValidationError, match="window_tokens"):
        KVGroup.model_validate(
            {"kind": kind, "num_layers": 1, "num_heads": 1, "head_dim": 8, "window_tokens": window}
        )


def test_a_layout_orders_each_axis_once() -> None:
    with pytest.raises(ValidationError, match="each of"):
        KVLayout(axes=("kv", "kv", "token", "head", "dim"))


def test_same_shape_is_convertible_whatever_the_dtype_and_page() -> None:
    other = SMOL.model_copy(update={"dtype": "fp16", "page_size": 128})
    assert SMOL.convertible_to(other)
    assert not SMOL.convertible_to(SMOL.model_copy(update={"head_dim": 128}))


@pytest.mark.parametrize("name", ["fp16", "bf16", "fp8", "int8", "int4"])
def test_each_preset_of_the_command_line_parses(name: str) -> None:
    assert parse_kv_schema(f"preset={name}") == KV_SCHEMA_PRESETS[name]


def test_a_preset_can_be_refined_by_fields() -> None:
    request = parse_kv_schema("preset=fp8, page_size=32")
    assert (request.dtype, request.page_size) == ("fp8_e4m3", 32)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("preset=fp17", "fp16"),
        ("colour=red", "page_size"),
        ("fp16", "KEY=VALUE"),
        ("page_size=0", "greater than 0"),
    ],
)
def test_a_wrong_kv_schema_says_what_exists(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse_kv_schema(text)


def test_mismatches_name_only_what_was_asked_for() -> None:
    assert KVSchemaRequest().mismatches(SMOL) == []
    assert KVSchemaRequest(page_size=16).mismatches(SMOL) == []
    assert KVSchemaRequest(dtype="fp16").mismatches(SMOL) == ["dtype: asked fp16, got fp32"]
