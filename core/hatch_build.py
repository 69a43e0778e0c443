"""Puts the plugin templates into the wheel and the sdist; they live beside core in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TemplateHook(BuildHookInterface):  # type: ignore[type-arg]
    """Includes ``../plugins/_template``, or the copy an sdist carries. A path in pyproject.toml could name only one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder to what is built; an editable install finds it in the repository."""
        if version == "editable":
            return
        in_repository = Path(self.root).parent / "plugins" / "_template"
        in_sdist = Path(self.root) / "_template"
        source = in_repository if in_repository.is_dir() else in_sdist
        if not source.is_dir():
            raise FileNotFoundError(f"plugin templates are in neither {in_repository} nor {in_sdist}")
        target = "_template" if self.target_name == "sdist" else "sage_infer/_template"
        build_data["force_include"][str(source)] = target
