"""Biases, penalties and forbidden ends change the logits they name, row by row; log-probabilities are the model's."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

torch = pytest.importorskip("torch")

from torch_fakes import sequence  # noqa: E402

from sage_infer_contracts.sampling import SamplingParams  # noqa: E402
from sage_infer_torch.logit_edits import edited  # noqa: E402
from sage_infer_torch.logprobs import token_logprobs  # noqa: E402
from sage_infer_torch.sampler import sample  # noqa: E402

pytestmark = pytest.mark.engine
VOCABULARY = 6
LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, 3.0, 0.5])
END = 4


def row(output: tuple[int, ...] = (), **params: Any) -> Any:
    """A sequence with the prompt 0, 1 and ``output``."""
    made = sequence(2, params=SamplingParams(**params))
    made.token_ids.extend(output)
    return made


def one(made: Any) -> list[float]:
    return [float(value) for value in edited(LOGITS[None], [made], {END})[0]]


def by_the_definition(made: Any) -> list[float]:
    """The same, written for one token at a time."""
    params, prompt, output = made.params, made.token_ids[:2], made.token_ids[2:]
    expected = []
    for token, logit in enumerate(LOGITS.tolist()):
        value = logit + (params.logit_bias or {}).get(token, 0.0)
        ends = {*params.stop_token_ids, *(() if params.ignore_eos else (END,))}
        if len(output) < params.min_tokens and token in ends:
            value = -math.inf
        if token in prompt or token in output:
            value = value / params.repetition_penalty if value > 0 else value * params.repetition_penalty
        value -= params.frequency_penalty * output.count(token)
        value -= params.presence_penalty * (token in output)
        expected.append(value)
    return expected


def test_nothing_asked_is_nothing_done() -> None:
    assert edited(LOGITS[None], [row((1, 2))], {END}).data_ptr() == LOGITS.data_ptr()


tokens = st.integers(0, VOCABULARY - 1)
asked = st.fixed_dictionaries(
    {},
    optional={
        "repetition_penalty": st.floats(0.1, 2.0),
        "presence_penalty": st.floats(-2.0, 2.0),
        "frequency_penalty": st.floats(-2.0, 2.0),
        "logit_bias": st.dictionaries(tokens, st.floats(-100, 100), max_size=3),
        "min_tokens": st.integers(0, 4),
        "stop_token_ids": st.lists(tokens, max_size=2).map(tuple),
        "ignore_eos": st.booleans(),
    },
)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.lists(tokens, max_size=8).map(tuple), asked), min_size=1, max_size=5))
def test_every_row_is_edited_by_its_own_parameters(
    rows: list[tuple[tuple[int, ...], dict[str, Any]]],
) -> None:
    made = [row(output, **params) for output, params in rows]
    got = edited(LOGITS.repeat(len(made), 1), made, {END})
    expected = torch.tensor([by_the_definition(each) for each in made])
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)


def test_counts_follow_the_output_as_it_grows() -> None:
    growing = row(frequency_penalty=0.5, presence_penalty=0.25, repetition_penalty=1.5)
    for token in (3, 3, 5, 0, 3):
        growing.token_ids.append(token)
        assert one(growing) == pytest.approx(by_the_definition(growing))


def test_an_end_is_not_chosen_before_it_may_be() -> None:
    assert sample(LOGITS[None], [row(temperature=0.0, min_tokens=2)], {END}) == [0]
    assert sample(LOGITS[None], [row((0, 0), temperature=0.0, min_tokens=2)], {END}) == [END]
    assert sample(LOGITS[None], [row(temperature=0.0, min_tokens=2, ignore_eos=True)], {END}) == [END]


def test_min_p_keeps_what_is_likely_beside_the_best() -> None:
    shares = torch.softmax(LOGITS, dim=-1)
    between = float((shares[0] + shares[1]) / 2 / shares[4])
    drawn = {
        sample(LOGITS[None], [sequence(1, params=SamplingParams(min_p=between), seed=seed)])[0]
        for seed in range(300)
    }
    assert drawn == {4, 0}


def test_logprobs_are_of_the_models_distribution_and_only_where_asked() -> None:
    rows = [row(logprobs=2, temperature=0.1, logit_bias={3: 90.0}), row(), row(logprobs=0)]
    plain, none, own = token_logprobs(LOGITS.repeat(3, 1), rows, [3, 0, 1])
    scores = torch.log_softmax(LOGITS, dim=-1).tolist()
    assert none is None
    assert plain is not None
    assert own is not None
    assert plain[0].logprob == pytest.approx(scores[3])
    assert [token for token, _ in plain[0].top] == [4, 0]
    assert [value for _, value in plain[0].top] == pytest.approx([scores[4], scores[0]])
    assert (own[0].token_id, own[0].top) == (1, ())
