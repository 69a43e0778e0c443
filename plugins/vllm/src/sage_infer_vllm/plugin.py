"""Entry point of the backend ``vllm``. Imports neither torch nor vLLM (PK-02)."""

from __future__ import annotations

from sage_infer_contracts.backend import BackendConfig, InferenceBackend
from sage_infer_contracts.launch import BackendContext


def create(config: BackendConfig, context: BackendContext) -> InferenceBackend:
    """Return a backend for ``config``, not yet started; vLLM is imported by ``start`` and not before.

    Raises ``InvalidRequest`` for an unknown or ill-typed option, or devices that do not match the parallel size.
    """
    from .backend import VLLMBackendAdapter

    return VLLMBackendAdapter(config, context.launch_plan)
