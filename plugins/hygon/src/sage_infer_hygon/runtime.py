"""The device ``hygon``: torch's ``cuda`` namespace in a build for HIP, where the devices are DCUs."""

from __future__ import annotations

import re
from typing import Any

from sage_infer_contracts.engines.torch_device import NamespaceRuntime

from .errors import ERRORS

INSTALL_HINT = "install Hygon's torch for the DTK that goes with the driver, and source /opt/dtk/env.sh"
_BUILD = re.compile(r"\+.*\b(?:das|dtk)", re.IGNORECASE)
_ARCHITECTURE = re.compile(r"gfx(?:926|928|936|938)\b")
"""Architectures that only DCUs have; Z100's gfx906 AMD has too."""
_NAME = re.compile(r"hygon|\b[dh]cu\b|\b[ZK]100|\bBW[0-9]*\b", re.IGNORECASE)


class HygonRuntime(NamespaceRuntime):
    """DCUs under ``torch.cuda``."""

    def __init__(self) -> None:
        super().__init__(
            name="hygon",
            namespace="cuda",
            supported_dtypes=("bf16", "fp16", "fp32"),
            install_hint=INSTALL_HINT,
            errors=ERRORS,
        )

    def check(self, framework: Any, namespace: Any) -> None:
        """Raise ``DeviceUnavailable`` where ``torch.cuda`` is NVIDIA's, or HIP is AMD's.

        Hygon's builds say ``das`` and ``dtk`` in their version. A build that does not is Hygon's if every device has an
        architecture or a name that AMD's have not.
        """
        if not getattr(framework.version, "hip", None):
            raise self.unavailable(
                "torch.cuda is no build for HIP, so its devices are no DCUs", "another_vendor"
            )
        if _BUILD.search(str(framework.__version__)):
            return
        for index in range(int(namespace.device_count())):
            properties = namespace.get_device_properties(index)
            architecture = str(getattr(properties, "gcnArchName", ""))
            if not _ARCHITECTURE.match(architecture) and not _NAME.search(
                str(namespace.get_device_name(index))
            ):
                raise self.unavailable(
                    f"device {index} of torch.cuda, {architecture or 'of unknown architecture'}, is no DCU",
                    "another_vendor",
                )
