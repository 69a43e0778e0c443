"""From the options of a run to the configuration of an embedding backend."""

from __future__ import annotations

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.testing import Subject

from ..backend.asks import Settings
from ..backend.config import Recipe


def config_of(subject: Subject) -> BackendConfig:
    """Return the configuration that ``subject`` is made with, read as that of any backend is.

    Raises ``InvalidRequest`` for a model that is not there, and for a value of a wrong type.
    """
    config = Recipe.of(subject).config(Settings())
    location = config.model.model_copy(update={"model_type": "embedding"})
    return config.model_copy(update={"model": location})
