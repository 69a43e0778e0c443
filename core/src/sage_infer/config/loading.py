"""Flags over environment over file over default, with the origin of every value kept."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import attrs
import yaml
from pydantic import ValidationError

from sage_infer import env
from sage_infer_contracts.errors import InvalidRequest

from .settings import Settings, known_keys, value_shape

DEFAULT_FILE = Path("config") / "sage_infer.yaml"
Values = dict[str, Any]
"""Values by ``section.key``."""


@attrs.frozen(slots=True)
class LoadedConfig:
    """The settings in force, and for each ``section.key`` who set it: flag, environment, file or default."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None = None


def load_config(
    file: Path | None = None, *, flags: Mapping[str, Any] | None = None, search: bool = True
) -> LoadedConfig:
    """Return the configuration in force.

    ``file`` must exist when given. Without it, and with ``search``, ``SAGE_INFER_CONFIG`` or
    ``config/sage_infer.yaml`` in the working directory is taken if there is one. ``flags`` holds values by
    ``section.key``; None values are flags that were not given.
    Raises ``InvalidRequest`` that names the key, its origin and what is allowed.
    """
    chosen = file or (_search() if search else None)
    layers: list[tuple[str, Values]] = []
    if chosen is not None:
        layers.append((f"file {chosen}", read_file(chosen)))
    layers.append(("environment", _environment()))
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    layers.append(("flag", given))
    values, origins = merge(layers)
    return LoadedConfig(_validated(values, origins), origins, chosen)


def merge(layers: list[tuple[str, Values]]) -> tuple[Values, dict[str, str]]:
    """Return for each key the value of the last layer that has it, and that layer's name; unknown keys are refused."""
    values: Values = {}
    origins = dict.fromkeys(known_keys(), "default")
    for origin, layer in layers:
        for key, value in layer.items():
            if key not in origins:
                raise _unknown_key(key, origin)
            values[key], origins[key] = value, origin
    return values, origins


def read_file(file: Path) -> Values:
    """Return the values of a YAML file by ``section.key``; raises ``InvalidRequest`` naming file and place."""
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"configuration file {file} cannot be read: {error}", param="config") from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split()) or "nested too deeply"
        raise InvalidRequest(f"configuration file {file} is not YAML: {reason}", param="config") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InvalidRequest(
            f"configuration file {file} must hold sections, not a {_kind(content)}", param="config"
        )
    return _flatten(content, file)


def _flatten(content: Mapping[Any, Any], file: Path) -> Values:
    values: Values = {}
    for section, part in content.items():
        if section not in Settings.model_fields:
            raise _unknown_key(str(section), f"file {file}")
        if part is None:
            continue
        if not isinstance(part, dict):
            raise InvalidRequest(
                f"file {file}: section {section!r} must hold keys, not a {_kind(part)}", param=str(section)
            )
        values.update({f"{section}.{key}": value for key, value in part.items()})
    return values


def _search() -> Path | None:
    named = env.config_file()
    if named is not None:
        return named
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _environment() -> Values:
    """Read each variable the way it would stand in the file; lists of names also with commas."""
    values: Values = {}
    allowlist = env.plugin_allowlist()
    if allowlist is not None:
        values["plugins.allowlist"] = sorted(allowlist)
    if not env.plugin_autoload():
        values["plugins.autoload"] = False
    for key, text in env.config_values().items():
        values[key] = _read_variable(key, text)
    return values


def _read_variable(key: str, text: str) -> Any:
    """Read ``text`` as YAML, except where it says text anyway: a key made of digits stays one."""
    shape = value_shape(key)
    if shape != "other" and text.strip() != "null" and not text.lstrip().startswith("["):
        return text if shape == "text" else [part.strip() for part in text.split(",") if part.strip()]
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return text


def _unknown_key(key: str, origin: str) -> InvalidRequest:
    names = [*known_keys(), *Settings.model_fields]
    near = get_close_matches(key, names, n=1) or [
        name for name in names if name.rpartition(".")[2] == key.rpartition(".")[2]
    ]
    hint = f"; did you mean {near[0]}?" if near else f"; sections are {', '.join(Settings.model_fields)}"
    return InvalidRequest(f"unknown configuration key {key!r} ({origin}){hint}", param=key)


def _validated(values: Values, origins: Mapping[str, str]) -> Settings:
    tree: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        tree.setdefault(section, {})[key] = value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise InvalidRequest(*_explain(error, origins)) from None


def _explain(error: ValidationError, origins: Mapping[str, str]) -> tuple[str]:
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        place = [str(part) for part in problem["loc"]]
        key = ".".join(place[:2])
        inside = f" at {'.'.join(place[2:])}" if len(place) > 2 else ""
        shown = "" if "key" in key else f", got {problem['input']!r}"
        lines.append(f"{key} ({origins.get(key, 'default')}){inside}: {problem['msg']}{shown}")
    return ("; ".join(lines),)


def _kind(value: object) -> str:
    return "list" if isinstance(value, list) else type(value).__name__


def validate_file(file: Path) -> list[str]:
    """Check one file alone and return the keys it sets; raises as :func:`load_config`."""
    values, origins = merge([(f"file {file}", read_file(file))])
    _validated(values, origins)
    return sorted(values)
