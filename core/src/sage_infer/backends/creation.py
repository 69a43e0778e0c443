"""A plan made into an object, in whichever process the engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.runtime import DeviceRuntime

from .plan import BackendPlan

if TYPE_CHECKING:
    from sage_infer.plugins import Registry
    from sage_infer_contracts.backend import InferenceBackend
    from sage_infer_contracts.embedding import EmbeddingBackend


def create_backend(plan: BackendPlan, registry: Registry) -> InferenceBackend | EmbeddingBackend:
    """Create the backend of ``plan``, not started; its plugins are exactly those the plan names (PK-07).

    Raises ``PluginIncompatible`` when another version is installed here, ``PluginLoadError`` when a plugin
    fails or returns something that is no member of its kind.
    """
    from sage_infer.plugins.loading import create

    device_runtime: DeviceRuntime | None = None
    if plan.device is not None:
        device_runtime = create(registry.resolve(plan.device), (), {})
    context = BackendContext(device_runtime=device_runtime, launch_plan=plan.launch_plan)
    backend = create(registry.resolve(plan.engine), (plan.config, context), {})
    return cast("InferenceBackend | EmbeddingBackend", backend)
