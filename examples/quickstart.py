"""Start the server with the demo models, ask it a question, and leave it running for you to curl.

    python examples/quickstart.py [--once] [--port 8000] [--question "..."]

Uses nothing but the standard library and the ``sage`` command, as any HTTP client would.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

START_DEADLINE_S = 900.0  # the first start fetches and converts the models


def free_port() -> int:
    """Return a port that is free on the loopback interface now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(port: int) -> subprocess.Popen[bytes]:
    """Start ``sage infer serve`` with both demo models."""
    command = ["sage", "infer", "serve", "--llm", "demo", "--embedding", "demo-embed", "--port", str(port)]
    print("$", " ".join(command), flush=True)
    return subprocess.Popen([sys.executable, "-m", "sage_infer", *command[2:], "--log-level", "warning"])


def wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    """Poll ``/ready`` until it answers 200; raises RuntimeError when the server ends or the deadline passes."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with status {server.returncode} before it was ready")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass  # not listening yet: the models are still loading
        finally:
            connection.close()
        time.sleep(0.5)
    raise RuntimeError(f"the server was not ready within {START_DEADLINE_S:.0f} s")


def stream_answer(port: int, question: str) -> Iterator[str]:
    """Yield the pieces of text of a streamed chat completion."""
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 64,
        "temperature": 0,
        "stream": True,
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"HTTP {response.status}: {response.read().decode()}")
    for line in response:
        data = line.decode().strip().removeprefix("data: ")
        if data == "[DONE]":
            return
        if data:
            chunk = json.loads(data)
            if "error" in chunk:
                raise RuntimeError(chunk["error"]["message"])
            yield chunk["choices"][0]["delta"].get("content") or ""


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description="A real model, served and asked.")
    parser.add_argument("--once", action="store_true", help="stop the server after the answer")
    parser.add_argument("--port", type=int, default=8000, help="0: any free port")
    parser.add_argument("--question", default="What is the capital of France?")
    arguments = parser.parse_args()
    port = arguments.port or free_port()
    server = start_server(port)
    try:
        wait_until_ready(server, port)
        print(f"\nQ: {arguments.question}\nA: ", end="", flush=True)
        for piece in stream_answer(port, arguments.question):
            print(piece, end="", flush=True)
        print("\n", flush=True)
        if not arguments.once:
            print(f"The server is up at http://127.0.0.1:{port}/v1 (Ctrl-C stops it). Try:\n")
            print(
                f"  curl http://127.0.0.1:{port}/v1/chat/completions -H 'Content-Type: application/json' \\"
            )
            print(
                '    -d \'{"model": "demo", "messages": [{"role": "user", "content": "Tell me a joke."}]}\'\n'
            )
            server.wait()
    except KeyboardInterrupt:
        print("stopping")
    except RuntimeError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    finally:
        server.terminate()
        server.wait(timeout=60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
