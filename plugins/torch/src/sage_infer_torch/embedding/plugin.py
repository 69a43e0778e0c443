"""Entry point of the embedding backend ``torch``. Imports neither torch nor transformers (PK-02)."""

from __future__ import annotations

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.errors import DeviceUnavailable
from sage_infer_contracts.launch import BackendContext


def create(config: BackendConfig, context: BackendContext) -> EmbeddingBackend:
    """Return a backend for ``config``, not yet started; nothing is imported or loaded before ``start``.

    Raises ``InvalidRequest`` for an unknown or ill-typed option, ``Unsupported`` for a setting this backend
    cannot honour, ``DeviceUnavailable`` when the device has no runtime.
    """
    from .backend import TorchEmbeddingBackend

    runtime = context.device_runtime
    if runtime is None:
        if config.device != "cpu":
            raise DeviceUnavailable(
                f"no device runtime was given for {config.device!r}; install the plugin that provides it "
                "under sage_infer.device.v1, or use device 'cpu'",
                reason="no_device_runtime",
            )
        from ..device_cpu import CpuRuntime

        runtime = CpuRuntime()
    return TorchEmbeddingBackend(config, runtime)
