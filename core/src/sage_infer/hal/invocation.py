"""Commands in free text: found where a program is named, cut where prose begins, compared as a tool reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

_STOP = re.compile(
    "an?|and|as|at|after|before|by|during|failed|for|from|gives|in|inside|into|of|on|or|output|outside|over|prints?|"
    "printed|reports?|result|run|says|shows|still|taken|that|the|then|to|under|using|version|via|was|when|where|which|"
    "while|with|within|without",
    re.IGNORECASE,
)
"""Words that end a command in prose; none of them is an argument that tools of this sort take."""
_SHELL_ENDS = re.compile(r"^(?:[|;<>&]|\d?>|/$|\\$|#|//|—|–|->|=>)")
_ARGUMENT = re.compile(r"[\w./:+@%*\[\]=,{}-]+", re.ASCII)
_CLOSING = re.compile(r"[)\]}`'\"”’。，；：,.;:]+$")


@attrs.frozen(slots=True)
class Invocation:
    """A command's arguments: the words before the first option, and each option with its values."""

    words: tuple[str, ...]
    options: frozenset[tuple[str, ...]]

    def same_as(self, asked: Invocation) -> bool:
        """Say whether a tool would do the same; options may come in any order, as ``-x 1`` or ``-x=1``."""
        return self.words == asked.words and self.options == asked.options

    def flags(self) -> list[str]:
        """Return every option and the words of its values."""
        return [word for option in self.options for word in option]


def read_words(command: Sequence[str]) -> Invocation:
    """Read a command given as its words, the program first."""
    return _invocation(list(command[1:]))


def invocations(text: str, program: str) -> Iterator[Invocation]:
    """Yield what follows each mention of ``program`` in ``text``: ``ssh a -- /usr/bin/tool -q (as root)`` has ``-q``.

    A name that is part of a longer one, such as ``fake-tool`` or ``tool.txt``, is no mention.
    """
    if not program:
        return
    mention = re.compile(rf"(?<![\w.-]){re.escape(program)}(?:\.exe)?(?![\w-]|\.\w)")
    for match in mention.finditer(text):
        yield _invocation(_arguments(text[match.end() :].split("\n", 1)[0]))


def _arguments(rest: str) -> list[str]:
    """Return the words up to a remark in brackets, a pipe, the end of a sentence or a word of prose."""
    found: list[str] = []
    quote = ""
    for raw in rest.replace("（", " (").split():
        if quote or raw.startswith(("'", '"')) or ("=" in raw and raw.count('"') == 1):
            quote = "" if quote and raw.endswith(quote) else quote or _opened(raw)
            found.append(raw)
            continue
        if raw.startswith(("(", "`")) or _SHELL_ENDS.match(raw) or _STOP.fullmatch(raw):
            break
        word = _CLOSING.sub("", raw)
        if not word or not _ARGUMENT.fullmatch(word):
            break
        found.append(word)
        if word != raw and not raw.endswith((",", "]")):
            break
        if raw.endswith(",") and "=" not in raw:
            break
    return [word.replace('"', "").replace("'", "") for word in found]


def _opened(raw: str) -> str:
    mark = next((mark for mark in ("'", '"') if mark in raw), "")
    return mark if raw.count(mark) % 2 else ""


def _invocation(arguments: Sequence[str]) -> Invocation:
    words: list[str] = []
    options: list[list[str]] = []
    for argument in arguments:
        if argument.startswith("-") and argument.strip("-"):
            name, equals, value = argument.partition("=")
            options.append([name, *([value] if equals else [])])
        elif options:
            options[-1].append(argument)
        else:
            words.append(argument)
    return Invocation(tuple(words), frozenset(map(tuple, options)))
