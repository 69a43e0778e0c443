"""The backend ``cambricon``: vLLM with Cambricon's platform plugin, or the native engine on ``torch.mlu``."""

from __future__ import annotations

from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan

from .constraints import CONSTRAINTS
from .refusals import REFUSALS
from .transport import TRANSPORT
from .versions import VLLM_MLU

INSTALL_HINT = (
    "use Cambricon's container, or install Neuware, torch_mlu and torch_mlu_ops of one SDK release, vLLM with "
    "VLLM_TARGET_DEVICE=empty, and https://github.com/Cambricon/vllm-mlu from source"
)

PLAN = EngineLaunchPlan(
    hardware="cambricon",
    engine="vllm",
    # MLA needs the V1 engine (vllm-mlu@8fa99fd platforms/mlu.py), and no worker is forked from a process that has
    # used the driver. Worker, attention and graphs the platform picks by itself.
    environment={"VLLM_USE_V1": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"},
    arguments={"block_size": 16},
    device_type="mlu",
    platform_plugin="vllm.platform_plugins:mlu",
    plugin_allowlist=("mlu", "mlu_hijack"),
    required_modules=("torch_mlu", "torch_mlu_ops", "vllm_mlu"),
    versions=(VLLM_MLU,),
    refusals=REFUSALS,
    install_hint=INSTALL_HINT,
)

RECIPE = BackendRecipe(
    name="cambricon",
    hardware="cambricon",
    engines=("vllm", "torch"),
    device_runtime="cambricon",
    launch_plan=PLAN,
    kv_constraints=CONSTRAINTS,
    transport=TRANSPORT,
)
