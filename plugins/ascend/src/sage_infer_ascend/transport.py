"""How Ascend NPUs exchange data, as data."""

from __future__ import annotations

from sage_infer_contracts.constraints import TransportChoice

TRANSPORT = TransportChoice(
    collective="HCCL",
    collective_backend="hccl",
    mooncake_wheel="mooncake-transfer-engine-npu",
    mooncake_protocol="ascend",
    mooncake_build_flag="USE_ASCEND_DIRECT",
    fallback="tcp",
    source="kvcache-ai/Mooncake@3b5a594 build options and its wheels on PyPI; the protocol in vllm-ascend's "
    "configurations of a KV pool; HCCL is part of CANN",
    notes="USE_ASCEND_DIRECT goes over ADXL and is the recommended build; USE_ASCEND goes over HCCL. USE_UBSHMEM needs "
    "CANN 9.0 and driver 26.0. With another vendor's devices at the other end it takes a build with "
    "USE_ASCEND_HETEROGENEOUS, or the fallback.",
)
