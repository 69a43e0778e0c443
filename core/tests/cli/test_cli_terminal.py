"""What only shows on a terminal: live progress, and a conversation with Ctrl-C in it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PARROT = ("--backend", "parrot", "--llm", "parrot-model")


class Terminal:
    """A child on a pseudo-terminal, driven like a user would."""

    def __init__(self, *args: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sage_infer", *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )
        os.close(slave)
        self.seen = ""

    def expect(self, text: str, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not appear in {self.seen!r}"
            self.seen += os.read(self._master, 4096).decode("utf-8", "replace")
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        try:
            while select.select([self._master], [], [], 30)[0] and os.read(self._master, 4096):
                pass
        except OSError:  # the child closed its side
            pass
        os.close(self._master)
        return self.process.wait(30)


def test_a_terminal_sees_live_progress(testbed: Path) -> None:
    terminal = Terminal("generate", *PARROT, "--raw", "--max-tokens", "5", "abc")
    terminal.expect("hatching")
    terminal.expect("starting a worker process")
    terminal.expect("abcab")
    assert terminal.end() == 0


def test_ctrl_c_stops_an_answer_and_not_the_chat(testbed: Path) -> None:
    limits = ("--max-tokens", "3000", "--max-sequence-length", "3500")
    terminal = Terminal("chat", *PARROT, *limits, "--option", "step_s=0.01")
    terminal.expect("/reset forgets")
    terminal.type("hello\n")
    terminal.expect("user: hello")
    terminal.type("\x03")
    terminal.expect("> ")
    terminal.type("x" * 900 + "\n")
    terminal.expect("error: ")
    terminal.expect("> ")
    terminal.type("/quit\n")
    assert terminal.end() == 0
