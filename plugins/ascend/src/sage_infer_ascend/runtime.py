"""The device ``ascend``: torch's namespace ``npu``, which the extension torch_npu adds."""

from __future__ import annotations

from typing import Any

from sage_infer_contracts.engines.torch_device import NamespaceRuntime

from .chips import chip_of
from .errors import ERRORS
from .refusals import WITHOUT_BF16

INSTALL_HINT = (
    "install Huawei's driver and CANN, then the torch-npu that goes with this torch and CANN: "
    "pip install sage-infer-ascend[runtime]"
)


class AscendRuntime(NamespaceRuntime):
    """Ascend NPUs under torch."""

    def __init__(self) -> None:
        super().__init__(
            name="ascend",
            namespace="npu",
            extension="torch_npu",
            supported_dtypes=("bf16", "fp16", "fp32"),
            install_hint=INSTALL_HINT,
            errors=ERRORS,
        )

    def check(self, framework: Any, namespace: Any) -> None:
        """Leave bf16 out of the dtypes on a chip that has none: 310P, and the first 910."""
        if not namespace.is_available():
            return
        chip = chip_of(str(namespace.get_device_name(0)))
        if chip is not None and chip.name in WITHOUT_BF16:
            self.supported_dtypes = tuple(dtype for dtype in self.supported_dtypes if dtype != "bf16")
