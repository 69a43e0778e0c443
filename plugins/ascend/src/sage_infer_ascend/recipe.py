"""The backend ``ascend``: vLLM with its Ascend platform, or the native engine on torch's device ``npu``."""

from __future__ import annotations

from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan

from .constraints import CONSTRAINTS
from .refusals import REFUSALS
from .transport import TRANSPORT
from .versions import VLLM_ASCEND

PLAN = EngineLaunchPlan(
    hardware="ascend",
    engine="vllm",
    device_type="npu",
    environment={
        # AscendCL forbids a fork between processes that use a device (its guide, restrictions of processes).
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    },
    arguments={"block_size": 128},
    platform_plugin="vllm.platform_plugins:ascend",
    plugin_allowlist=(
        "ascend",
        "ascend_kv_connector",
        "ascend_model_loader",
        "ascend_service_profiling",
        "ascend_model",
    ),
    required_modules=("torch_npu", "vllm_ascend"),
    versions=(VLLM_ASCEND,),
    refusals=REFUSALS,
    install_hint="install driver and CANN, then pip install sage-infer-ascend[vllm] (a source build that needs CANN), "
    "or start from an image of quay.io/ascend/vllm-ascend",
)

RECIPE = BackendRecipe(
    name="ascend",
    hardware="ascend",
    engines=("vllm", "torch"),
    device_runtime="ascend",
    launch_plan=PLAN,
    kv_constraints=CONSTRAINTS,
    transport=TRANSPORT,
)
