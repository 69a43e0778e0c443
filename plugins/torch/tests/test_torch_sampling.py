"""Sampling follows the distribution it is asked for, and depends on seed and position alone."""

from __future__ import annotations

from collections import Counter

import pytest

torch = pytest.importorskip("torch")

from torch_fakes import sequence  # noqa: E402

from sage_infer_contracts.sampling import SamplingParams  # noqa: E402
from sage_infer_torch.sampler import sample, uniform  # noqa: E402

pytestmark = pytest.mark.engine
LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, 3.0, 0.5])
DRAWS = 4000


def drawn(**params: float) -> Counter[int]:
    rows = [sequence(1, params=SamplingParams(**params), seed=seed) for seed in range(DRAWS)]  # type: ignore[arg-type]
    return Counter(sample(LOGITS.repeat(DRAWS, 1), rows))


def test_draws_are_uniform_and_differ_by_seed_and_position() -> None:
    draws = [uniform(seed, position) for seed in range(-20, 20) for position in range(50)]
    assert len(set(draws)) == len(draws)
    assert all(0.0 <= draw < 1.0 for draw in draws)
    assert abs(sum(draws) / len(draws) - 0.5) < 0.03


def test_frequencies_follow_the_tempered_distribution() -> None:
    expected = torch.softmax(LOGITS / 0.7, dim=-1)
    counts = drawn(temperature=0.7)
    for token, probability in enumerate(expected.tolist()):
        assert abs(counts[token] / DRAWS - probability) < 0.03


def test_top_k_keeps_the_k_most_likely() -> None:
    assert set(drawn(top_k=2)) == {4, 0}


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    shares = torch.softmax(LOGITS, dim=-1)
    two = float(shares[4] + shares[0])
    assert set(drawn(top_p=two - 0.01)) == {4, 0}
    assert set(drawn(top_p=two + 0.01)) == {4, 0, 1}
    assert set(drawn(top_p=float(shares[4]) - 0.01)) == {4}


def test_a_row_does_not_depend_on_the_others() -> None:
    mixed = [
        SamplingParams(temperature=0.0),
        SamplingParams(top_k=2),
        SamplingParams(top_p=0.5),
        SamplingParams(),
    ]
    rows = [sequence(1, params=params, seed=seed) for seed in range(30) for params in mixed]
    together = sample(LOGITS.repeat(len(rows), 1), rows)
    assert together == [sample(LOGITS[None], [row])[0] for row in rows]
