"""Model names: folders, sources, hub ids, and errors that say what would have worked."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from sage_infer.models import resolve_model
from sage_infer.plugins import Catalog, Registry
from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest


@pytest.fixture
def registry(testbed: Path) -> Registry:
    return Registry(Catalog.scan())


def _folder(path: Path, *marks: str) -> Path:
    path.mkdir(parents=True)
    for name in ("config.json", *marks):
        (path / name).write_text("{}")
    return path


def test_a_folder_is_served_under_its_own_name(registry: Registry, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "models" / "tiny")
    location = resolve_model(str(folder), registry=registry)
    assert (location.model_id, location.path, location.model_type) == ("tiny", str(folder), "llm")
    assert resolve_model("models/tiny", registry=registry).path == str(folder)


def test_an_embedding_folder_is_recognised(registry: Registry, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "mini", "modules.json")
    assert resolve_model(str(folder), registry=registry).model_type == "embedding"


@pytest.mark.parametrize("content", [None, "not json", "[]"])
def test_a_folder_without_a_usable_config_is_refused(
    registry: Registry, tmp_path: Path, content: str | None
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(InvalidRequest, match=r"config\.json"):
        resolve_model(str(folder), registry=registry)


def test_a_missing_path_is_not_taken_for_a_hub_id(registry: Registry) -> None:
    with pytest.raises(InvalidRequest, match="no model folder"):
        resolve_model("./nowhere/model", registry=registry)


def test_a_source_gets_a_private_cache_and_reports_progress(registry: Registry, tmp_path: Path) -> None:
    seen: list[tuple[str, float | None]] = []
    location = resolve_model(
        "parrot-model", registry=registry, progress=lambda stage, share: seen.append((stage, share))
    )
    assert (location.model_id, location.source) == ("parrot-model", "parrot-model")
    assert seen == [("hatching", 0.5)]
    assert stat.S_IMODE(os.stat(tmp_path / "cache").st_mode) == 0o700
    assert resolve_model("parrot-plugin:parrot-model", registry=registry).path == location.path


def test_a_source_beats_a_folder_of_the_same_bare_name(registry: Registry, tmp_path: Path) -> None:
    _folder(tmp_path / "parrot-model")
    assert resolve_model("parrot-model", registry=registry).source == "parrot-model"
    assert resolve_model("./parrot-model", registry=registry).source == "folder"


def test_a_cache_that_cannot_be_made_is_named(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAGE_INFER_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DeviceUnavailable, match="SAGE_INFER_CACHE"):
        resolve_model("parrot-model", registry=registry)


def test_an_unknown_name_is_answered_with_the_nearest(registry: Registry) -> None:
    with pytest.raises(InvalidRequest, match=r"did you mean parrot-model\?.*parrot-model"):
        resolve_model("parot-model", registry=registry)


def test_a_hub_id_without_the_hub_client_says_what_to_install(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DeviceUnavailable, match=r"sage-infer\[hub\]"):
        resolve_model("org/model", registry=registry)


def _cached_hub_model(cache: Path, repo: str, revision: str) -> Path:
    base = cache / f"models--{repo.replace('/', '--')}"
    (base / "refs").mkdir(parents=True)
    (base / "refs" / "main").write_text(revision)
    return _folder(base / "snapshots" / revision, "model.safetensors", "sentence_bert_config.json")


def test_a_hub_model_in_the_local_cache_needs_no_network(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = _cached_hub_model(tmp_path / "hub", "org/model", "0" * 40)
    location = resolve_model("org/model", offline=True, registry=registry)
    assert (Path(location.path).resolve(), location.source) == (folder.resolve(), "hub")
    assert (location.model_id, location.model_type) == ("org/model", "embedding")


def test_a_hub_model_that_is_not_there_offline_says_so(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(DeviceUnavailable, match="network is switched off"):
        resolve_model("org/model", offline=True, registry=registry)


def test_a_failed_download_is_an_error_of_the_family(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DeviceUnavailable, match="could not be downloaded"):
        resolve_model("org/model", registry=registry)
