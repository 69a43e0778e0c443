"""Text comes out once, whole characters only, and stops before a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, strategies as st

from sage_infer_torch.detokenizer import Detokenizer
from sage_infer_torch.stops import StopMatcher


def decode_bytes(ids: Sequence[int]) -> str:
    """A byte-level vocabulary; 256 is a special token without text."""
    return bytes(i for i in ids if i < 256).decode(errors="replace")


def stream(ids: Sequence[int], start: int = 0) -> list[str]:
    under_test = Detokenizer(decode_bytes, start)
    pieces = [under_test.advance(ids[:end]) for end in range(start + 1, len(ids) + 1)]
    return [*pieces, under_test.advance(ids, final=True)]


@given(st.text(max_size=30))
def test_pieces_join_to_the_text_and_never_split_a_character(text: str) -> None:
    pieces = stream(list(text.encode()))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces if "\ufffd" not in text)


@given(st.lists(st.integers(0, 256), max_size=24))
def test_any_bytes_join_to_the_decoded_whole(ids: list[int]) -> None:
    assert "".join(stream(ids)) == decode_bytes(ids)


def test_the_prompt_is_not_part_of_the_output() -> None:
    assert "".join(stream(list(b"prompt output"), start=6)) == " output"


def feed(text: str, stops: Sequence[str], sizes: Sequence[int]) -> tuple[str, str | None]:
    """Feed ``text`` in pieces of ``sizes``; return what came out and what stopped it."""
    under_test, out, at = StopMatcher(stops), "", 0
    for size in [*sizes, len(text)]:
        piece, at = text[at : at + size], at + size
        emitted, stop = under_test.feed(piece)
        out += emitted
        if stop is not None:
            return out, stop
    emitted, stop = under_test.feed("", final=True)
    return out + emitted, stop


@given(
    st.text("ab", max_size=20),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(1, 3), max_size=20),
)
def test_pieces_stop_before_a_stop_string_and_lose_nothing(
    text: str, stops: list[str], sizes: list[int]
) -> None:
    out, stop = feed(text, stops, sizes)
    assert text.startswith(out)
    assert not any(found in out for found in stops)
    if stop is None:
        assert out == text
    else:
        assert text[len(out) :].startswith(stop)


def test_text_that_may_begin_a_stop_string_is_held_back() -> None:
    under_test = StopMatcher(["END"])
    assert under_test.feed("the E") == ("the ", None)
    assert under_test.feed("N") == ("", None)
    assert under_test.feed("D!") == ("", "END")


def test_text_that_only_looked_like_a_stop_string_comes_out_later() -> None:
    under_test = StopMatcher(["END"])
    assert under_test.feed("EN") == ("", None)
    assert under_test.feed("x") == ("ENx", None)
