"""The backend ``cuda``: vLLM in its standard build, or the native engine on ``torch.cuda``."""

from __future__ import annotations

from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan, refusals_of

from .constraints import CONSTRAINTS
from .refusals import REFUSALS
from .transport import TRANSPORT

INSTALL_HINT = "pip install 'sage-infer-vllm[cuda]'"

PLAN = EngineLaunchPlan(
    hardware="cuda",
    engine="vllm",
    environment={
        # Device numbers are then those of nvidia-smi and of the detector, also where products differ.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        # A process that has used CUDA cannot be forked.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    },
    device_type="cuda",
    required_modules=("vllm",),
    refusals=(*REFUSALS, *(refusal for one in CONSTRAINTS for refusal in refusals_of(one))),
    install_hint=INSTALL_HINT,
)
"""vLLM has CUDA among its own platforms, so no platform plugin is needed; which of its versions were tested the adapter
``sage-infer-vllm`` says and checks."""

RECIPE = BackendRecipe(
    name="cuda",
    hardware="cuda",
    engines=("vllm", "torch"),
    device_runtime="cuda",
    launch_plan=PLAN,
    kv_constraints=CONSTRAINTS,
    transport=TRANSPORT,
)
