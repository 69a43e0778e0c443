"""The ends that live in one process, and what is done with them there."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import socket
import threading
import time
from typing import cast

import attrs
import psutil
from pydantic import Field

from sage_infer_contracts.errors import DeadlineExceeded
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.testing import Subject
from sage_infer_contracts.transport import KVChunk, TransportEngine, TransportPlan
from sage_infer_contracts.wire import FrozenModel

from ...history.steps import Raised, Residue
from .contents import pattern, sight_of
from .sockets import cut_connections, named_files, send_garbage
from .steps import (
    Allocate,
    Ask,
    Await,
    Cancel,
    Close,
    Create,
    Deregister,
    Fault,
    Grant,
    Look,
    Order,
    Revoke,
    Rewrite,
    Slice,
    State,
    Submit,
    TransportCommand,
    TransportStep,
    Watch,
)

_GUARD = b"\xa5" * 4096
_POLL_S = 0.002
_THREAD_S = 5.0
_NOWHERE = "nowhere"


class Directory(FrozenModel):
    """What the ends know of each other, told by the two that talk: addresses of ends and of memories."""

    addresses: dict[str, str] = Field(default_factory=dict)
    bases: dict[str, int] = Field(default_factory=dict)
    contents: dict[str, int] = Field(default_factory=dict)


class _Memory:
    """Bytes with guards around them."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.handle: str | None = None
        self._buffer = ctypes.create_string_buffer(nbytes + 2 * len(_GUARD))
        self._view = memoryview(self._buffer).cast("B")
        self._view[: len(_GUARD)] = self._view[-len(_GUARD) :] = _GUARD

    @property
    def base(self) -> int:
        return ctypes.addressof(self._buffer) + len(_GUARD)

    def region(self, offset: int, nbytes: int) -> MemoryRegion:
        return MemoryRegion(device="cpu", address=self.base + offset, nbytes=nbytes)

    def fill(self, content: str) -> None:
        self._view[len(_GUARD) : -len(_GUARD)] = pattern(content, self.nbytes)

    def read(self, part: Slice) -> bytes:
        start = len(_GUARD) + part.offset
        return bytes(self._view[start : start + part.nbytes])

    @property
    def is_stained(self) -> bool:
        return self._view[: len(_GUARD)] != _GUARD or self._view[-len(_GUARD) :] != _GUARD


@attrs.define(slots=True)
class _Before:
    """What the process held before an engine was made."""

    threads: frozenset[int | None] = attrs.field(
        factory=lambda: frozenset(thread.ident for thread in threading.enumerate())
    )
    open_files: int = attrs.field(factory=lambda: psutil.Process().num_fds())

    def residue(self) -> Residue:
        """Return what is there now and was not then."""
        gc.collect()
        threads = [thread for thread in threading.enumerate() if thread.ident not in self.threads]
        for thread in threads:
            thread.join(timeout=1.0)
        alive = tuple(sorted(thread.name for thread in threads if thread.is_alive()))
        return Residue(threads=alive, open_files=max(0, psutil.Process().num_fds() - self.open_files))


class Site:
    """Engines and memories of one process. Owned by one thread."""

    def __init__(self, subject: Subject, *, own_process: bool = False) -> None:
        self._subject = subject
        self._before = _Before() if own_process else None
        self._engines: dict[str, TransportEngine] = {}
        self._memories: dict[str, _Memory] = {}
        self._handles: dict[str, str] = {}
        self._held: list[socket.socket] = []
        self._names_before = named_files()
        self.named: set[str] = set()

    def execute(self, command: TransportCommand, directory: Directory) -> TransportStep:
        """Do ``command``; what the subject raises is in the step."""
        began = time.perf_counter()
        step = TransportStep(command=command)
        try:
            step = self._do(command, step, directory)
        except Exception as error:  # noqa: BLE001 - whatever the subject raises is what is recorded
            step = step.model_copy(update={"error": Raised.of(error)})
        stray = next((state.error for state in step.states if state.error and state.error.code is None), None)
        if step.error is None and stray is not None:
            step = step.model_copy(update={"error": stray})
        self.named |= named_files() - self._names_before
        return step.model_copy(update={"seconds": time.perf_counter() - began})

    def close(self) -> None:
        """Close what a history left open, so that a fault in one does not show in the next."""
        self._let_go()
        for engine in self._engines.values():
            with contextlib.suppress(Exception):
                engine.close()
        self._engines.clear()
        self._memories.clear()

    def _let_go(self) -> None:
        for held in self._held:
            held.close()
        self._held.clear()

    def _do(self, command: TransportCommand, step: TransportStep, directory: Directory) -> TransportStep:
        if isinstance(command, Create):
            return step.model_copy(update=self._create(command))
        if isinstance(command, Fault):
            if command.what == "cut":
                cut_connections()
            else:
                self._held += send_garbage(command.seed, command.nbytes)
        elif isinstance(command, Allocate):
            return step.model_copy(update={"base": self._allocate(command)})
        elif isinstance(command, Rewrite):
            self._memories[command.memory].fill(command.content)
        elif isinstance(command, Watch):
            self._watch(command)
        elif isinstance(command, Look):
            return step.model_copy(update=self._look(command, directory))
        elif isinstance(command, Submit):
            return step.model_copy(update={"states": self._submit(command, directory)})
        elif isinstance(command, Await):
            return step.model_copy(update={"states": self._await(command)})
        elif isinstance(command, Ask):
            return step.model_copy(update={"states": self._poll(command.end, command.transfers)})
        elif isinstance(command, Close):
            return step.model_copy(update=self._close(command))
        else:
            self._on_engine(command)
        return step

    def _create(self, command: Create) -> dict[str, object]:
        options = {"max_inflight_bytes": command.max_inflight_bytes, "credential": command.credential}
        engine = cast(TransportEngine, self._subject.create(**{**self._subject.options, **options}))
        self._engines[command.end] = engine
        return {"capabilities": tuple(sorted(map(str, engine.capabilities))), "address": engine.address}

    def _allocate(self, command: Allocate) -> int:
        memory = self._memories[command.memory] = _Memory(command.nbytes)
        memory.fill(command.memory)
        if command.register_it:
            memory.handle = self._engines[command.end].register_memory(memory.region(0, command.nbytes))
        return memory.base

    def _on_engine(self, command: TransportCommand) -> None:
        engine = self._engines[command.end]  # type: ignore[union-attr]  # a pause has no end and comes to no site
        if isinstance(command, Deregister):
            self._deregister(engine, command)
        elif isinstance(command, Grant):
            regions = [
                self._memories[part.memory].region(part.offset, part.nbytes) for part in command.slices
            ]
            engine.grant_lease(command.lease, command.generation, regions, command.duration_s)
        elif isinstance(command, Revoke):
            engine.revoke_lease(command.lease)
        elif isinstance(command, Cancel):
            for _ in range(command.times):
                engine.cancel(self._handles[command.transfer])

    def _deregister(self, engine: TransportEngine, command: Deregister) -> None:
        until = time.monotonic() + command.patience_s
        handle = self._memories[command.memory].handle or _NOWHERE
        while True:
            try:
                return engine.deregister_memory(handle)
            except Exception:
                if time.monotonic() >= until:
                    raise
            time.sleep(10 * _POLL_S)

    def _watch(self, command: Watch) -> None:
        memory, part = self._memories[command.part.memory], command.part
        before = pattern(command.content, memory.nbytes)[part.offset : part.offset + part.nbytes]
        until = time.monotonic() + command.timeout_s
        while memory.read(part) == before and time.monotonic() < until:
            time.sleep(_POLL_S / 10)

    def _look(self, command: Look, directory: Directory) -> dict[str, object]:
        sights = [
            sight_of(self._memories[part.memory].read(part), directory.contents) for part in command.slices
        ]
        named = sorted({part.memory for part in command.slices})
        return {
            "sights": tuple(sights),
            "stained": tuple(name for name in named if self._memories[name].is_stained),
        }

    # Transfers.

    def _submit(self, command: Submit, directory: Directory) -> tuple[State, ...]:
        engine = self._engines[command.end]
        states: dict[str, State] = {}
        for order in command.orders:
            plan = self._plan(order, directory)
            began = time.perf_counter()
            try:
                self._handles[order.transfer] = engine.submit(plan)
            except Exception as error:  # noqa: BLE001 - recorded, and judged by its code
                states[order.transfer] = State(
                    transfer=order.transfer, state="refused", error=Raised.of(error)
                )
            else:
                states[order.transfer] = State(transfer=order.transfer, state="pending")
            took_s = time.perf_counter() - began
            states[order.transfer] = states[order.transfer].model_copy(update={"seconds": took_s})
        waiting = tuple(name for name, state in states.items() if state.state == "pending")
        for state in self._poll(command.end, waiting) if waiting else ():
            states[state.transfer] = state.model_copy(update={"seconds": states[state.transfer].seconds})
        return tuple(states.values())

    def _plan(self, order: Order, directory: Directory) -> TransportPlan:
        def regions(parts: tuple[Slice, ...]) -> tuple[MemoryRegion, ...]:
            bases = directory.bases
            return tuple(
                MemoryRegion(device="cpu", address=bases[p.memory] + p.offset, nbytes=p.nbytes) for p in parts
            )

        return TransportPlan(
            transfer_id=order.wire_id,
            chunks=_chunks(order),
            source=regions(order.source),
            destination=directory.addresses.get(order.to, order.to),
            destination_regions=regions(order.target),
            lease=order.lease,
            generation=order.generation,
            deadline_s=order.deadline_s,
        )

    def _poll(self, end: str, transfers: tuple[str, ...]) -> tuple[State, ...]:
        statuses = self._engines[end].poll([self._handles[name] for name in transfers])
        return tuple(
            State(transfer=name, state=status.state, reason=status.reason, bytes_moved=status.bytes_moved)
            for name, status in zip(transfers, statuses, strict=True)
        )

    def _await(self, command: Await) -> tuple[State, ...]:
        until = time.monotonic() + command.timeout_s
        if command.how == "wait":
            return tuple(
                self._wait(command.end, name, until - time.monotonic()) for name in command.transfers
            )
        while True:
            states = self._poll(command.end, command.transfers)
            if time.monotonic() >= until or all(state.state != "pending" for state in states):
                return states
            time.sleep(_POLL_S)

    def _wait(self, end: str, transfer: str, timeout_s: float) -> State:
        began = time.perf_counter()
        try:
            status = self._engines[end].wait(self._handles[transfer], max(_POLL_S, timeout_s))
        except DeadlineExceeded as error:
            took_s = time.perf_counter() - began
            return State(transfer=transfer, state="pending", error=Raised.of(error), seconds=took_s)
        return State(
            transfer=transfer, state=status.state, reason=status.reason, bytes_moved=status.bytes_moved
        )

    # The end.

    def _close(self, command: Close) -> dict[str, object]:
        engine = self._engines[command.end]
        told: list[str] = []
        thread: threading.Thread | None = None
        if command.waiter is not None:
            handle = self._handles[command.waiter]
            thread = threading.Thread(
                target=_wait_for, args=(engine, handle, told), name="waiter", daemon=True
            )
            thread.start()
            time.sleep(50 * _POLL_S)
        try:
            engine.close()
            engine.close()
        finally:
            if thread is not None:
                thread.join(_THREAD_S)
        del self._engines[command.end], engine
        found: dict[str, object] = {} if thread is None else {"waiter": told[0] if told else "still waits"}
        if not self._engines:
            self._let_go()
            if self._before is not None:
                found["residue"] = self._before.residue()
        return found


def _wait_for(engine: TransportEngine, handle: str, told: list[str]) -> None:
    try:
        told.append(f"was told {engine.wait(handle, 4 * _THREAD_S).state}")
    except Exception as error:  # noqa: BLE001 - whatever ends the wait is told
        told.append(f"was told {Raised.of(error)}")


def _chunks(order: Order) -> tuple[KVChunk, ...]:
    count = min(order.chunks, order.nbytes)
    sizes = [order.nbytes // count + (number < order.nbytes % count) for number in range(count)]
    return tuple(
        KVChunk(
            request_id=order.transfer,
            layer_start=number,
            layer_end=number + 1,
            block_ids=(number,),
            schema_fingerprint="conformance",
            nbytes=nbytes,
        )
        for number, nbytes in enumerate(sizes)
    )
