"""From the options of a run and the settings of a command to the configuration of a backend."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path

import attrs
from pydantic import ValidationError

from sage_infer_contracts.backend import BackendConfig, ModelLocation, OptionValue
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.kv import KVSchemaRequest
from sage_infer_contracts.models import ModelRequest
from sage_infer_contracts.testing import Subject

from .asks import Settings

NO_MODEL = Path(__file__).parent / "reference"
"""A folder without a model, for backends that need none; others refuse it by name."""

_FIELDS = frozenset(BackendConfig.model_fields) - {
    "model",
    "device",
    "device_ids",
    "kv_schema",
    "options",
    "schema_version",
}


@attrs.frozen(slots=True)
class Recipe:
    """How the instances of one subject are configured: fixed for a run, but for the settings of each ``open``.

    The option ``model`` is a folder or the name of an installed model source; options named like a field of
    :class:`BackendConfig` set that field, and all others are the plugin's own. The fact ``device`` names the device,
    and the fact ``lease_option`` the plugin's option for the life of a state, in seconds.
    """

    location: ModelLocation
    device: str
    fields: dict[str, OptionValue]
    options: dict[str, OptionValue]
    lease_option: str | None

    @classmethod
    def of(cls, subject: Subject) -> Recipe:
        """Read a subject; a model source is asked here, which may take as long as it takes to build the model."""
        options = dict(subject.options)
        model = options.pop("model", None) or subject.facts.get("model")
        lease = subject.facts.get("lease_option")
        return cls(
            location=locate(str(model)) if model else ModelLocation(model_id="none", path=str(NO_MODEL)),
            device=str(subject.facts.get("device") or "cpu"),
            fields={name: options.pop(name) for name in list(options) if name in _FIELDS},
            options=options,
            lease_option=str(lease) if lease else None,
        )

    def config(self, settings: Settings) -> BackendConfig:
        """Return the configuration for ``settings``; raises ``InvalidRequest`` for a value of a wrong type."""
        asked = settings.model_dump(exclude_none=True)
        options = dict(self.options)
        lease_s = asked.pop("lease_s", None)
        if lease_s is not None and self.lease_option is not None:
            options[self.lease_option] = lease_s
        page_size = asked.pop("page_size", None)
        location = self.location
        if asked.pop("missing_model"):
            location = location.model_copy(update={"path": str(Path(location.path) / "nowhere")})
        schema = KVSchemaRequest(page_size=page_size) if page_size else None
        fields = {"model": location, "device": self.device, "kv_schema": schema, "options": options}
        try:
            return BackendConfig.model_validate({**self.fields, **asked, **fields})
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"]))
            raise InvalidRequest(f"{where}: {problem['msg']}", param=where) from error


def locate(name: str) -> ModelLocation:
    """Return the model called ``name``: a folder, or an installed model source.

    Raises ``InvalidRequest`` for neither, and what the source raises.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        whole = folder.resolve()
        return ModelLocation(model_id=whole.name, path=str(whole))
    sources = {point.name: point for point in entry_points(group=PluginKind.MODEL_SOURCE.group)}
    if name not in sources:
        listed = ", ".join(sorted(sources)) or "none"
        raise InvalidRequest(f"{name!r} is no model folder; installed model sources: {listed}", param="model")
    cache = _cache_dir()
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    found: ModelLocation = sources[name].load()().resolve(ModelRequest(name=name, cache_dir=cache))
    return found


def _cache_dir() -> Path:
    """Return where model sources keep what they build: the same folder that the host uses."""
    own = os.environ.get("SAGE_INFER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own).expanduser() if own else Path(base) / "sage-infer"
