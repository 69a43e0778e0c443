"""SamplingParams: what is legal, and what needs a capability."""

import pytest
from pydantic import ValidationError

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.errors import Unsupported
from sage_infer_contracts.sampling import SamplingParams

SPECIAL = {
    "min_p": 0.1,
    "min_tokens": 1,
    "repetition_penalty": 1.1,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "logit_bias": {1: 1.0},
    "logprobs": 0,
    "n": 2,
    "json_schema": "{}",
}


def test_defaults_need_no_capability() -> None:
    SamplingParams().require(frozenset())


@pytest.mark.parametrize("param", SPECIAL)
def test_an_undeclared_capability_is_refused_by_parameter_name(param: str) -> None:
    params = SamplingParams.model_validate({param: SPECIAL[param]})
    with pytest.raises(Unsupported, match=param) as refused:
        params.require(frozenset())
    assert refused.value.param == param
    params.require(frozenset(Capability))


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"max_tokens": 0},
        {"stop": [""]},
        {"stop": ["x"] * 17},
        {"min_tokens": 5, "max_tokens": 4},
        {"seed": 2**64},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SamplingParams.model_validate(wrong)


def test_zero_temperature_is_greedy() -> None:
    assert SamplingParams(temperature=0).greedy
    assert not SamplingParams().greedy
