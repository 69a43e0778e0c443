"""The device ``cuda``: NVIDIA GPUs under ``torch.cuda``."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from sage_infer_contracts.engines.torch_device import NamespaceRuntime
from sage_infer_contracts.names import DType

from .errors import ERRORS
from .lookalikes import BUILDS, EXTENSIONS, PRODUCTS, VERSIONS
from .parsing.fields import dtypes_of

INSTALL_HINT = "install NVIDIA's driver and a build of torch for CUDA: pip install torch"


class CudaRuntime(NamespaceRuntime):
    """NVIDIA GPUs; what they compute in follows from the compute capability of the least of them."""

    def __init__(self) -> None:
        super().__init__(
            name="cuda",
            namespace="cuda",
            supported_dtypes=("fp16", "fp32"),
            install_hint=INSTALL_HINT,
            errors=ERRORS,
        )

    def check(self, framework: Any, namespace: Any) -> None:
        """Raise ``DeviceUnavailable`` where ``torch.cuda`` is another vendor's; learn the dtypes of all devices."""
        if any(getattr(framework.version, one, None) for one in VERSIONS) or BUILDS.search(
            str(framework.__version__)
        ):
            raise self.unavailable(
                f"torch {framework.__version__} is a build for another vendor", "another_vendor"
            )
        aliases = [name for name in EXTENSIONS if find_spec(name) is not None]
        if aliases:
            raise self.unavailable(
                f"{', '.join(aliases)} puts another device behind torch.cuda", "another_vendor"
            )
        common: set[DType] | None = None
        best: tuple[DType, ...] = ()
        for index in range(int(namespace.device_count())):
            name = str(namespace.get_device_name(index))
            if PRODUCTS.fullmatch(name):
                raise self.unavailable(
                    f"device {index} of torch.cuda is {name!r}, not NVIDIA's", "another_vendor"
                )
            major, minor = namespace.get_device_capability(index)
            best = dtypes_of(f"{major}.{minor}")
            common = set(best) if common is None else common & set(best)
        if common:
            self.supported_dtypes = tuple(one for one in best if one in common)
