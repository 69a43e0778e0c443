"""A plain capture: one command's output in a file, with free text beside it that says which command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath

from sage_infer_contracts.probe import CommandResult, PciDevice, Unknown
from sage_infer_contracts.wire import FrozenModel

from .csv_query import answer_query
from .invocation import Invocation, invocations, read_words

_LABEL = (
    r"(?:the\s+)?(?:command(?:\s*line)?|cmd(?:line)?|invocation|invoked(?:\s+as)?|ran|run|executed|"
    r"captured\s+(?:with|by|from)|output\s+of|执行命令|运行命令|命令)"
)
_LABELLED = re.compile(
    rf"^[\s>*#\"'-]*{_LABEL}[\"'`*\s]*(?:\([^)]*\)\s*)?(?:[:=：]|(?=`))(?P<value>.*)$", re.IGNORECASE
)
_PROMPT = re.compile(r"^\s*(?:\([^)]*\)\s*)?(?:\S*@\S*[^$#>]*)?[$#>]\s+(?P<value>\S.*)$")
_FIELD = re.compile(r"^[\s*#{\"'-]*[\w][\w .-]{0,30}[\"'*\s]*[:=：]")
_JSON_FLAG = re.compile(r"-j|-?-?json(=.*)?|json", re.IGNORECASE)
_XML_FLAG = re.compile(r"-x|--?xml.*|xml", re.IGNORECASE)
_PROMPT_LINES = 5


class Capture(FrozenModel):
    """What one file holds, and what is said of it."""

    text: str
    source: str = ""

    def commands(self) -> list[str]:
        """Return what the source's labelled lines say the command was, as they say it."""
        found = (_LABELLED.match(line) for line in _unwrapped(self.source))
        values = [match["value"].strip(" \t`*\"',") for match in found if match]
        return [
            re.sub(r"[\[\]\"',]+", " ", value) if value[:1] == "[" else value for value in values if value
        ]

    def answers(self, command: Sequence[str]) -> str | None:
        """Return what ``command`` printed, if this is a capture of it; None if it is not, or nobody can tell."""
        asked = read_words(command)
        labelled, found = self.commands(), self._said_of(command)
        if any(one.same_as(asked) for one in found):
            return self.text
        if found or not any(
            re.search(r"(?:^|\s)-", said) for said in labelled
        ):  # else it is another program's
            queried = answer_query(self.text, asked, found)
            if queried is not None:
                return queried
        return self.text if any(self._same_form(one, asked) for one in found) else None

    def nearest(self, commands: Iterable[Sequence[str]]) -> str | None:
        """Return the one of ``commands`` that does what this capture's does, save for options it leaves out.

        So a capture of ``tool -q -i 0`` stands for ``tool -q``, and rather for that than for ``tool``.
        """
        near = [
            (len(asked.options), " ".join(command))
            for command in commands
            for asked in [read_words(command)]
            if any(one.words == asked.words and one.options > asked.options for one in self._said_of(command))
        ]
        return max(near)[1] if near else None

    def _said_of(self, command: Sequence[str]) -> list[Invocation]:
        """Return what the source says of the command's program."""
        program = PurePosixPath(command[0]).name if command else ""
        labelled = self.commands()
        if labelled:
            return [one for said in labelled for one in islice(invocations(said, program), 1)]
        return [*invocations(self.source, program), *self._prompted(program)]

    def _prompted(self, program: str) -> Iterator[Invocation]:
        for match in map(_PROMPT.match, self.text.splitlines()[:_PROMPT_LINES]):
            if match:
                yield from invocations(match["value"], program)

    def _same_form(self, said: Invocation, asked: Invocation) -> bool:
        """A source that names the program alone is believed about the program; what it printed says the rest."""
        if said.options or said.words:
            return False
        text = self.text.lstrip("\ufeff \t\r\n")
        flag = _JSON_FLAG if text[:1] in ("{", "[") else _XML_FLAG if text.startswith("<?xml") else None
        return flag is not None and any(flag.fullmatch(word) for word in asked.flags())


def _unwrapped(source: str) -> Iterator[str]:
    """Yield the source's lines, joined where one ends with a comma, a backslash or a label and the next is no field."""
    held = ""
    for line in source.replace("\r\n", "\n").split("\n"):
        unfinished = held.endswith("\\") or (held.endswith((",", ":", "：", "|")) and not _FIELD.match(line))
        if held and unfinished:
            held = f"{held.rstrip(chr(92) + '|')}{'' if held.endswith(',') else ' '}{line.strip()}"
            continue
        if held:
            yield held
        held = line.rstrip()
    if held:
        yield held


class CaptureProbe:
    """A machine of which one command's output is known, and nothing else: all other answers are unknown.

    ``answered`` lists the commands that got the capture as their answer, ``asked`` all of them. ``stands_for`` is a
    command that gets it though the capture is not quite its own.
    """

    def __init__(self, capture: Capture, stands_for: str | None = None) -> None:
        self.capture = capture
        self._stands_for = stands_for
        self.asked: list[tuple[str, ...]] = []
        self.answered: list[str] = []

    def pci_devices(self) -> Sequence[PciDevice] | Unknown:
        """Nothing is known of the bus."""
        return Unknown("pci")

    def read_file(self, path: str) -> str | Unknown | None:
        """Nothing is known of files."""
        return Unknown(path)

    def list_dir(self, path: str) -> Sequence[str] | Unknown | None:
        """Nothing is known of folders."""
        return Unknown(path)

    def environ(self, name: str) -> str | Unknown | None:
        """Nothing is known of the environment."""
        return Unknown(name)

    def run(self, command: Sequence[str], *, timeout_s: float) -> CommandResult | Unknown:
        """Return the capture, without an exit status, if it is this command's; ``timeout_s`` has no effect."""
        self.asked.append(tuple(command))
        same = " ".join(command) == self._stands_for
        text = self.capture.text if same else self.capture.answers(command)
        if text is None:
            return Unknown(" ".join(command))
        self.answered.append(" ".join(command))
        return CommandResult(stdout=text)

    def library(self, name: str, call: str) -> str | Unknown | None:
        """Nothing is known of libraries."""
        return Unknown(f"{name}:{call}")
