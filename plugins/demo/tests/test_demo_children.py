"""The converter's child process: deadline, crash, progress, orphans."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from sage_infer_contracts.errors import IntegrityError
from sage_infer_demo import children
from sage_infer_demo.builders import ConvertGguf


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_lines_are_lost_or_out_of_order() -> None:
    lines: list[str] = []
    ended = children.run(python("for i in range(2000): print(i)"), deadline_s=60, on_line=lines.append)
    assert lines == [str(number) for number in range(2000)]
    assert (ended.status, ended.timed_out) == (0, False)


def test_the_tail_of_stderr_is_lost() -> None:
    ended = children.run(
        python("import sys\nfor i in range(90): print(i, file=sys.stderr)\nsys.exit(3)"), deadline_s=60
    )
    assert ended.status == 3
    assert ended.tail.splitlines()[-1] == "89"


def test_a_grandchild_outlives_the_deadline(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    ended = children.run(["sh", "-c", f"exec 3>{pipe}; sleep 600 & wait"], deadline_s=2.0)
    assert ended.timed_out
    # The end of the file comes when the last process that had it open for writing is gone.
    readable, _, _ = select.select([reader], [], [], 30)
    assert readable
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_broken_gguf_file_hangs_or_hides_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "model.gguf"
    broken.write_bytes(b"this is no GGUF file at all")
    (tmp_path / "out").mkdir()
    with pytest.raises(IntegrityError, match=r"model\.gguf"):
        ConvertGguf().build({"model.gguf": broken}, tmp_path / "out", lambda stage, share: None)


def test_the_converter_outlives_its_parent(tmp_path: Path) -> None:
    # The file to convert is a pipe nobody writes to, so that the converter stays in its first step.
    pipe = tmp_path / "model.gguf"
    os.mkfifo(pipe)
    parent = subprocess.Popen(
        [sys.executable, "-m", "sage_infer_demo.convert", str(pipe), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert "reading" in parent.stdout.readline()
    assert parent.stdin is not None
    parent.stdin.close()
    assert parent.wait(timeout=60) == 1
    parent.stdout.close()
