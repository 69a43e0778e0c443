"""The device ``kunlunxin``: torch's ``cuda`` namespace, behind which Kunlunxin's build of torch puts its devices."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from sage_infer_contracts.engines.torch_device import NamespaceRuntime

from .errors import ERRORS

EXTENSION = "torch_xmlir"
OTHERS = "another_vendor"
INSTALL_HINT = (
    "install Kunlunxin's driver (XRE) and its build of torch (xpytorch, which brings the module torch_xmlir); "
    "the plugin's README says how"
)


class KunlunxinRuntime(NamespaceRuntime):
    """P800 under ``torch.cuda``.

    ``torch.cuda.is_available()`` is true on NVIDIA's chips as well, the device's name is just ``GPU``, and the compute
    capability (8, 6) is an alias that says nothing about the chip. So neither is asked: :meth:`check` goes by the
    extension that puts the chip there.
    """

    def __init__(self) -> None:
        super().__init__(
            name="kunlunxin",
            namespace="cuda",
            extension=EXTENSION,
            supported_dtypes=("fp16", "bf16", "fp32"),
            install_hint=INSTALL_HINT,
            errors=ERRORS,
        )

    def check(self, framework: Any, namespace: Any) -> None:
        """Raise ``DeviceUnavailable`` where ``torch.cuda`` is NVIDIA's or AMD's."""
        if getattr(framework.version, "hip", None):
            raise self.unavailable("torch.cuda belongs to a HIP build", OTHERS)
        if not is_installed():
            raise self.unavailable(f"without {EXTENSION} torch.cuda is another's", OTHERS)
        names = {str(namespace.get_device_name(index)) for index in range(int(namespace.device_count()))}
        nvidias = sorted(name for name in names if "nvidia" in name.lower())
        if nvidias:
            raise self.unavailable(f"torch.cuda shows {', '.join(nvidias)}", OTHERS)


def is_installed() -> bool:
    """Say whether Kunlunxin's extension of torch is installed, from metadata or files; nothing is imported."""
    try:
        return bool(version(EXTENSION))
    except PackageNotFoundError:
        return find_spec(EXTENSION) is not None
