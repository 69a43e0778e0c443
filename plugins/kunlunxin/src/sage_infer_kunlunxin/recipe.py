"""The backend ``kunlunxin``: vLLM with the platform plugin vLLM-Kunlun, or the native engine on its build of torch."""

from __future__ import annotations

from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan

from .constraints import CONSTRAINTS
from .detector import HARDWARE
from .refusals import REFUSALS
from .transport import TRANSPORT
from .versions import VLLM_KUNLUN

PLAN = EngineLaunchPlan(
    hardware=HARDWARE,
    engine="vllm",
    # vLLM-Kunlun's tutorials and its manual for new models; the last of them keeps torch.compile real.
    environment={
        "XMLIR_FORCE_USE_XPU_GRAPH": "1",
        "XMLIR_CUDNN_ENABLED": "1",
        "XPU_USE_DEFAULT_CTX": "1",
        "XMLIR_ENABLE_MOCK_TORCH_COMPILE": "false",
    },
    arguments={"distributed_executor_backend": "mp"},
    device_type="cuda",  # the platform's own word; is_cuda() is false there
    platform_plugin="vllm.platform_plugins:kunlun",
    # What its two metadata files name; a build from pyproject.toml lacks kunlun_quant.
    plugin_allowlist=(
        "kunlun",
        "kunlun_model",
        "kunlun_quant",
        "kunlun_reasoning_parser",
        "kunlun_fused_moe",
    ),
    required_modules=("torch_xmlir", "vllm_kunlun"),
    versions=(VLLM_KUNLUN,),
    refusals=REFUSALS,
    install_hint="install vLLM-Kunlun and the vLLM of the same version in the vendor's image; see the README",
)

RECIPE = BackendRecipe(
    name=HARDWARE,
    hardware=HARDWARE,
    engines=("vllm", "torch"),
    device_runtime=HARDWARE,
    launch_plan=PLAN,
    kv_constraints=CONSTRAINTS,
    transport=TRANSPORT,
)
"""Found under ``sage_infer.backend.v1`` as ``kunlunxin``."""
