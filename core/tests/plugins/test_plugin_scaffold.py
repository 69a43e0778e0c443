"""A plugin that ``sage infer plugin new`` writes builds, installs, lists, loads, and passes its own test."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st

from sage_infer.cli.plugin import _NEW, plugin
from sage_infer.plugins.scaffold import TEMPLATES, create_plugin, template_root
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kinds import RESERVED_HARDWARE_NAMES, PluginKind

pytestmark = pytest.mark.slow


def build(folder: Path, into: Path, what: str = "wheel") -> Path:
    code = f"import hatchling.build as b; print(b.build_{what}({str(into)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, timeout=120, capture_output=True, text=True
    )
    return into / done.stdout.splitlines()[-1]


@pytest.mark.parametrize("what", TEMPLATES)
def test_a_new_plugin_builds_installs_lists_loads_and_passes_its_test(
    site: Any, tmp_path: Path, what: str
) -> None:
    pytest.importorskip("hatchling")
    name = f"sample-{what.replace('_', '-')}"
    folder = create_plugin(what, name, tmp_path / "new")
    site.install(build(folder, site.wheels))
    registry = site.registry()
    assert registry.catalog.problems == ()
    (entry,) = (entry for entry in registry.entries() if entry.kind is not PluginKind.CONFORMANCE)
    assert (entry.kind, entry.name, entry.distribution) == (TEMPLATES[what].kind, name, f"sage-infer-{name}")
    assert registry.load_entry(entry).target is not None
    if entry.kind is PluginKind.HOOKS:
        assert [found.ref.name for found in registry.hooks.detectors()] == [name]
        assert registry.hooks.problems == ()
    # Without autoload the run loads the plugin it needs, not all that happen to be installed.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "pytest_asyncio.plugin",
        str(folder),
    ]
    environment = {**site.environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_knows_every_template_and_every_template_has_a_folder() -> None:
    assert tuple(TEMPLATES) == _NEW
    assert set(TEMPLATES) | {"shared"} == {path.name for path in template_root().iterdir() if path.is_dir()}


def test_an_installed_wheel_of_core_carries_the_templates_also_when_it_comes_from_an_sdist(
    tmp_path: Path,
) -> None:
    pytest.importorskip("hatchling")
    core = Path(__file__).parents[2]
    root = template_root()
    expected = {
        f"sage_infer/_template/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file()
    }
    sdist = build(core, tmp_path, "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    for source, into in ((core, tmp_path / "direct"), (unpacked, tmp_path / "via")):
        into.mkdir()
        with zipfile.ZipFile(build(source, into, "wheel")) as wheel:
            assert expected <= set(wheel.namelist())
            wheel.extractall(into / "site")
    code = "import sage_infer.plugins.scaffold as s; print(s.template_root()); s.create_plugin('eviction', 'unpacked')"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment["PYTHONPATH"] = str(tmp_path / "via" / "site")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(tmp_path / "via" / "site") in done.stdout
    assert (tmp_path / "sage-infer-unpacked" / "pyproject.toml").is_file()


def test_new_says_what_it_wrote(tmp_path: Path) -> None:
    target = tmp_path / "x"
    done = CliRunner().invoke(plugin, ["new", "eviction", "my-policy", "--path", str(target)])
    assert done.exit_code == 0
    assert str(target) in done.stdout
    assert "class MyPolicyEviction" in (target / "src/sage_infer_my_policy/plugin.py").read_text()
    assert "@@" not in "".join(path.read_text() for path in target.rglob("*") if path.is_file())


def test_a_name_that_says_what_it_is_does_not_say_it_twice(tmp_path: Path) -> None:
    folder = create_plugin("kv_tier", "glass-tier", tmp_path / "new")
    assert "class GlassTier:" in (folder / "src/sage_infer_glass_tier/plugin.py").read_text()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for folder in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(InvalidRequest, match="nothing was written"):
            create_plugin("eviction", "fresh", folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "name", [*sorted(RESERVED_HARDWARE_NAMES), "Bad", "a b", "../up", "", "contracts", "9lives"]
)
def test_a_name_that_cannot_be_had_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest):
        create_plugin("eviction", name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_unknown_template_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="choose one of backend"):
        create_plugin("teapot", "pot", tmp_path / "new")


@given(name=st.from_regex(r"[a-z][a-z0-9]{0,8}([_-][a-z0-9]{1,4}){0,2}", fullmatch=True))
def test_any_legal_name_gives_python_that_compiles(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    if name in RESERVED_HARDWARE_NAMES or name in ("contracts", "demo", "torch", "host", "infer"):
        return
    folder = create_plugin("model_source", f"{name}-zz", tmp_path_factory.mktemp("any") / "new")
    for source in folder.rglob("*.py"):
        compile(source.read_text(), str(source), "exec")
