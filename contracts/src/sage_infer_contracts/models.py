"""ModelSource: a plugin that puts a model on this machine, under a name every engine can be given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import attrs

from .backend import ModelLocation

ProgressCallback = Callable[[str, float | None], None]
"""Called with what is being done and the share done, 0 to 1, or None when it cannot be known."""


def _no_progress(_stage: str, _share: float | None) -> None:
    """Ignore progress."""


@attrs.frozen(slots=True)
class ModelRequest:
    """What a source is asked with. ``cache_dir`` exists and is shared by concurrent processes."""

    name: str
    cache_dir: Path
    offline: bool = False
    progress: ProgressCallback = _no_progress


class ModelSource(Protocol):
    """Found under ``sage_infer.model_source.v1``; the entry point's name is the model's name.

    The entry point resolves to a callable without arguments that returns the source.
    """

    def resolve(self, request: ModelRequest) -> ModelLocation:
        """Return the model's folder, building it in ``request.cache_dir`` on first use.

        Building MUST be atomic: two processes that start at once, or a killed one, leave a whole model or none.
        With ``offline`` no network is touched; a missing model then raises ``DeviceUnavailable`` saying what to do.
        Raises ``IntegrityError`` when downloaded bytes are not the pinned ones.
        """
        ...
