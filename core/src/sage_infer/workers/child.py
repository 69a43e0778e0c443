"""A worker process: ``python -m sage_infer.workers.child FD LINE_FD``, started by the host and by nobody else."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import select
import signal
import socket
import sys
import threading
import time

from sage_infer.common.event_loop import run

_ORPHAN_GRACE_S = 10.0


def main(argv: list[str]) -> int:
    """Serve the host at the other end of the inherited sockets until either side ends; return the exit status."""
    connection, line = (socket.socket(fileno=int(text)) for text in argv[1:3])
    connection.set_inheritable(False)
    line.set_inheritable(False)
    # The host decides when this process ends; Ctrl-C in its terminal must not reach the engine first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    watcher = threading.Thread(
        target=_end_with_the_host, args=(connection.fileno(),), name="host-watch", daemon=True
    )
    watcher.start()
    return run(_serve(connection, line))


async def _serve(connection: socket.socket, line: socket.socket) -> int:
    from .frames import READ_BUFFER_BYTES
    from .service import Service
    from .settings import FAILED_STATUS

    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=READ_BUFFER_BYTES)
    service = Service(reader, writer)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, service.stop)
    line_reader, line_writer = await asyncio.open_unix_connection(sock=line)
    await service.run(line_reader, line_writer)
    return 0 if service.failure is None else FAILED_STATUS


def _end_with_the_host(fd: int) -> None:
    """Kill this process group if the host went away and the loop, busy in a library, did not end by itself."""
    watch = select.poll()
    watch.register(fd, select.POLLHUP)
    watch.poll()
    time.sleep(_ORPHAN_GRACE_S)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
