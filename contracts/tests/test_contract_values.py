"""The smaller value types: regions, keys, plans, names, reports."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import ValidationError

from sage_infer_contracts.backend import BackendStats
from sage_infer_contracts.content import ContentRoot, chain_key
from sage_infer_contracts.descriptors import HybridCapabilityDescriptor, ModelDescriptor
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor
from sage_infer_contracts.launch import BackendRecipe
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.names import InstanceType, check_plugin_name
from sage_infer_contracts.plugins import PluginKind
from sage_infer_contracts.states import PrefilledSequence, PrefillResult
from sage_infer_contracts.streams import TokenDelta
from sage_infer_contracts.transport import KVChunk, TransportPlan

CHUNK = KVChunk(request_id="r", layer_start=0, layer_end=2, block_ids=(1,), schema_fingerprint="f", nbytes=64)
REGION = MemoryRegion(device="cpu", address=4096, nbytes=64)


def test_a_slice_stays_inside_its_region() -> None:
    assert REGION.slice(16, 48).address == 4112
    for offset, nbytes in ((-1, 8), (0, 0), (60, 8)):
        with pytest.raises(ValueError, match="outside"):
            REGION.slice(offset, nbytes)


tokens = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8)


@given(tokens, tokens)
def test_block_keys_differ_when_tokens_or_history_do(first: list[int], second: list[int]) -> None:
    root = ContentRoot(model_fingerprint="m").key()
    parent = chain_key(root, first)
    assert chain_key(parent, second) != chain_key(root, second)
    assert (chain_key(root, first) == chain_key(root, second)) == (first == second)


def test_the_parts_of_a_root_cannot_run_into_each_other() -> None:
    assert (
        ContentRoot(model_fingerprint="ab").key() != ContentRoot(model_fingerprint="a", namespace="b").key()
    )


def test_a_plan_moves_exactly_the_bytes_of_its_chunks() -> None:
    def plan(nbytes: int) -> TransportPlan:
        return TransportPlan(
            transfer_id="t",
            chunks=(CHUNK,),
            source=(REGION,),
            destination="peer",
            destination_regions=(MemoryRegion(device="cpu", address=0, nbytes=nbytes),),
            lease="l",
            generation=0,
            deadline_s=1,
        )

    assert plan(64).chunks == (CHUNK,)
    with pytest.raises(ValidationError, match="destination regions"):
        plan(63)


def test_a_chunk_covers_at_least_one_layer() -> None:
    with pytest.raises(ValidationError, match="layer_end"):
        KVChunk.model_validate({**CHUNK.model_dump(), "layer_start": 2})


@pytest.mark.parametrize("spelling", ["PREFILLING", "prefill", "Prefilling"])
def test_all_historical_spellings_of_a_role_are_one_role(spelling: str) -> None:
    assert InstanceType.parse(spelling) is InstanceType.PREFILL
    assert InstanceType.parse("LLM_EMBEDDING") is InstanceType.LLM_EMBEDDING


@pytest.mark.parametrize("name", ["", "Torch", "a b", "1x", "a--b", "a-", "ü"])
def test_illegal_plugin_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="plugin name"):
        check_plugin_name(name)


def test_hardware_names_are_open() -> None:
    assert AcceleratorDescriptor(hardware_backend="acme-9", name="A9").hardware_backend == "acme-9"


def test_groups_carry_the_contract_major() -> None:
    assert PluginKind.KV_TIER.group == "sage_infer.kv_tier.v1"


def test_absence_with_devices_and_failure_without_reason_are_contradictions() -> None:
    device = AcceleratorDescriptor(hardware_backend="cpu", name="x")
    with pytest.raises(ValidationError, match="absent"):
        DetectionReport(hardware_backend="cpu", state="absent", accelerators=(device,))
    with pytest.raises(ValidationError, match="reason"):
        DetectionReport(hardware_backend="cpu", state="unreadable")


def test_a_recipe_needs_a_way_to_reach_its_device() -> None:
    with pytest.raises(ValidationError, match="device_runtime"):
        BackendRecipe(name="x", hardware="acme", engines=("torch",))


def test_kv_usage_of_an_empty_pool_is_zero() -> None:
    assert BackendStats().kv_usage == 0.0
    assert BackendStats(blocks_total=4, blocks_held=1).kv_usage == 0.25


def test_a_hybrid_descriptor_sorts_its_models_by_type() -> None:
    def model(name: str, kind: str) -> ModelDescriptor:
        return ModelDescriptor.model_validate(
            {
                "model_id": name,
                "model_type": kind,
                "model_path": "p",
                "memory_gb": 1,
                "max_batch_size": 1,
                "max_sequence_length": 8,
                "supported_precisions": ["fp32"],
            }
        )

    hybrid = HybridCapabilityDescriptor(
        backend_name="h", loaded_models=(model("a", "llm"), model("b", "embedding"))
    )
    assert [m.model_id for m in hybrid.get_llm_models()] == ["a"]
    assert [m.model_id for m in hybrid.get_embedding_models()] == ["b"]


def test_finished_sequences_have_no_state_to_decode() -> None:
    result = PrefillResult("r", (PrefilledSequence(TokenDelta((1,), "x"), None),))
    assert result.states == ()
