"""The shared runtime over namespaces that a real torch has: one with a device, and one without."""

from __future__ import annotations

import pytest

from sage_infer_contracts.engines.torch_device import NamespaceRuntime
from sage_infer_contracts.errors import DeviceUnavailable

pytestmark = pytest.mark.engine


def runtime(namespace: str) -> NamespaceRuntime:
    return NamespaceRuntime(
        name="acme", namespace=namespace, supported_dtypes=("fp32", "bf16"), install_hint="pip install acme"
    )


def test_a_namespace_with_a_device_is_used_as_it_is() -> None:
    import torch

    made = runtime("cpu")
    made.prepare()
    assert (made.device_count(), str(made.device(0))) == (1, "cpu:0")
    assert made.framework_dtype("bf16") is torch.bfloat16
    target, source = torch.zeros(3), torch.ones(3)
    with made.stream(None):
        made.copy(target, source, non_blocking=True)
    made.synchronize(0)
    assert target.tolist() == [1, 1, 1]


def test_what_a_namespace_lacks_is_no_python_error() -> None:
    made = runtime("cpu")  # torch measures no memory there, and its streams belong to no device
    made.prepare()
    with pytest.raises(DeviceUnavailable, match="mem_get_info"):
        made.memory_info(0)
    with pytest.raises(DeviceUnavailable, match="making a stream on device 0 failed: TypeError"):
        made.new_stream(0)


@pytest.mark.parametrize(("namespace", "reason"), [("xpu", "no_device"), ("acme", "no_namespace")])
def test_a_build_of_torch_without_the_device_says_so(namespace: str, reason: str) -> None:
    with pytest.raises(DeviceUnavailable, match="pip install acme") as caught:
        runtime(namespace).prepare()
    assert caught.value.reason == reason
