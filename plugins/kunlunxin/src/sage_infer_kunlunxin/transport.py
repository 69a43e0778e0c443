"""How Kunlunxin's chips exchange data, as data."""

from __future__ import annotations

from sage_infer_contracts.constraints import TransportChoice

TRANSPORT = TransportChoice(
    collective="XCCL",
    collective_backend="nccl",
    fallback="tcp",
    source="kvcache-ai/Mooncake@3b5a594 build options, which name no Kunlunxin; XCCL answers as torch's nccl",
    notes="no Mooncake build and no wheel for these chips; KV moves through host memory",
)
