"""The pages: links resolve, code blocks run, generated references are current."""

import os
import re
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


def installed() -> set[str]:
    """Names of the distributions in this environment, read anew."""
    listing = "from importlib.metadata import distributions as d; print(*{x.name for x in d()}, sep='\\n')"
    return set(subprocess.check_output([sys.executable, "-c", listing], text=True).split())


@pytest.fixture
def nothing_stays_installed() -> Iterator[None]:
    """Blocks install packages as a reader would; take them out again."""
    before = installed()
    yield
    if added := installed() - before:
        subprocess.run([sys.executable, "-m", "pip", "uninstall", "-q", "-y", *added], check=True)


def run_block(block: Block, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = [sys.executable, "-"] if block.language == "python" else ["bash", "-euo", "pipefail", "-s"]
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


@pytest.mark.usefixtures("nothing_stays_installed")
@pytest.mark.parametrize("block", blocks("docs"), ids=lambda block: block.id)
def test_documented_commands_run(block: Block, tmp_path: Path) -> None:
    done = run_block(block, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.engine
@pytest.mark.parametrize("block", blocks("engine"), ids=lambda block: block.id)
def test_documented_engine_commands_run(block: Block, tmp_path: Path) -> None:
    done = run_block(block, tmp_path)
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
