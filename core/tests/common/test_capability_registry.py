"""The capability registry answers schedulers from what its owners said, and nobody else can change that."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sage_infer.common.capability_registry import CapabilityQuery, CapabilityRegistry
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.names import InstanceType

SCHEMA = KVCacheSchema(dtype="fp16", page_size=16, num_layers=2, num_heads=2, head_dim=8)
OTHER_PAGE = SCHEMA.model_copy(update={"page_size": 32})


def descriptor(**changes: object) -> CapabilityDescriptor:
    facts: dict[str, object] = {
        "backend_name": "b", "hardware_backend": "cpu", "max_batch_size": 4, "max_sequence_length": 100,
        "kv_cache_capacity_gb": 1.0, "supported_precisions": ("fp32", "bf16"), "kv_schema": SCHEMA,
        "capabilities": frozenset({Capability.BACKEND_GENERATE}),
    }  # fmt: skip
    return CapabilityDescriptor.model_validate({**facts, **changes})


@pytest.fixture
def registry() -> CapabilityRegistry:
    registry = CapabilityRegistry()
    registry.register("a", descriptor(), model_id="m", owner="o")
    split = frozenset({Capability.BACKEND_GENERATE, Capability.BACKEND_SPLIT_PREFILL})
    more = {"instance_type": InstanceType.PREFILL, "hardware_backend": "acme", "max_sequence_length": 1000}
    precise = {"supported_precisions": ("fp16",), "kv_schema": OTHER_PAGE, "capabilities": split}
    registry.register("b", descriptor(**more, **precise), model_id="n", owner="o")
    registry.register("c", descriptor(kv_schema=None), model_id="n", owner="p")
    return registry


@pytest.mark.parametrize(
    ("restrictions", "expected"),
    [
        ({}, "abc"),
        ({"capabilities": {Capability.BACKEND_SPLIT_PREFILL}}, "b"),
        ({"model_id": "n"}, "bc"),
        ({"instance_types": {InstanceType.PREFILL, InstanceType.DECODE}}, "b"),
        ({"hardware": "cpu"}, "ac"),
        ({"dtype": "bf16"}, "ac"),
        ({"min_sequence_length": 101}, "b"),
        ({"kv_schema": SCHEMA}, "a"),
        ({"kv_convertible_to": SCHEMA}, "ab"),
        ({"model_id": "n", "hardware": "cpu", "kv_schema": SCHEMA}, ""),
    ],
)
def test_a_query_returns_exactly_the_instances_that_meet_every_restriction(
    registry: CapabilityRegistry, restrictions: dict[str, Any], expected: str
) -> None:
    assert "".join(found.instance_id for found in registry.query(**restrictions)) == expected
    assert registry.query(CapabilityQuery(**restrictions)) == registry.query(**restrictions)


def test_only_the_owner_replaces_or_removes_an_instance(registry: CapabilityRegistry) -> None:
    with pytest.raises(InvalidRequest, match="belongs to 'o'"):
        registry.register("a", descriptor(), model_id="m", owner="thief")
    with pytest.raises(InvalidRequest, match="belongs to 'o'"):
        registry.unregister("a", owner="thief")
    with pytest.raises(InvalidRequest, match="serves 'm'"):
        registry.register("a", descriptor(), model_id="other", owner="o")
    registry.register("a", descriptor(max_batch_size=9), model_id="m", owner="o")
    found = registry.get("a")
    assert found is not None
    assert found.descriptor.max_batch_size == 9
    assert registry.unregister("a", owner="o")
    assert not registry.unregister("a", owner="o")
    assert registry.get("a") is None
    assert registry.model_ids() == ["n"]


def test_what_exists_can_be_summed_up(registry: CapabilityRegistry) -> None:
    assert registry.model_ids() == ["m", "n"]
    assert Capability.BACKEND_SPLIT_PREFILL in registry.capabilities()
    assert registry.capabilities(registry.query(model_id="m")) == {Capability.BACKEND_GENERATE}
    assert registry.capabilities([]) == frozenset()


def test_threads_that_register_and_query_at_once_lose_nothing() -> None:
    registry = CapabilityRegistry()

    def work(owner: str) -> None:
        for number in range(50):
            registry.register(f"{owner}-{number}", descriptor(), model_id=owner, owner=owner)
            registry.query(model_id=owner)
            if number % 2:
                registry.unregister(f"{owner}-{number}", owner=owner)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(registry.instances()) == 4 * 25
