"""A server in a process of its own: ``python -m serving_kit.child_server DRAIN_S``.

Prints the port once it listens, and one line for each request that its engine accepts. The engine steps only while
the file named by ``SERVING_KIT_GO`` exists.
"""

from __future__ import annotations

import asyncio
import os
import sys

from sage_infer.common.event_loop import run
from sage_infer.control_plane import ControlPlaneManager
from sage_infer.serving.app import create_app
from sage_infer.serving.server import run_server
from sage_infer.serving.settings import ServingSettings

from .live_server import MODEL
from .scripted_backend import ScriptedBackend


async def main(drain_s: float) -> int:
    """Serve until a signal."""
    go = os.environ["SERVING_KIT_GO"]
    backend, manager = ScriptedBackend(), ControlPlaneManager()
    await backend.start()
    backend.hold()
    await manager.register_backend(MODEL, backend)
    settings = ServingSettings(port=0, drain_timeout_s=drain_s)

    async def watch() -> None:
        said = 0
        while True:
            if len(backend.accepted) > said:
                said = len(backend.accepted)
                print("accepted", flush=True)
            if os.path.exists(go):  # noqa: ASYNC240  one stat in a test's own process
                backend.go()
            await asyncio.sleep(0.01)

    watcher = asyncio.ensure_future(watch())
    try:
        return await run_server(
            create_app(manager, settings),
            manager,
            settings,
            on_listening=lambda _, port: print(port, flush=True),
        )
    finally:
        watcher.cancel()
        await backend.close()


if __name__ == "__main__":
    sys.exit(run(main(float(sys.argv[1]))))
