"""Correct hybrids that do things in their own way; no rule may object to any of them."""

from __future__ import annotations

import asyncio
import mmap
import threading
import time

from sage_infer_conformance.kinds.backend.config import NO_MODEL
from sage_infer_conformance.kinds.hybrid.reference import Entry, ReferenceHybrid, take_memory
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.descriptors import HybridCapabilityDescriptor, ModelDescriptor
from sage_infer_contracts.errors import CapacityExceeded, Unsupported


class RefusesWhileBusy(ReferenceHybrid):
    """A model that works on requests is not unloaded."""

    def drain(self, entry: Entry) -> bool:
        if entry.running:
            entry.state = "ready"
            raise CapacityExceeded(
                f"{entry.descriptor.model_id} works on {entry.running} requests; unload it later"
            )
        return True


class QueuesDuringUnloads(ReferenceHybrid):
    """What comes for a model on its way out waits, and is told then that there is no such model."""

    async def begin(self, model_id: str | None, kind: str, requests: int) -> Entry:
        entry = self.entries.get(model_id or "")
        while entry is not None and entry.state == "draining" and self.entries.get(model_id or "") is entry:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return await super().begin(model_id, kind, requests)


class LoadsInTheBackground(ReferenceHybrid):
    """``load_model`` returns once the room is reserved."""

    def __init__(self, total_memory_bytes: int) -> None:
        super().__init__(total_memory_bytes)
        self.loaders: list[threading.Thread] = []

    def load_model(self, model: ModelDescriptor) -> None:
        entry = self.reserve(model)
        loader = threading.Thread(target=self.finish, args=(entry,))
        self.loaders.append(loader)
        loader.start()

    def finish(self, entry: Entry) -> None:
        time.sleep(0.02)
        entry.weights = take_memory(entry.size)
        with self.changed:
            entry.state = "ready"

    async def close(self) -> None:
        for loader in self.loaders:
            loader.join()
        await super().close()


class MakesRoom(ReferenceHybrid):
    """Idle models go when another needs their place."""

    def reserve(self, model: ModelDescriptor) -> Entry:
        with self.changed:
            need = round(model.memory_gb * 1e9)
            while need <= self.total and need > self.total - self.used():
                idle = [e for e in self.entries.values() if e.state == "ready" and not e.running]
                if not idle:
                    break
                name = idle[0].descriptor.model_id
                self.free(idle[0])
                del self.entries[name]
            return super().reserve(model)


class KeepsAPool(ReferenceHybrid):
    """The whole budget is taken at once, and models are laid into it."""

    def __init__(self, total_memory_bytes: int) -> None:
        super().__init__(total_memory_bytes)
        self.pool: mmap.mmap | None = take_memory(total_memory_bytes)

    def load_model(self, model: ModelDescriptor) -> None:
        entry = self.reserve(model)
        entry.weights = mmap.mmap(-1, entry.size)  # never touched: the pool is what holds it
        with self.changed:
            entry.state = "ready"

    async def close(self) -> None:
        await super().close()
        if self.pool is not None:
            self.pool.close()
        self.pool = None


class Fixed(ReferenceHybrid):
    """Serves what it was made with."""

    capabilities = ReferenceHybrid.capabilities - {Capability.HYBRID_MODEL_LIFECYCLE.value}

    def __init__(self, total_memory_bytes: int) -> None:
        super().__init__(total_memory_bytes)
        for number, kind in enumerate(("llm", "llm", "embedding")):
            descriptor = ModelDescriptor.model_validate(
                {
                    "model_id": f"{kind}/{number}",
                    "model_type": kind,
                    "model_path": str(NO_MODEL),
                    "memory_gb": total_memory_bytes / 4 / 1e9,
                    "max_batch_size": 4,
                    "max_sequence_length": 128,
                    "supported_precisions": ("fp32",),
                }
            )
            super().load_model(descriptor)

    def load_model(self, model: ModelDescriptor) -> None:
        raise Unsupported("models are fixed", capability=Capability.HYBRID_MODEL_LIFECYCLE)

    def unload_model(self, model_id: str) -> None:
        raise Unsupported("models are fixed", capability=Capability.HYBRID_MODEL_LIFECYCLE)


class NoNumbersAtRest(ReferenceHybrid):
    """Tells a little less to be available than there is, for what falls between pages."""

    def get_hybrid_capability(self) -> HybridCapabilityDescriptor:
        found = super().get_hybrid_capability()
        return found.model_copy(update={"available_memory_gb": found.available_memory_gb * 0.9})
