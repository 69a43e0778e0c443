"""A lean client of ``POST /v1/completions``: one connection, streamed answers, little CPU of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs

from benchmarks.measuring import Ask, Prompt, RequestTimes
from benchmarks.servers import Server

_CHOICE = b'"text":'
"""In each event that has a choice, and in no other: the last one carries usage and an empty list of choices."""

TEXT_PROMPT = "The first thing to know about the city of Paris is"


class HttpError(RuntimeError):
    """A server refused or broke off."""


@attrs.frozen
class Answer:
    """A streamed answer as it came, and when."""

    times: RequestTimes
    events: tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        """The text of the whole answer."""
        choices = (choice for event in self.events for choice in event["choices"])
        return "".join(choice["text"] for choice in choices)


@attrs.frozen
class HttpArm:
    """One server under load from this process, whose CPU time does not count."""

    server: Server
    model_id: str
    output_tokens: int

    @property
    def name(self) -> str:
        """The server's."""
        return self.server.kind.name

    def cpu_s(self) -> float:
        """Return the CPU seconds of the server and all its processes."""
        return self.server.cpu.read_s()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Ask]:
        """Open a connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)

        async def ask(prompt: Prompt) -> RequestTimes:
            return (await self._complete(reader, writer, list(prompt))).times

        try:
            yield ask
        finally:
            writer.close()
            await writer.wait_closed()

    async def greedy(self, prompt: str) -> str:
        """Return the output of ``prompt``."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            return (await self._complete(reader, writer, prompt)).text
        finally:
            writer.close()

    async def _complete(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, prompt: list[int] | str
    ) -> Answer:
        message = self._message(prompt)
        start_s = time.perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise HttpError(f"{self.name} answered: {(head + await reader.read(2000)).decode()}")
        first_s = last_s = 0.0
        body = bytearray()
        while size := int(await reader.readline(), 16):
            piece = (await reader.readexactly(size + 2))[:-2]
            body += piece
            if _CHOICE in piece:
                last_s = time.perf_counter()
                first_s = first_s or last_s
        await reader.readline()
        events = _events(bytes(body))
        return Answer(RequestTimes(start_s, first_s, last_s, _output_tokens(events)), events)

    def _message(self, prompt: list[int] | str) -> bytes:
        body = json.dumps(
            {
                "model": self.model_id,
                "prompt": prompt,
                "max_tokens": self.output_tokens,
                "temperature": 0,
                "ignore_eos": True,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def _events(body: bytes) -> tuple[dict[str, Any], ...]:
    lines = (line.removeprefix(b"data:").strip() for line in body.splitlines() if line.startswith(b"data:"))
    events = tuple(json.loads(line) for line in lines if line != b"[DONE]")
    for event in events:
        if "error" in event:
            raise HttpError(f"the stream ended with {event['error']}")
    return events


def _output_tokens(events: tuple[dict[str, Any], ...]) -> int:
    """Return the output tokens that the server counted; 0 if it did not say."""
    counts = [event["usage"]["completion_tokens"] for event in events if event.get("usage")]
    return int(counts[-1]) if counts else 0
