"""EngineThread: runs an EngineCore on a thread of its own and carries its outputs to an event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sage_infer_contracts.backend import BackendStats
from sage_infer_contracts.errors import BackendUnavailable
from sage_infer_contracts.streams import TokenDelta

if TYPE_CHECKING:
    from .core import Command, CoreBuilder, EngineCore, Output

logger = logging.getLogger(__name__)
T = TypeVar("T")
ACKNOWLEDGED = TokenDelta((), "")


class EngineThread:
    """Owner of the core. Commands go in under a condition, outputs leave once per step.

    ``context`` is entered on the thread around all work (inference mode). ``on_failure`` is called on the loop
    when the engine gives up.
    """

    def __init__(
        self,
        build: CoreBuilder,
        *,
        name: str,
        context: Callable[[], Any],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._build = build
        self._context = context
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._commands: deque[Command] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._acknowledgements: set[asyncio.Future[Any]] = set()
        self.started: asyncio.Future[EngineCore] = self._loop.create_future()
        self.stats = BackendStats()

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin building the core; :attr:`started` tells how it went."""
        self._thread.start()

    def post(self, command: Command) -> None:
        """Run ``command`` on the engine thread before its next step. Callers bound how many they post."""
        with self._changed:
            self._commands.append(command)
            self._changed.notify()

    def ask(self, question: Callable[[EngineCore], T]) -> asyncio.Future[T]:
        """Run ``question`` on the engine thread; the future has what it returns or raises, once :attr:`stats` shows it.

        Raises ``BackendUnavailable`` once the thread was asked to end: nobody would answer.
        """
        if self._closing or not self.alive:
            raise BackendUnavailable("the engine was closed meanwhile")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._acknowledgements.add(answer)
        answer.add_done_callback(self._acknowledgements.discard)

        def run(core: EngineCore) -> list[Output]:
            try:
                finish = partial(_resolve, answer, question(core))
            except Exception as error:  # noqa: BLE001 - boundary: it belongs to whoever asked
                finish = partial(_reject, answer, error)
            return [(lambda _: finish(), ACKNOWLEDGED)]

        self.post(run)
        return answer

    def fail_calls(self, error: BaseException) -> None:
        """End what :meth:`ask` returned and the engine will not answer any more. Called on the loop."""
        for done in list(self._acknowledgements):
            _reject(done, error)

    def stop(self) -> None:
        """Ask the thread to end after the step that runs now."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False when it still runs after ``timeout_s``."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            with self._context():
                core = self._build()
                self._on_loop(_resolve, self.started, core)
                try:
                    self._serve(core)
                finally:
                    core.close()
        except BaseException as error:  # noqa: BLE001 - boundary: the end of the thread, reported through the loop
            if not self._closing:
                self._on_loop(_reject, self.started, error)
                self._on_loop(self._on_failure, error)

    def _serve(self, core: EngineCore) -> None:
        self.stats = core.stats()
        while not self._closing:
            outputs: list[Output] = []
            for command in self._take_commands(core):
                outputs.extend(command(core))
            outputs.extend(core.expire())
            try:
                outputs.extend(core.step())
            except Exception as error:
                self._deliver([*outputs, *core.fail(core.scheduler.everything(), error)])
                raise
            self.stats = core.stats()
            if outputs:
                self._deliver(outputs)

    def _take_commands(self, core: EngineCore) -> list[Command]:
        """Return what was posted; when there is nothing to compute, wait for it or for the next expiry."""
        with self._changed:
            if core.idle and not self._commands and not self._closing:
                self._changed.wait(core.leases.next_expiry_s())
            commands = list(self._commands)
            self._commands.clear()
            return commands

    def _deliver(self, outputs: list[Output]) -> None:
        self._on_loop(_hand_over, outputs)

    def _on_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop was closed without closing the backend: nobody is left to read.
            logger.warning("the event loop is gone; the engine stops")
            self._closing = True


def _hand_over(outputs: list[Output]) -> None:
    for sink, event in outputs:
        sink(event)


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _reject(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
