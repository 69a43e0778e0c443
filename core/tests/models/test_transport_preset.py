"""A transport preset that would move nothing is refused before anything starts, never ignored."""

from pathlib import Path

import pytest

from sage_infer.config import load_config
from sage_infer.deployment import prepare_models
from sage_infer.plugins import Catalog, Registry
from sage_infer_contracts.errors import PluginNotFound


def test_a_selected_preset_names_the_engine_that_is_not_installed(testbed: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("transport:\n  preset: far\n  presets:\n    far:\n      engine: carrier-pigeon\n")
    settings = load_config(file).settings
    with pytest.raises(PluginNotFound, match="carrier-pigeon"):
        prepare_models(settings, Registry(Catalog.scan()), lambda stage, share: None)
