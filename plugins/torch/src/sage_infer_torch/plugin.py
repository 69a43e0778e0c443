"""Entry point of the backend ``torch``. Imports neither torch nor transformers (PK-02)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_infer_contracts.backend import BackendConfig, InferenceBackend
from sage_infer_contracts.launch import BackendContext

if TYPE_CHECKING:
    from sage_infer_contracts.runtime import DeviceRuntime


def create(config: BackendConfig, context: BackendContext) -> InferenceBackend:
    """Return a backend for ``config``, not yet started; nothing is imported or loaded before ``start``.

    Raises ``InvalidRequest`` for an unknown or ill-typed option, ``Unsupported`` for a setting this engine
    cannot honour, ``DeviceUnavailable`` when the device has no runtime.
    """
    from .backend import TorchBackend

    return TorchBackend(config, _runtime(config, context))


def _runtime(config: BackendConfig, context: BackendContext) -> DeviceRuntime:
    from sage_infer_contracts.errors import DeviceUnavailable

    if context.device_runtime is not None:
        return context.device_runtime
    if config.device != "cpu":
        raise DeviceUnavailable(
            f"no device runtime was given for {config.device!r}; install the plugin that provides it "
            f"under sage_infer.device.v1, or use device 'cpu'",
            reason="no_device_runtime",
        )
    from .device_cpu import CpuRuntime

    return CpuRuntime()
