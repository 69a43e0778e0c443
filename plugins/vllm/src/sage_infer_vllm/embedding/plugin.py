"""Entry point of the embedding backend ``vllm``. Imports neither torch nor vLLM (PK-02)."""

from __future__ import annotations

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.launch import BackendContext


def create(config: BackendConfig, context: BackendContext) -> EmbeddingBackend:
    """Return a backend for ``config``, not yet started; vLLM is imported by ``start`` and not before.

    Raises ``InvalidRequest`` for an unknown or ill-typed option, ``Unsupported`` for a setting that has no
    meaning for embeddings.
    """
    from .backend import EmbeddingBackendAdapter

    return EmbeddingBackendAdapter(config, context.launch_plan)
