"""The one rule for model names: a folder, an installed model source, or a hub id, in this order."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from sage_infer import env
from sage_infer_contracts.backend import ModelLocation
from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.models import ModelRequest, ModelSource, ProgressCallback

from . import hub
from .folder import check_model_folder, model_type_of

if TYPE_CHECKING:
    from sage_infer.plugins import Registry


def _quiet(_stage: str, _share: float | None) -> None:
    """Show nothing."""


def resolve_model(
    name: str,
    *,
    offline: bool = False,
    progress: ProgressCallback = _quiet,
    registry: Registry | None = None,
) -> ModelLocation:
    """Return where the model called ``name`` lies, preparing or downloading it first if need be.

    Blocks while it does. ``name`` is a folder with a ``config.json``, the name of an installed model source
    (``name`` or ``dist:name``), or a hub id ``org/model[@revision]``; a folder is served under its own last name.
    Raises ``InvalidRequest`` for a name that is none of these, naming what exists; otherwise what the source raises.
    """
    from sage_infer.plugins import default_registry

    registry = registry or default_registry()
    folder = Path(name).expanduser()
    # A bare word is a source's name even if a folder happens to be called so; ./word says the folder.
    if os.sep in name or name not in _sources(registry):
        if folder.is_dir():
            return _from_folder(folder)
        if os.path.isabs(name) or name.startswith((".", "~")):
            raise InvalidRequest(f"there is no model folder {folder}", param="model")
    if name.rpartition(":")[2] in _sources(registry):
        return _from_source(name, registry, offline, progress)
    if hub.is_hub_id(name):
        path, revision = hub.fetch(name, offline=offline, progress=progress)
        return ModelLocation(
            model_id=name.partition("@")[0],
            path=str(path),
            model_type=model_type_of(path),
            source="hub",
            revision=revision,
        )
    raise _unknown(name, registry)


def _from_folder(folder: Path) -> ModelLocation:
    whole = folder.resolve()
    check_model_folder(whole)
    return ModelLocation(model_id=whole.name, path=str(whole), model_type=model_type_of(whole))


def _from_source(name: str, registry: Registry, offline: bool, progress: ProgressCallback) -> ModelLocation:
    source: ModelSource = registry.create(PluginKind.MODEL_SOURCE, name)
    cache = env.cache_dir()
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DeviceUnavailable(
            f"the cache folder {cache} cannot be made: {error}; set SAGE_INFER_CACHE to a writable one",
            reason="cache_not_writable",
        ) from None
    request = ModelRequest(name=name.rpartition(":")[2], cache_dir=cache, offline=offline, progress=progress)
    location = source.resolve(request)
    check_model_folder(Path(location.path))
    return location


def _sources(registry: Registry) -> list[str]:
    return registry.names(PluginKind.MODEL_SOURCE)


def _unknown(name: str, registry: Registry) -> InvalidRequest:
    sources = _sources(registry)
    near = get_close_matches(name, sources, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    listed = ", ".join(sources) or "none (sage-infer-demo brings demo and demo-embed)"
    return InvalidRequest(
        f"no model is called {name!r}{hint} Installed model sources: {listed}. "
        "A path to a model folder or a hub id org/model works too.",
        param="model",
    )
