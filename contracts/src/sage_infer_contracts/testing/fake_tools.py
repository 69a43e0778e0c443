"""Executables that replay recorded commands by their arguments, and modules that replay libraries' replies."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ..probe import CommandResult
from .damage import Damage

NOT_RECORDED_STATUS = 64
"""Exit status of a fake tool asked for what was not recorded (EX_USAGE)."""
_LIBRARY_MISSING_STATUS = 69

_TOOL = '''\
"""Replays recorded commands: the file beside it has them by their arguments."""
import json, os, sys, time
with open({data!r}, encoding="utf-8") as file:
    reply = json.load(file).get(" ".join(sys.argv[1:]))
if reply is None:
    sys.stderr.write({name!r} + ": not recorded: " + " ".join(sys.argv[1:]) + "\\n")
    os._exit({not_recorded})
time.sleep(reply["delay_s"])
for number, text in ((1, reply["stdout"]), (2, reply["stderr"])):
    with os.fdopen(number, "wb", closefd=False) as stream:
        stream.write(text.encode("utf-8", "replace"))
while reply["hang"]:
    time.sleep(3600)
if reply["exit_status"] < 0:
    os.kill(os.getpid(), -reply["exit_status"])
os._exit(reply["exit_status"] & 255)
'''

_LIBRARIES = '''\
"""Answers ``python -m LIBRARY CALL`` with what was recorded; any other program starts as ever."""
import json, os, sys
_words = [word for word in sys.orig_argv[1:] if word != "-P"]
if len(_words) == 3 and _words[0] == "-m":
    with open({data!r}, encoding="utf-8") as file:
        _replies = json.load(file)
    _key = _words[1] + ":" + _words[2]
    if _key in _replies:
        if _replies[_key] is None:
            os._exit({missing})
        os.write(1, _replies[_key].encode("utf-8", "replace"))
        os._exit(0)
'''


def write_tools(folder: Path, root: Path, commands: Mapping[str, tuple[CommandResult, Damage]]) -> Path:
    """Write one executable per program into ``folder``, or below ``root`` for one named by its path; return ``folder``.

    Each answers the commands recorded for it, and ends with status 64 for any other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_program: dict[str, dict[str, object]] = {}
    for key, (result, damage) in commands.items():
        program, _, arguments = key.partition(" ")
        by_program.setdefault(program, {})[arguments] = _reply(result, damage)
    for number, (program, replies) in enumerate(by_program.items()):
        absolute = program.startswith("/")
        place = root.joinpath(*PurePosixPath(program).parts[1:]) if absolute else folder / program
        _write_tool(place, folder / f".replies-{number}", replies)
    return folder


def write_libraries(folder: Path, replies: Mapping[str, str | None]) -> Path:
    """Write the start-up hook that answers for the recorded libraries; return the folder to put on PYTHONPATH."""
    folder.mkdir(parents=True, exist_ok=True)
    if replies:
        data = folder / "replies.json"
        data.write_text(json.dumps(dict(replies)), encoding="utf-8")
        code = _LIBRARIES.format(data=str(data), missing=_LIBRARY_MISSING_STATUS)
        (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    return folder


def _reply(result: CommandResult, damage: Damage) -> dict[str, object]:
    changed = damage.applied(result)
    return {
        "stdout": changed.stdout,
        "stderr": changed.stderr,
        "exit_status": changed.exit_status or 0,
        "delay_s": damage.delay_s,
        "hang": changed.timed_out,
    }


def _write_tool(place: Path, behind: Path, replies: Mapping[str, object]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    data, script = behind.with_suffix(".json"), behind.with_suffix(".py")
    data.write_text(json.dumps(replies), encoding="utf-8")
    script.write_text(
        _TOOL.format(data=str(data), name=place.name, not_recorded=NOT_RECORDED_STATUS), encoding="utf-8"
    )
    # A shell starts it: the first line of a script may not be as long as paths to an interpreter are.
    command = " ".join(shlex.quote(word) for word in (sys.executable, "-I", "-S", str(script)))
    place.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    place.chmod(0o755)
