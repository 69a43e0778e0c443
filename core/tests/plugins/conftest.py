"""Real plugin distributions: wheels are built and installed into a folder that child interpreters import from."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sage_infer.plugins.catalog import Catalog
from sage_infer.plugins.registry import Registry

_WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
Groups = Mapping[str, Mapping[str, str]]


class PluginSite:
    """A folder of installed plugins, and ways to look at it."""

    def __init__(self, root: Path) -> None:
        self.wheels = root / "wheels"
        self.path = root / "site"
        self.wheels.mkdir(parents=True)
        self.path.mkdir()

    def build(
        self,
        distribution: str,
        entry_points: Groups,
        modules: Mapping[str, str],
        *,
        version: str = "1.0",
        requires: str | None = "sage-infer-contracts>=0.1",
    ) -> Path:
        """Write a valid wheel."""
        stem = f"{distribution.replace('-', '_')}-{version}"
        sections = [
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in names.items())
            for group, names in entry_points.items()
        ]
        metadata = (
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\nSummary: a test plugin\n"
        )
        files = {f"{name}.py": source for name, source in modules.items()} | {
            f"{stem}.dist-info/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
            f"{stem}.dist-info/WHEEL": _WHEEL,
            f"{stem}.dist-info/entry_points.txt": "\n".join(sections),
        }
        wheel = self.wheels / f"{stem}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
            record = "".join(f"{name},{_digest(text)},{len(text.encode())}\n" for name, text in files.items())
            archive.writestr(f"{stem}.dist-info/RECORD", f"{record}{stem}.dist-info/RECORD,,\n")
        return wheel

    def install(self, *wheels: Path) -> None:
        """Install wheels with pip, without dependencies."""
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-compile",
        ]
        command += ["--disable-pip-version-check", "--target", str(self.path), *map(str, wheels)]
        subprocess.run(command, check=True, timeout=120, capture_output=True)

    def add(self, distribution: str, entry_points: Groups, modules: Mapping[str, str], **more: Any) -> None:
        """Build one distribution and unpack it, which is all that installing a pure wheel comes to."""
        with zipfile.ZipFile(self.build(distribution, entry_points, modules, **more)) as archive:
            archive.extractall(self.path)
        importlib.invalidate_caches()

    def catalog(self) -> Catalog:
        """Scan this folder alone."""
        return Catalog.scan(path=[str(self.path)])

    def registry(self, **options: Any) -> Registry:
        """Return a registry of this folder alone."""
        return Registry(self.catalog(), **options)

    def run(self, code: str, *, timeout_s: float = 60) -> Any:
        """Run ``code`` in a fresh interpreter that imports from this folder; return the JSON it prints last."""
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=self.environment(),
            timeout=timeout_s,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def environment(self) -> dict[str, str]:
        """Return this environment with the folder on the import path."""
        return {**os.environ, "PYTHONPATH": str(self.path), "PYTHONDONTWRITEBYTECODE": "1"}


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[[str], PluginSite]:
    """Return a maker of separate plugin folders."""
    return lambda name: PluginSite(tmp_path / name)


@pytest.fixture
def site(make_site: Callable[[str], PluginSite], monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginSite]:
    """A plugin folder that this process and its children import from."""
    made = make_site("plugins")
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(made.path))
    monkeypatch.setenv("PYTHONPATH", str(made.path))
    yield made
    for name in set(sys.modules) - before:
        if str(made.path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
