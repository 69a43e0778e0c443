"""What is drawn depends on the seed and on nothing else."""

import subprocess
import sys
from pathlib import Path

DRAW = """
import sys
sys.path.insert(0, sys.argv[1])
import with_numbers
from sage_infer_conformance.running.choices import draw_examples
drawn = []
def example(choices):
    drawn.append([choices.integer(0, 10**9) for _ in range(40)])
    return False
draw_examples("certify", 7, 40, example)
import hashlib
print(len(drawn), hashlib.sha256(repr(drawn).encode()).hexdigest(), any(424242421 in one for one in drawn))
"""


def drawn_beside(folder: Path, source: str) -> str:
    folder.mkdir()
    (folder / "with_numbers.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-c", DRAW, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=folder).stdout


def test_numbers_in_a_subjects_source_are_not_drawn(tmp_path: Path) -> None:
    plain = drawn_beside(tmp_path / "plain", "X = 0\n")
    numbers = ", ".join(str(424242421 + 7 * number) for number in range(60))
    assert plain.startswith("40 ")
    assert drawn_beside(tmp_path / "numbers", f"X = [{numbers}]\n") == plain
