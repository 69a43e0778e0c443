"""Byte-level tokens, text that arrives in pieces, and stop strings in it."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.errors import InvalidRequest

EOS, TURN = 256, 257
"""End of an output, and the mark before a turn of a chat. Tokens below are bytes, tokens above are pieces."""

_WORDS = (
    " the", " and", " of", " sea", " light", " keeper", " was", " in", " a", "The", "ing", "er", "on", "re", ", ", ". ",
    " \u00e9t\u00e9", " \u6d77", "\u4e16\u754c", " \U0001f642", " stone", " rain", " boat", " seven",
)  # fmt: skip
_HALVES = (b"\xe4\xb8", b"\xf0\x9f", b"\x99\x82", b"\xe6\xb5")
"""Pieces that end, or begin, inside a character."""

PIECES: tuple[bytes, ...] = (*(word.encode() for word in _WORDS), *_HALVES)
VOCABULARY = TURN + 1 + len(PIECES)
_ID_OF = {piece: TURN + 1 + number for number, piece in enumerate(PIECES)}
_LONGEST = max(map(len, PIECES))


def bytes_of(token: int) -> bytes:
    """Return the bytes of one token; special ones have none."""
    if token < EOS:
        return bytes((token,))
    return PIECES[token - TURN - 1] if token > TURN else b""


def encode(text: str) -> list[int]:
    """Return the tokens of ``text``, the longest piece first."""
    try:
        rest = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"the text is not valid Unicode: {error}", param="prompt") from error
    tokens: list[int] = []
    at = 0
    while at < len(rest):
        for length in range(_LONGEST, 1, -1):
            token = _ID_OF.get(rest[at : at + length])
            if token is not None:
                break
        else:
            token, length = rest[at], 1
        tokens.append(token)
        at += length
    return tokens


def decode(token_ids: Sequence[int]) -> str:
    """Return the text of tokens; what is no UTF-8 becomes U+FFFD."""
    return b"".join(map(bytes_of, token_ids)).decode(errors="replace")


class ReferenceTokenizer:
    """The tokens of this module behind the contract's protocol."""

    async def encode(self, text: str) -> list[int]:
        """Return the tokens of ``text``; nothing is put around a prompt."""
        return encode(text)

    async def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Return a mark and the text of each message, and the mark of the assistant's turn."""
        if not messages:
            raise InvalidRequest("messages is empty", param="messages")
        return [*(token for message in messages for token in (TURN, *encode(message.content))), TURN]

    async def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of ``token_ids``."""
        return decode(token_ids)


class Detokenizer:
    """Text that grows with the tokens and never ends inside a character."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token: int, *, final: bool = False) -> str:
        """Return what ``token`` adds; with ``final`` nothing is held back."""
        return self._decoder.decode(bytes_of(token), final)

    def flush(self) -> str:
        """Return what was held back."""
        return self._decoder.decode(b"", True)


class StopStrings:
    """Finds the first stop string, and holds back text that may be the start of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self.held = ""

    def feed(self, text: str, *, final: bool = False) -> tuple[str, str | None]:
        """Return the text that may go out, cut before a stop string, and that stop string."""
        self.held += text
        found = [(self.held.index(stop), stop) for stop in self._stops if stop in self.held]
        if found:
            at, stop = min(found)
            out, self.held = self.held[:at], ""
            return out, stop
        keep = 0 if final else max((_overlap(self.held, stop) for stop in self._stops), default=0)
        cut = len(self.held) - keep
        out, self.held = self.held[:cut], self.held[cut:]
        return out, None


def _overlap(text: str, stop: str) -> int:
    """Return how many last characters of ``text`` are the beginning of ``stop``."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
