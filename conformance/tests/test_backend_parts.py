"""The parts that the backend suite stands on: expected ends, configuration, and the reference's own pieces."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from sage_infer_conformance.kinds.backend.asks import Settings
from sage_infer_conformance.kinds.backend.config import NO_MODEL, Recipe
from sage_infer_conformance.kinds.backend.expectation import expected_end
from sage_infer_conformance.kinds.backend.findings import Delta, Outcome
from sage_infer_conformance.kinds.backend.reference.function import Function, schema_of
from sage_infer_conformance.kinds.backend.reference.pool import Pool
from sage_infer_conformance.kinds.backend.reference.sampler import choose, uniform
from sage_infer_conformance.kinds.backend.reference.text import (
    EOS,
    VOCABULARY,
    Detokenizer,
    StopStrings,
    decode,
    encode,
)
from sage_infer_contracts.content import ContentRoot
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.testing import Subject

TEXTS = ("The keeper of the light", "海上的世界 🙂", "été à la mer", "a\x00b", "")
FREE = Outcome(
    call="r",
    deltas=tuple(
        Delta(tokens=(token,), text=text)
        for token, text in zip((5, 6, 7, 8, 9), ("ab", "", "cd", "e", "fg"), strict=True)
    ),
)


def greedy(**more: object) -> SamplingParams:
    return SamplingParams(temperature=0.0, **more)  # type: ignore[arg-type]


def test_the_first_end_of_several_is_expected() -> None:
    found = expected_end(FREE, greedy(max_tokens=4, stop_token_ids=(7, 8)), ())
    assert found is not None
    assert (found.finish, found.least, found.stop) == ("stop_token", 3, 7)
    ended = expected_end(FREE, greedy(max_tokens=5), {6})
    assert ended is not None
    assert (ended.finish, ended.most) == ("eos", 2)
    told = expected_end(FREE, greedy(max_tokens=2), {8})
    assert told is not None
    assert told.finish == "length"


def test_a_stop_string_across_tokens_cuts_the_text_where_it_begins() -> None:
    found = expected_end(FREE, greedy(max_tokens=5, stop=("bcd", "zz")), ())
    assert found is not None
    assert (found.finish, found.stop, found.text, found.least, found.most) == (
        "stop_string",
        "bcd",
        "a",
        3,
        3,
    )


def test_two_ends_on_one_token_are_not_judged() -> None:
    assert expected_end(FREE, greedy(max_tokens=3, stop=("cd",)), ()) is None
    assert expected_end(FREE, greedy(max_tokens=None), ()) is None


def test_a_recipe_tells_fields_from_options_of_the_plugin() -> None:
    options = {"model": str(NO_MODEL), "dtype": "bf16", "threads": 2, "block_size": 4}
    recipe = Recipe.of(Subject("backend", object, options=options, facts={"lease_option": "lease_s"}))
    config = recipe.config(Settings(max_batch_size=3, lease_s=2.0, page_size=8))
    assert (config.dtype, config.threads, config.max_batch_size) == ("bf16", 2, 3)
    assert config.options == {"block_size": 4, "lease_s": 2.0}
    assert config.kv_schema is not None
    assert config.kv_schema.page_size == 8
    assert not Path(recipe.config(Settings(missing_model=True)).model.path).exists()


def test_an_unknown_model_is_refused_naming_what_is_installed() -> None:
    with pytest.raises(InvalidRequest, match="installed model sources"):
        Recipe.of(Subject("backend", object, options={"model": "no-such-model"}))


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_read_as_the_text_they_came_from(text: str) -> None:
    assert decode(encode(text)) == text


@pytest.mark.parametrize("tokens", [range(VOCABULARY), range(VOCABULARY - 1, -1, -1), encode(TEXTS[1])[1:-1]])
def test_text_in_pieces_joins_to_the_decoded_whole(tokens: range | list[int]) -> None:
    whole = list(tokens)
    detokenizer = Detokenizer()
    pieces = [detokenizer.feed(token) for token in whole[:-1]] + [detokenizer.feed(whole[-1], final=True)]
    assert "".join(pieces) == decode(whole)


def test_a_stop_string_is_found_however_the_text_is_cut() -> None:
    text, stop = "one two three", "wo t"
    for cuts in itertools.combinations(range(1, len(text)), 2):
        stops = StopStrings((stop,))
        out = ""
        for piece in (text[: cuts[0]], text[cuts[0] : cuts[1]], text[cuts[1] :]):
            more, found = stops.feed(piece)
            out += more
            if found:
                break
        assert (out, found) == ("one t", stop)


def test_every_earlier_token_decides_what_follows() -> None:
    function, schema = Function("model"), schema_of(4)

    def last(tokens: list[int]) -> bytes:
        pool = Pool(8, schema, ContentRoot(model_fingerprint="m").key())
        found = pool.acquire(tokens)
        assert found is not None
        table, _ = found
        for position, token in enumerate(tokens):
            pool.write(table, position, function.kv(token, position, lambda seen: pool.read(table, seen)))
        return pool.read(table, len(tokens) - 1)

    tokens = list(range(30, 50))
    known = last(tokens)
    assert known == last(tokens)
    for changed in range(len(tokens)):
        assert last([EOS if n == changed else token for n, token in enumerate(tokens)]) != known


def test_blocks_are_lost_nowhere() -> None:
    pool = Pool(6, schema_of(4), ContentRoot(model_fingerprint="m").key())
    tokens = list(range(14))
    table, reused = pool.acquire(tokens) or ([], 0)
    assert (len(table), reused, pool.free) == (4, 0, 2)
    pool.publish(table, tokens, 14)
    pool.release(table)
    assert pool.free == 6
    again, reused = pool.acquire(tokens) or ([], 0)
    assert (again[:3], reused) == (table[:3], 12)
    assert pool.acquire(list(range(100, 120))) is None
    pool.release(again)
    assert pool.free == 6


def test_a_draw_depends_on_seed_and_count_alone() -> None:
    assert uniform(3, 5) == uniform(3, 5)
    assert len({uniform(seed, draw) for seed in range(20) for draw in range(20)}) == 400
    logits = [0.0, 3.0, 1.0]
    drawn = {choose(logits, SamplingParams(temperature=5.0), 1, draw) for draw in range(50)}
    assert drawn == {0, 1, 2}
    assert choose(logits, SamplingParams(temperature=5.0, top_k=1), 1, 0) == 1
    assert choose(logits, SamplingParams(temperature=0.0, top_p=0.1), 1, 0) == 1
