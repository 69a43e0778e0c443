"""CambriconRuntime: the devices of ``torch.mlu``, which torch_mlu adds."""

from __future__ import annotations

from typing import Any

from sage_infer_contracts.engines.torch_device import NamespaceRuntime

from .errors import ERRORS


class CambriconRuntime(NamespaceRuntime):
    """``torch.mlu``. torch_mlu is imported before anything imports triton, that fails otherwise."""

    def __init__(self) -> None:
        super().__init__(
            name="cambricon",
            namespace="mlu",
            extension="torch_mlu",
            supported_dtypes=("bf16", "fp16", "fp32"),
            install_hint="install Neuware and torch_mlu of one Cambricon SDK release, or use Cambricon's container",
            errors=ERRORS,
        )

    def check(self, framework: Any, namespace: Any) -> None:
        """Leave bf16 out where the devices do not compute in it, as on MLU370."""
        supported = getattr(namespace, "is_bf16_supported", None)
        if supported is None or not supported():
            self.supported_dtypes = ("fp16", "fp32")
