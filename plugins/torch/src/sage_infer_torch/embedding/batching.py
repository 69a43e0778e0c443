"""Cuts texts into device batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def batches(lengths: Sequence[int], *, max_texts: int, max_tokens: int) -> Iterator[list[int]]:
    """Yield the indices of ``lengths``, longest texts first, in batches.

    A batch has at most ``max_texts`` texts and, padded, at most ``max_tokens`` tokens; one text always fits.
    """
    order = sorted(range(len(lengths)), key=lambda index: lengths[index], reverse=True)
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        count = max(1, min(max_texts, max_tokens // longest))
        yield order[start : start + count]
        start += count
