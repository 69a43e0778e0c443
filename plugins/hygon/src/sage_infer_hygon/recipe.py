"""The backends ``hygon`` and ``hygon-hcu``: Hygon's builds of vLLM, or the native engine on DTK's torch.

Hygon has shipped vLLM in two ways: as a fork whose ROCm platform knows DCU, up to 0.20, and from 0.18 on as the plugin
``vllm_hcu`` beside its build of the same release. Both say that they run on device type ``cuda``.
"""

from __future__ import annotations

from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan

from .constraints import CONSTRAINTS
from .refusals import REFUSALS
from .transport import TRANSPORT
from .versions import VLLM, VLLM_HCU

INSTALL_HINT = (
    "use Hygon's vLLM container for the DTK that goes with the driver, source /opt/dtk/env.sh, and install this "
    "plugin in it; the plugin's README says how"
)

PLAN = EngineLaunchPlan(
    hardware="hygon",
    engine="vllm",
    device_type="cuda",
    # vLLM takes a machine for one with ROCm only if amdsmi finds devices, so DTK's build of it must be there.
    required_modules=("amdsmi",),
    versions=(VLLM,),
    refusals=REFUSALS,
    install_hint=INSTALL_HINT,
)
PLUGIN_PLAN = PLAN.model_copy(
    update={
        "platform_plugin": "vllm.platform_plugins:hcu",
        "plugin_allowlist": ("hcu", "hcu_model", "hcu_ops"),
        "required_modules": ("vllm_hcu",),
        "versions": (VLLM_HCU,),
    }
)
"""Entry points are those of vllm-plugin-das@06845d2, setup.py."""

RECIPE = BackendRecipe(
    name="hygon",
    hardware="hygon",
    engines=("vllm", "torch"),
    device_runtime="hygon",
    launch_plan=PLAN,
    kv_constraints=CONSTRAINTS,
    transport=TRANSPORT,
)

PLUGIN_RECIPE = BackendRecipe(
    name="hygon-hcu",
    hardware="hygon",
    engines=("vllm",),
    launch_plan=PLUGIN_PLAN,
    kv_constraints=CONSTRAINTS,
    transport=TRANSPORT,
)
