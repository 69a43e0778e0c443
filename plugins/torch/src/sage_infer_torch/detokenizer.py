"""Incremental detokenisation: text grows with the tokens and never ends inside a character."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"

Decode = Callable[[Sequence[int]], str]


class Detokenizer:
    """Turns a growing list of token ids into pieces of text that join to the decoded whole.

    Tokens before ``prefix_offset`` no longer matter. Those in ``[prefix_offset, read_offset)`` are emitted and
    are decoded again with the new ones, because the text of a token depends on its left neighbour.
    """

    def __init__(self, decode: Decode, start: int) -> None:
        self._decode = decode
        self.prefix_offset = start
        self.read_offset = start

    def advance(self, token_ids: Sequence[int], *, final: bool = False) -> str:
        """Return the text that ``token_ids`` (all so far) add.

        A trailing incomplete character is held back unless ``final``.
        """
        if self.read_offset == len(token_ids):
            return ""
        known = self._decode(token_ids[self.prefix_offset : self.read_offset])
        grown = self._decode(token_ids[self.prefix_offset :])
        if grown.endswith(REPLACEMENT) and not final:
            return ""
        if len(grown) <= len(known) and not final:
            return ""  # e.g. a special token: read again together with what follows
        self.prefix_offset, self.read_offset = self.read_offset, len(token_ids)
        return grown[len(known) :]
