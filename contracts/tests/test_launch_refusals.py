"""When a refusal holds, and what a platform's KV constraints and transports say as data."""

from __future__ import annotations

import pytest

from sage_infer_contracts.constraints import KVConstraints, TransportChoice
from sage_infer_contracts.kv import KVSchemaRequest
from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan, Refusal, refusals_of

PAGE = "kv_schema.page_size"


@pytest.mark.parametrize(
    ("fields", "settings", "chip", "holds"),
    [
        ({"value": "fp32"}, {}, None, False),
        ({"value": "fp32"}, {"dtype": "fp32"}, None, True),
        ({"value": "fp32"}, {"dtype": "fp16"}, None, False),
        ({}, {"dtype": "fp16"}, None, True),
        ({"allowed": ("fp16", "bf16")}, {"dtype": "bf16"}, None, False),
        ({"allowed": ("fp16", "bf16")}, {"dtype": "fp8_e4m3"}, None, True),
        ({"value": "bf16", "chips": ("X1",)}, {"dtype": "bf16"}, None, False),
        ({"value": "bf16", "chips": ("X1",)}, {"dtype": "bf16"}, "X2", False),
        ({"value": "bf16", "chips": ("X1",)}, {"dtype": "bf16"}, "X1", True),
        ({"value": "bf16", "when": {"engine": "vllm"}}, {"dtype": "bf16"}, None, False),
        ({"value": "bf16", "when": {"engine": "vllm"}}, {"dtype": "bf16", "engine": "vllm"}, None, True),
    ],
)
def test_a_refusal_holds_for_what_was_not_asked(
    fields: dict[str, object], settings: dict[str, str], chip: str | None, holds: bool
) -> None:
    refusal = Refusal.model_validate({"setting": "dtype", "reason": "it cannot", **fields})
    assert refusal.holds_for(settings, chip) is holds


KV = KVConstraints(
    block_sizes=(128,), dtypes=("fp16", "bf16"), engine="vllm", when={"model.attention": "mla"}, source="a manual"
)  # fmt: skip


def test_constraints_name_what_a_schema_breaks() -> None:
    assert KV.mismatches(KVSchemaRequest(page_size=16, dtype="fp8_e4m3")) == [
        "page_size: 16, allowed 128",
        "dtype: fp8_e4m3, allowed fp16, bf16",
    ]
    assert KV.mismatches(KVSchemaRequest(page_size=128)) == []
    assert KVConstraints(source="nobody says").mismatches(KVSchemaRequest(page_size=7)) == []


def test_constraints_become_refusals_with_an_alternative() -> None:
    page, dtype = refusals_of(KV)
    asked = {PAGE: "16", "engine": "vllm", "model.attention": "mla"}
    assert page.holds_for(asked, None)
    assert not page.holds_for({**asked, PAGE: "128"}, None)
    assert not page.holds_for({**asked, "engine": "torch"}, None)
    assert not page.holds_for({PAGE: "16", "engine": "vllm"}, None)
    assert ("128 (a manual)" in page.reason, page.alternative) == (True, "kv_schema.page_size=128")
    assert dtype.allowed == ("fp16", "bf16")
    assert refusals_of(KVConstraints(source="x", swap=False)) == ()


def test_a_recipe_carries_constraints_and_transport_over_the_wire() -> None:
    transport = TransportChoice(
        collective="ACCL", mooncake_protocol="acme", mooncake_build_flag="USE_ACME", source="a page"
    )
    recipe = BackendRecipe(
        name="acme", hardware="acme", engines=("vllm",), launch_plan=EngineLaunchPlan(hardware="acme", engine="vllm"),
        kv_constraints=(KV,), transport=transport,
    )  # fmt: skip
    assert BackendRecipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_two_vendors_share_rdma_and_no_network_of_their_own() -> None:
    rdma = TransportChoice(mooncake_protocol="rdma", collective="A", source="x")
    other = TransportChoice(mooncake_protocol="rdma", collective="B", source="y")
    own = TransportChoice(mooncake_protocol="acme", source="x")
    same_word = TransportChoice(mooncake_protocol="acme", source="another's")
    assert rdma.shared_with(other) == "rdma"
    assert own.shared_with(own) == "acme"
    assert own.shared_with(same_word) == own.shared_with(rdma) == "tcp"
    with pytest.raises(ValueError, match="shm here, tcp there"):
        TransportChoice(source="x", fallback="shm").shared_with(rdma)
