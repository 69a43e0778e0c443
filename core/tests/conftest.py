"""Puts the test-bed plugin where the host and its worker processes find it, as an installed distribution."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

_TESTBED = Path(__file__).parent / "testbed"
_ENTRY_POINTS = """
[sage_infer.backend.v1]
parrot = parrot_engine:ParrotBackend
parrot-broken = parrot_engine:broken_factory
parrot-wrong = parrot_engine:NotABackend
macaw = parrot_engine:RECIPE
dodo = parrot_engine:ORPHAN_RECIPE
[sage_infer.embedding.v1]
parrot = parrot_engine:ParrotEmbedding
[sage_infer.model_source.v1]
parrot-model = parrot_engine:ParrotSource
[sage_infer.commands]
squawk = parrot_commands:squawk
squawk-broken = parrot_commands_missing:squawk
"""


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_children() -> None:
    """A run started in the background inherits an ignored SIGINT, and so would the programs under test."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the plugin ``parrot`` (engine, embedding, model source, commands) for this test and its children."""
    site = tmp_path / "site"
    shutil.copytree(_TESTBED, site, ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "parrot_plugin-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: parrot-plugin\nVersion: 1.2.3\nRequires-Dist: sage-infer-contracts>=0.1\n"
    )
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(site))
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{path}" if path else str(site))
    monkeypatch.setenv("SAGE_INFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.startswith("parrot_")]:
        monkeypatch.delitem(sys.modules, name)
    return site
