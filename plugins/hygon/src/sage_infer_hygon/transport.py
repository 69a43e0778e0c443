"""How DCUs exchange data: RCCL of DTK in one engine, Mooncake between engines."""

from __future__ import annotations

from sage_infer_contracts.constraints import TransportChoice

TRANSPORT = TransportChoice(
    collective="RCCL",
    collective_backend="nccl",
    mooncake_wheel=None,
    mooncake_protocol="rdma",
    mooncake_build_flag="USE_HYGON",
    fallback="tcp",
    source="kvcache-ai/Mooncake@3b5a594 docs/build.md: -DUSE_HYGON=ON with DTK_HOME or DTK_ROOT; "
    "vllm-plugin-das: dist_backend nccl",
    notes="No wheel on PyPI has it. Hygon builds wheels of its fork for its own releases of DTK "
    "(mooncake-transfer-engine 0.3.10.post1+das.opt1.dtk2604), which its guide to separate "
    "prefill and decode uses. RCCL comes with DTK; torch calls it nccl.",
)
