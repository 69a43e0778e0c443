"""The pages: links resolve, code blocks run, generated references are current."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_blocks import ROOT, Block, blocks, local_links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    assert [link for link in local_links(page) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.id)
def test_every_runnable_block_says_where_it_is_tested(block: Block) -> None:
    assert block.lane.split(",")[0] in {"docs", "engine", "reader"}
    if block.lane.startswith("reader"):
        assert len(block.lane.partition(",")[2].strip()) > 3, "say why no test runs it"


def link(source: str, target: str) -> None:
    """As ``shutil.copy``, without a second copy of the data where one file system holds both."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def own_environment(folder: Path) -> Path:
    """Copy this environment into ``folder``; its commands run its own interpreter."""
    shutil.copytree(sys.prefix, folder, symlinks=True, copy_function=link)
    for command in (folder / "bin").iterdir():
        head = command.read_bytes() if command.is_file() and not command.is_symlink() else b""
        if head.startswith(f"#!{sys.prefix}/".encode()):
            own = head.replace(f"#!{sys.prefix}/".encode(), f"#!{folder}/".encode(), 1)
            mode = command.stat().st_mode
            command.unlink()  # a second name of the other environment's file
            command.write_bytes(own)
            command.chmod(mode)
    return folder


@pytest.fixture
def bin_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The commands that a block runs. One that installs packages gets an environment that nobody else uses."""
    block: Block = request.getfixturevalue("block")
    if "pip install" not in block.code:
        yield Path(sys.executable).parent
        return
    folder = tmp_path_factory.mktemp("environment") / "venv"
    yield own_environment(folder) / "bin"
    shutil.rmtree(folder)


def run_block(block: Block, cwd: Path, bin_folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    python = [str(bin_folder / "python"), "-"]
    program = python if block.language == "python" else ["bash", "-euo", "pipefail", "-s"]
    return subprocess.run(
        program,
        input=block.code,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PATH": path},
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("block", blocks("docs"), ids=lambda block: block.id)
def test_documented_commands_run(block: Block, tmp_path: Path, bin_folder: Path) -> None:
    done = run_block(block, tmp_path, bin_folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.engine
@pytest.mark.parametrize("block", blocks("engine"), ids=lambda block: block.id)
def test_documented_engine_commands_run(block: Block, tmp_path: Path, bin_folder: Path) -> None:
    done = run_block(block, tmp_path, bin_folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["contracts_reference.py", "rules_reference.py"])
def test_a_generated_reference_is_current(name: str) -> None:
    tool = ROOT / "docs" / "tools" / name
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_both_readmes_have_the_same_shape() -> None:
    def shape(name: str) -> tuple[list[str], list[str]]:
        text = (ROOT / name).read_text(encoding="utf-8")
        return re.findall(r"^(#+) ", text, re.M), re.findall(r"^```\w+\n(.*?)^```$", text, re.M | re.S)

    assert shape("README.md") == shape("README.zh-CN.md")


def test_no_page_names_a_machine_or_a_registry() -> None:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/(root|tmp/w|work|opt/wheels)\b|pypi\.org/simple|files\.pythonhosted", text), (
            page
        )
