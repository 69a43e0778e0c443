"""Starts a dead worker again, a bounded number of times, waiting longer before each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import attrs

from sage_infer_contracts.errors import SageInferError

from .proxy import WorkerProxy

_log = logging.getLogger("sage_infer.worker")
STABLE_S = 600.0


@attrs.frozen(slots=True, kw_only=True)
class RestartPolicy:
    """``max_restarts`` in a row, the first after ``backoff_s``, each next after twice the time."""

    max_restarts: int = 3
    backoff_s: float = 1.0
    stable_s: float = STABLE_S
    """A worker that lived this long starts the count anew."""


class Supervisor:
    """Watches one proxy until it is closed or its restarts are used up; it then stays failed and says why."""

    def __init__(
        self, proxy: WorkerProxy, policy: RestartPolicy, on_restarted: Callable[[], Awaitable[None]]
    ) -> None:
        self._proxy = proxy
        self._policy = policy
        self._on_restarted = on_restarted
        self._task = asyncio.create_task(self._watch(), name=f"supervisor-{proxy.label}")

    async def close(self) -> None:
        """Stop watching; idempotent. Close it before the proxy, or a closing worker looks like a dead one."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        used = 0
        while True:
            started_s = loop.time()
            reason = await self._proxy.wait_down()
            if loop.time() - started_s > self._policy.stable_s:
                used = 0
            _log.error("%s", reason)
            while not await self._restarted(used):
                used += 1
                if used > self._policy.max_restarts:
                    return
            used += 1

    async def _restarted(self, used: int) -> bool:
        label = self._proxy.label
        if used >= self._policy.max_restarts:
            _log.error("%s stays down: %d restarts were not enough", label, used)
            return False
        await asyncio.sleep(self._policy.backoff_s * 2**used)
        try:
            await self._proxy.restart()
            await self._on_restarted()
        except SageInferError as error:
            _log.error("restart %d of %s failed: %s", used + 1, label, error)
            return False
        _log.warning("%s is back, restart %d of %d", label, used + 1, self._policy.max_restarts)
        return True
