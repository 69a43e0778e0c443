"""How MLU devices exchange data: CNCL in one engine, Mooncake between engines."""

from __future__ import annotations

from sage_infer_contracts.constraints import TransportChoice

TRANSPORT = TransportChoice(
    collective="CNCL",
    collective_backend="cncl",
    mooncake_wheel=None,
    mooncake_protocol="rdma",
    mooncake_build_flag="USE_MLU",
    fallback="tcp",
    source="kvcache-ai/Mooncake@3b5a594 build guide and MLU page; cncl: torch_mlu's name of the backend",
    notes="Mooncake has no protocol of its own for MLU: it is rdma, with memory registered by DMA-BUF, for which Linux "
    "5.6 and an RDMA card are needed. It is a source build with Neuware; no wheel on PyPI has it.",
)
