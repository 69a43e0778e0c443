"""Packed layers give what the plain ones give, and those that read one tensor are one product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from sage_infer_torch.device_cpu import CpuRuntime  # noqa: E402
from sage_infer_torch.packing import PackedLinear, pack_linears  # noqa: E402

pytestmark = pytest.mark.engine
WIDTH, QUERY, KEY = 24, 16, 8


class Projections(nn.Module):
    """Three layers on one input, one of them with a bias, and one on what they give."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, QUERY)
        self.key = nn.Linear(WIDTH, KEY, bias=False)
        self.value = nn.Linear(WIDTH, KEY, bias=False)
        self.out = nn.Linear(QUERY + 2 * KEY, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.cat([self.query(x), self.key(x), self.value(x)], dim=-1))


class Plain(CpuRuntime):
    """A device that has no layout of its own."""

    def pack_linear(self, weight: Any, bias: Any) -> None:
        return None


class Counting(CpuRuntime):
    """Counts the products that it packs."""

    def __init__(self) -> None:
        self.widths: list[int] = []

    def pack_linear(self, weight: Any, bias: Any) -> Callable[[Any], Any] | None:
        self.widths.append(weight.shape[0])
        return super().pack_linear(weight, bias)


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.inference_mode():
        yield


def packed(module: nn.Module, runtime: Any) -> torch.Tensor:
    return pack_linears(module, runtime, lambda: module(torch.ones(3, WIDTH)))[0]


@pytest.mark.parametrize("runtime", [CpuRuntime, Plain])
@settings(deadline=None)
@given(rows=st.integers(1, 70))
def test_the_result_is_the_plain_one_whatever_the_rows(runtime: type[CpuRuntime], rows: int) -> None:
    torch.manual_seed(rows)
    module, x = Projections(), torch.randn(1, rows, WIDTH)
    expected = module(x)
    packed(module, runtime())
    torch.testing.assert_close(module(x), expected)


def test_what_reads_one_tensor_is_one_product() -> None:
    module, runtime = Projections(), Counting()
    before = module(torch.ones(3, WIDTH))
    torch.testing.assert_close(packed(module, runtime), before)
    assert sorted(runtime.widths) == [WIDTH, QUERY + 2 * KEY]
    assert [type(layer) for layer in module.children()] == [PackedLinear] * 4
    assert list(module.parameters()) == [], "the plain weights are let go"


def test_a_part_asked_for_alone_or_with_another_input_is_right() -> None:
    module = Projections()
    weight = module.value.weight
    packed(module, CpuRuntime())
    one, other = torch.randn(2, WIDTH), torch.randn(2, WIDTH)
    module.query(one)
    torch.testing.assert_close(module.value(other), other @ weight.T)
    torch.testing.assert_close(module.value(one), one @ weight.T)


class Twice(nn.Module):
    """One layer that is called twice, one that is not reached, and a subclass with a product of its own."""

    class Doubling(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(WIDTH, WIDTH)
        self.unreached = nn.Linear(WIDTH, WIDTH)
        self.doubling = self.Doubling(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.doubling(self.again(self.again(x)))


def test_layers_that_are_no_plain_step_of_the_forward_are_left_alone() -> None:
    module, x = Twice(), torch.randn(2, WIDTH)
    expected = module(x)
    packed(module, CpuRuntime())
    assert not any(isinstance(layer, PackedLinear) for layer in module.modules())
    torch.testing.assert_close(module(x), expected)
