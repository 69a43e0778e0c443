"""The configuration as text: one row per key, and the documented default file."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import yaml

from .settings import Settings, known_keys

_HEADER = """\
# The one configuration file of sage-infer: every key with its default.
# A flag beats the environment variable SAGE_INFER_<SECTION>__<KEY>, which beats this file, which beats the default.
# Taken from --config, from SAGE_INFER_CONFIG, or from config/sage_infer.yaml in the working directory.
"""
_WIDTH = 110


def rows(settings: Settings) -> dict[str, Any]:
    """Return every ``section.key`` and its value as plain JSON data, secrets masked."""
    return {
        f"{section}.{key}": value
        for section, part in settings.model_dump(mode="json").items()
        for key, value in part.items()
    }


def default_file() -> str:
    """Return the default configuration as YAML, each key under its description."""
    values = rows(Settings())
    lines = [_HEADER.rstrip("\n")]
    current = ""
    for name, description in known_keys().items():
        section, _, key = name.partition(".")
        if section != current:
            current = section
            lines += ["", *_about_section(section), f"{section}:"]
        lines += [f"  # {line}" for line in textwrap.wrap(description, _WIDTH - 4)]
        lines += [f"  {line}" for line in _yaml_lines(key, values[name])]
    return "\n".join(lines) + "\n"


def _about_section(section: str) -> list[str]:
    doc = (Settings.model_fields[section].annotation.__doc__ or "").strip().splitlines()
    return [f"# {line}" for line in textwrap.wrap(doc[0], _WIDTH - 2)] if doc else []


def _yaml_lines(key: str, value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True).splitlines()
    return [f"{key}: {json.dumps(value, ensure_ascii=False)}"]


if __name__ == "__main__":
    print(default_file(), end="")
