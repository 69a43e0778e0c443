"""What can be told about a model from its folder, without a framework."""

from __future__ import annotations

import json
from pathlib import Path

from sage_infer_contracts.descriptors import ModelType
from sage_infer_contracts.errors import InvalidRequest

_EMBEDDING_MARKS = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")


def check_model_folder(folder: Path) -> None:
    """Raise ``InvalidRequest`` unless ``folder`` has a ``config.json`` that is a JSON object."""
    config = folder / "config.json"
    if not config.is_file():
        raise InvalidRequest(
            f"{folder} has no config.json; a model folder is one in Hugging Face layout", param="model"
        )
    try:
        content = json.loads(config.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{config} cannot be read: {error}", param="model") from None
    if not isinstance(content, dict):
        raise InvalidRequest(f"{config} holds no JSON object", param="model")


def model_type_of(folder: Path) -> ModelType:
    """Tell a sentence-transformers folder (``embedding``) from a language model by the files that mark one."""
    return "embedding" if any((folder / mark).is_file() for mark in _EMBEDDING_MARKS) else "llm"
