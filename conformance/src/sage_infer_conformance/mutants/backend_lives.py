"""Backends that pretend to quantise or do not end well: IB-09 and IB-10."""

from __future__ import annotations

import os
import tempfile

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.errors import BackendUnavailable, InvalidRequest
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.streams import TokenDelta

from ..kinds.backend.reference.backend import ReferenceBackend
from ..kinds.backend.reference.engine import Engine
from .backend_ward import backend, engine


@backend("IB-09", "a profile is accepted and only its name is kept")
class KeepsTheName(ReferenceBackend):
    def load_quant_profile(self, profile: QuantizationProfile) -> None:
        self.ready()
        self.quant_profile = f"w{profile.weight_bits}"


@backend("IB-09", "weights are quantised in a copy that nothing reads")
class QuantisesACopy(ReferenceBackend):
    def load_quant_profile(self, profile: QuantizationProfile) -> None:
        function = self.ready().function
        before = list(function.weights)
        super().load_quant_profile(profile)
        function.weights = before
        self.ready().pool.root = self._root(function)


@backend("IB-09", "what cannot be quantised is an invalid request and not an unsupported one")
class BlamesTheCaller(ReferenceBackend):
    def load_quant_profile(self, profile: QuantizationProfile) -> None:
        raise InvalidRequest(f"no kernel for {profile.weight_bits}-bit weights", param="weight_bits")


@backend("IB-10", "streams that are pending at close hear nothing any more")
class PendingHang(ReferenceBackend):
    def fail_pending(self) -> None:
        pass


@backend("IB-10", "streams that are pending at close end as if they were complete")
class PendingEndQuietly(ReferenceBackend):
    def fail_pending(self) -> None:
        for sequence in self.live.all():
            sequence.ended = True
            sequence.sink(TokenDelta((), "", "length", None, sequence.usage()))


@backend("IB-10", "the engine's thread outlives close")
class ThreadStays(ReferenceBackend):
    async def stop(self) -> None:
        self.engine = None
        self.fail_pending()


@backend("IB-10", "a second close raises")
class ClosesOnce(ReferenceBackend):
    async def close(self) -> None:
        if self.life.state == "closed":
            raise BackendUnavailable("the backend is closed already")
        await super().close()


@backend("IB-10", "a file that is opened with the backend is never closed")
class FileStaysOpen(ReferenceBackend):
    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        super().__init__(config, context)
        self.log, path = tempfile.mkstemp(prefix="reference-log-")
        os.unlink(path)


@backend("IB-10", "health says ready for ever")
class HealthStaysReady(ReferenceBackend):
    async def close(self) -> None:
        await super().close()
        self.life.state = "ready"


@engine("IB-10", "a thread for statistics is started with the engine, and never ended")
class SecondThreadStays(Engine):
    def start(self) -> None:
        import threading

        threading.Thread(target=threading.Event().wait, name="reference-statistics", daemon=True).start()
        super().start()
