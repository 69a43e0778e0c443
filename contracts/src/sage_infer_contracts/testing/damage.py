"""What can go wrong between a tool and its reader, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from ..probe import CommandResult, ProbeRecording
from ..wire import FrozenModel

_GAP = re.compile(r"(?<=\S)  +(?=\S)|(?<=[|+]) +| +(?=[|+])")
_RULE = re.compile(r"([-=_])\1{2,}")


class Damage(FrozenModel):
    """How a fake tool differs from the recorded one. Applied in the order of the fields, to standard output."""

    drop_lines: str | None = Field(
        default=None,
        description="regular expression; lines it is found in are left out, e.g. those of a lost card",
    )
    widen: NonNegativeInt = Field(
        default=0, description="blanks added to each gap of two or more, or beside a bar; rules grow along"
    )
    before: tuple[str, ...] = Field(default=(), description="noise lines printed first")
    after: tuple[str, ...] = ()
    cut_at_byte: NonNegativeInt | None = Field(default=None, description="the output ends there")
    stderr: str | None = Field(default=None, description="in place of the recorded one")
    exit_status: int | None = None
    delay_s: NonNegativeFloat = 0.0
    hang: bool = Field(default=False, description="prints what it has and never ends")

    def applied(self, result: CommandResult) -> CommandResult:
        """Return the damaged result; a hang is ``timed_out`` without an exit status, as a probe reports it."""
        text = self.text(result.stdout)
        status = result.exit_status if self.exit_status is None else self.exit_status
        return result.model_copy(
            update={
                "stdout": text,
                "stderr": result.stderr if self.stderr is None else self.stderr,
                "exit_status": None if self.hang else status,
                "timed_out": self.hang or result.timed_out,
            }
        )

    def text(self, text: str) -> str:
        """Return ``text`` with lines dropped, columns widened, noise around it and its end cut off."""
        if self.drop_lines is not None:
            pattern = re.compile(self.drop_lines)
            text = "".join(line for line in text.splitlines(keepends=True) if not pattern.search(line))
        if self.widen:
            text = "".join(_widened(line, self.widen) for line in text.splitlines(keepends=True))
        text = (
            "".join(f"{line}\n" for line in self.before) + text + "".join(f"{line}\n" for line in self.after)
        )
        if self.cut_at_byte is not None:
            text = text.encode()[: self.cut_at_byte].decode(errors="ignore")
        return text


def _widened(line: str, blanks: int) -> str:
    indent = line[: len(line) - len(line.lstrip(" "))]
    rest = _GAP.sub(lambda gap: gap[0] + " " * blanks, line[len(indent) :])
    return indent + _RULE.sub(lambda rule: rule[0] + rule[1] * 2 * blanks, rest)


def damaged(recording: ProbeRecording, damages: Mapping[str, Damage]) -> ProbeRecording:
    """Return the recording with its commands damaged, for a replay without child processes.

    A key of ``damages`` is a whole command, a program's name, or ``*`` for all others.
    """
    commands = {
        key: damage_for(key, damages).applied(result) if not result.missing else result
        for key, result in recording.commands.items()
    }
    return recording.model_copy(update={"commands": commands})


def damage_for(command: str, damages: Mapping[str, Damage]) -> Damage:
    """Return the damage of a command: the most exact one named."""
    program = command.split(" ", 1)[0].rsplit("/", 1)[-1]
    for name in (command, program, "*"):
        if name in damages:
            return damages[name]
    return Damage()
