"""The configuration: who wins, what is refused, and a default file that never goes stale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sage_infer.config import Settings, load_config
from sage_infer.config.loading import merge, validate_file
from sage_infer.config.rendering import default_file, rows
from sage_infer.config.settings import known_keys
from sage_infer_contracts.errors import InvalidRequest

DEFAULT_FILE = Path(__file__).parents[3] / "config" / "sage_infer.yaml"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    return file


def test_the_shipped_file_lists_every_key_with_its_default() -> None:
    assert DEFAULT_FILE.read_text() == default_file(), "regenerate: python -m sage_infer.config.rendering"
    assert validate_file(DEFAULT_FILE) == sorted(known_keys())
    assert load_config(DEFAULT_FILE).settings == Settings()


def test_every_key_is_documented() -> None:
    assert [key for key, description in known_keys().items() if not description] == []
    assert set(rows(Settings())) == set(known_keys())


def test_flags_beat_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _write(tmp_path, "serving: {port: 1, host: file, keep_alive_s: 7}")
    monkeypatch.setenv("SAGE_INFER_SERVING__PORT", "2")
    monkeypatch.setenv("SAGE_INFER_SERVING__HOST", "env")
    loaded = load_config(file, flags={"serving.port": 3, "serving.drain_timeout_s": None})
    assert (loaded.settings.serving.port, loaded.settings.serving.host) == (3, "env")
    assert loaded.settings.serving.keep_alive_s == 7
    origins = {
        key: loaded.origins[f"serving.{key}"] for key in ("port", "host", "keep_alive_s", "drain_timeout_s")
    }
    assert origins == {
        "port": "flag",
        "host": "environment",
        "keep_alive_s": f"file {file}",
        "drain_timeout_s": "default",
    }


@given(
    st.lists(
        st.dictionaries(st.sampled_from(sorted(known_keys())), st.integers(), max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_the_last_layer_that_has_a_key_wins(layers: list[dict[str, Any]]) -> None:
    named = [(f"layer {number}", layer) for number, layer in enumerate(layers)]
    values, origins = merge(named)
    for key in known_keys():
        holders = [(name, layer[key]) for name, layer in named if key in layer]
        assert origins[key] == (holders[-1][0] if holders else "default")
        assert values.get(key) == (holders[-1][1] if holders else None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("serving: {prot: 1}", r"'serving.prot' \(file .*c.yaml\); did you mean serving.port"),
        ("server: {port: 1}", r"'server'.*did you mean serving"),
        ("zzz: {}", "sections are inference"),
        ("serving: {port: hello}", r"serving.port \(file .*c.yaml\): .*integer.*'hello'"),
        ("serving: {port: 99999}", "less than or equal to 65535"),
        ("transport: {presets: {a: {engin: x}}}", r"transport.presets .*at a.engine?"),
        ("transport: {preset: nope}", "'nope' is not among presets: local, network"),
        ("kv_schema: {preset: fp7}", "kv_schema.preset"),
        ("serving: [1]", "must hold keys, not a list"),
        ("[1]", "must hold sections, not a list"),
        ("a: [", "is not YAML"),
        ("a: " + "[" * 3000, "is not YAML"),
    ],
)
def test_a_bad_file_is_refused_naming_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        load_config(_write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        load_config(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InvalidRequest, match=r"cannot be read|not YAML"):
        load_config(tmp_path / "binary.yaml")


def test_an_empty_file_and_empty_sections_are_the_defaults(tmp_path: Path) -> None:
    assert load_config(_write(tmp_path, "")).settings == Settings()
    assert load_config(_write(tmp_path, "serving:\n")).settings == Settings()


def test_a_wrong_variable_names_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGE_INFER_SERVING__PRT", "1")
    with pytest.raises(InvalidRequest, match=r"serving.prt' \(environment\)"):
        load_config()
    monkeypatch.delenv("SAGE_INFER_SERVING__PRT")
    monkeypatch.setenv("SAGE_INFER_SERVING__PORT", "{")
    with pytest.raises(InvalidRequest, match=r"serving.port \(environment\)"):
        load_config()


def test_variables_read_as_the_key_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGE_INFER_SERVING__API_KEYS", "123,abc")
    monkeypatch.setenv("SAGE_INFER_INFERENCE__LLM", "[a, b]")
    monkeypatch.setenv("SAGE_INFER_INFERENCE__BACKEND", "on")
    monkeypatch.setenv("SAGE_INFER_INFERENCE__THREADS", "null")
    monkeypatch.setenv("SAGE_INFER_INFERENCE__DEVICE_IDS", "[1, 2]")
    monkeypatch.setenv("SAGE_INFER_PLUGIN_ALLOWLIST", "torch,demo")
    monkeypatch.setenv("SAGE_INFER_PLUGIN_AUTOLOAD", "0")
    settings = load_config().settings
    assert [key.get_secret_value() for key in settings.serving.api_keys] == ["123", "abc"]
    assert (settings.inference.llm, settings.inference.backend) == (("a", "b"), "on")
    assert settings.inference.device_ids == (1, 2)
    assert (settings.plugins.allowlist, settings.plugins.autoload) == (("demo", "torch"), False)


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    loaded = load_config(_write(tmp_path, "serving: {api_keys: [hunter2]}"))
    assert "hunter2" not in json.dumps(rows(loaded.settings))
    assert "hunter2" not in repr(loaded)
    with pytest.raises(InvalidRequest) as caught:
        load_config(_write(tmp_path, "serving: {api_keys: hunter2}"))
    assert "hunter2" not in str(caught.value)


def test_the_file_is_found_by_variable_or_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_config().file is None
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "sage_infer.yaml").write_text("serving: {port: 5}")
    assert load_config().settings.serving.port == 5
    named = _write(tmp_path, "serving: {port: 6}")
    monkeypatch.setenv("SAGE_INFER_CONFIG", str(named))
    assert (load_config().settings.serving.port, load_config().file) == (6, named)
    assert load_config(search=False).file is None


def test_kv_schema_fields_refine_the_preset(tmp_path: Path) -> None:
    assert Settings().kv_schema.request() is None
    settings = load_config(_write(tmp_path, "kv_schema: {preset: fp8, page_size: 32}")).settings
    request = settings.kv_schema.request()
    assert request is not None
    assert (request.dtype, request.page_size, request.scale_granularity) == ("fp8_e4m3", 32, "tensor")
