"""The tolerance of no dtype hides a wrong vector."""

import pytest

from sage_infer_conformance.kinds.embedding.vectors import COARSEST, tolerance
from sage_infer_conformance.mutants.embedding import PaddingInTheMean, PaddingIsSeen
from sage_infer_conformance.running.session import Order, run
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.testing import Subject


class _Declares:
    precision = "fp32"

    def get_capability(self) -> CapabilityDescriptor:
        capability: CapabilityDescriptor = super().get_capability()  # type: ignore[misc]
        return capability.model_copy(update={"supported_precisions": (self.precision,)})


class PaddedHalf(_Declares, PaddingInTheMean):
    precision = "bf16"


class PaddedBytes(_Declares, PaddingInTheMean):
    precision = "int8"


class SeenHalf(_Declares, PaddingIsSeen):
    precision = "fp16"


class SeenBytes(_Declares, PaddingIsSeen):
    precision = "fp8_e5m2"


padded_half, padded_bytes, seen_half, seen_bytes = (
    Subject("embedding", made) for made in (PaddedHalf, PaddedBytes, SeenHalf, SeenBytes)
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["padded_half", "padded_bytes", "seen_half", "seen_bytes"])
def test_padding_shows_through_the_tolerance_of_any_dtype(name: str) -> None:
    outcome = run(Order(f"{__file__}:{name}", until_broken="EB-02"))
    assert outcome.docket.is_broken("EB-02")


def test_a_tolerance_is_a_small_part_of_what_tells_texts_apart() -> None:
    assert tolerance(["fp32"]) < 1e-4
    assert tolerance(["fp32"]) < tolerance(["fp16"]) < tolerance(["bf16"]) < COARSEST
    assert tolerance(["fp32", "bf16"]) == tolerance(["bf16"])
    assert tolerance(["int4"]) == COARSEST < 0.15
