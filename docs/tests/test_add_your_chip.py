"""The page for a third party's chip, done in order: its files make a package that passes its tests and the kit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_blocks import ROOT, Block, blocks
from test_docs_pages import own_environment, run_block

PAGE = ROOT / "docs" / "guide" / "add-your-chip.md"
_CHIPS = "sage-infer-metax/src/sage_infer_metax/chips.json"


def write(block: Block, folder: Path) -> None:
    """Write a Python block to the file that its first line names."""
    path = folder / block.code.split("\n", 1)[0].removeprefix("# ")
    assert path.parent.is_dir(), path
    path.write_text(block.code, encoding="utf-8")


@pytest.mark.slow
def test_the_page_makes_a_package_that_passes(tmp_path: Path) -> None:
    commands = own_environment(tmp_path / "venv") / "bin"  # the page installs its package
    work = tmp_path / "work"
    work.mkdir()
    found = [block for block in blocks() if block.page == PAGE]
    json_block = re.search(r"^```json\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert json_block is not None
    for block in found:
        if block.language == "python":
            write(block, work)
            continue
        if block is found[-1]:
            (work / _CHIPS).write_text(json_block[1], encoding="utf-8")
        done = run_block(block, work, commands)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "two.txt: mx-smi" in done.stdout
    assert "metax1" in done.stdout
