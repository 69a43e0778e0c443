"""How NVIDIA GPUs exchange data, as data."""

from __future__ import annotations

from sage_infer_contracts.constraints import TransportChoice

TRANSPORT = TransportChoice(
    collective="NCCL",
    collective_backend="nccl",
    mooncake_wheel="mooncake-transfer-engine",
    mooncake_protocol="rdma",
    mooncake_build_flag="USE_CUDA",
    fallback="tcp",
    source="kvcache-ai/Mooncake@3b5a594 build guide; its wheels on PyPI; torch.distributed's backend nccl",
    notes="For CUDA 13 the wheel is mooncake-transfer-engine-cuda13. rdma needs a network card for RDMA and, from GPU "
    "memory without staging, the kernel module nvidia_peermem or DMA-BUF; without a card Mooncake's protocol is tcp.",
)
