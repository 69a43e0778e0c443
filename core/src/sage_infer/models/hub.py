"""Models of the Hugging Face hub: what is already in its local cache first, then a download."""

from __future__ import annotations

import re
from pathlib import Path

from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest
from sage_infer_contracts.models import ProgressCallback

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
_FILES = [
    "*.json",
    "*.safetensors",
    "*.model",
    "*.txt",
    "*.jinja",
    "*.tiktoken",
    "1_Pooling/*",
    "2_Normalize/*",
]
"""Weights as safetensors only: pickled ones run code when they are loaded."""


def is_hub_id(name: str) -> bool:
    """Say whether ``name`` looks like ``organisation/model``, with an optional ``@revision``."""
    return _HUB_ID.fullmatch(name.partition("@")[0]) is not None


def fetch(name: str, *, offline: bool, progress: ProgressCallback) -> tuple[Path, str | None]:
    """Return the folder of a hub model and its revision, ``name`` being ``org/model`` or ``org/model@revision``.

    The local cache is asked first and no network is touched when it has the model. Raises
    ``DeviceUnavailable`` when huggingface-hub is missing, or the model is and it cannot be downloaded.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError:
        raise DeviceUnavailable(
            f"{name} is a hub model, and huggingface-hub is not installed; install sage-infer[hub], "
            "or give the path of a model folder",
            reason="missing_module",
        ) from None
    repo, _, revision = name.partition("@")
    wanted = revision or None
    try:
        return _cached(repo, wanted), wanted
    except (LocalEntryNotFoundError, OSError, HFValidationError) as error:
        if offline:
            raise DeviceUnavailable(
                f"{name} is not in the local hub cache and the network is switched off; "
                "run once without --offline, or give the path of a model folder",
                reason="offline",
            ) from error
    progress(f"downloading {name}", None)
    try:
        return Path(snapshot_download(repo, revision=wanted, allow_patterns=_FILES)), wanted
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InvalidRequest(f"the hub has no model {name}: {_first_line(error)}", param="model") from None
    except OSError as error:
        raise DeviceUnavailable(
            f"{name} could not be downloaded: {_first_line(error)}", reason="download_failed"
        ) from None


def _cached(repo: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(repo, revision=revision, local_files_only=True))
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise FileNotFoundError(f"{folder} is incomplete")
    return folder


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
