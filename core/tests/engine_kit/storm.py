"""A storm of concurrent HTTP requests: streams, whole answers, embeddings, cancels, disconnects and bad inputs."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter

import httpx
import openai
import psutil
from served import Served

REQUESTS = 200
CLIENT_TIMEOUT_S = 300.0
SETTLE_DEADLINE_S = 20.0  # uvicorn keeps an idle connection for 5 s
BAD_BODIES: list[tuple[bytes, int]] = [
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b'{"model": "demo"}', 400),
    (b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}', 404),
    (b'{"model": "demo", "messages": [{"role": "user", "content": "x"}], "temperature": -1}', 400),
    (b'{"model": "demo", "messages": [{"role": "user", "content": "x"}], "max_tokens": 99999999}', 400),
    (b'{"model": "demo", "messages": [{"role": "user", "content": "x"}], "top_p": 7}', 400),
]


def chat_body(number: int, stream: bool) -> dict[str, object]:
    return {
        "model": "demo",
        "messages": [{"role": "user", "content": f"Request {number}: name {number % 7 + 2} animals."}],
        "max_tokens": 4 + number % 9,
        "temperature": 0.0 if number % 2 else 0.8,
        "seed": number,
        "stream": stream,
    }


class Storm:
    """One client per request, as strangers would be."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.url = f"{served.base_url}/chat/completions"
        self.outcomes: Counter[str] = Counter()

    async def one(self, number: int) -> None:
        kinds = (self.streamed, self.whole, self.embedded, self.cancelled, self.disconnected, self.bad)
        kind = kinds[number % len(kinds)]
        await kind(number)
        self.outcomes[kind.__name__] += 1

    async def streamed(self, number: int) -> None:
        client = openai.AsyncOpenAI(base_url=self.served.base_url, api_key="none", timeout=CLIENT_TIMEOUT_S)
        async with client:
            stream = await client.chat.completions.create(**chat_body(number, stream=True))  # type: ignore[call-overload]
            reasons = [choice.finish_reason async for chunk in stream for choice in chunk.choices]
        assert reasons[-1] in ("stop", "length")

    async def whole(self, number: int) -> None:
        async with httpx.AsyncClient(timeout=CLIENT_TIMEOUT_S) as client:
            answer = await client.post(self.url, json=chat_body(number, stream=False))
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] <= 4 + number % 9

    async def embedded(self, number: int) -> None:
        client = openai.AsyncOpenAI(base_url=self.served.base_url, api_key="none", timeout=CLIENT_TIMEOUT_S)
        async with client:
            answer = await client.embeddings.create(model="demo-embed", input=[f"text {number}", "another"])
        assert [len(item.embedding) for item in answer.data] == [384, 384]

    async def cancelled(self, number: int) -> None:
        body = {**chat_body(number, stream=True), "max_tokens": 500}
        async with (
            httpx.AsyncClient(timeout=CLIENT_TIMEOUT_S) as client,
            client.stream("POST", self.url, json=body) as answer,
        ):
            async for _ in answer.aiter_lines():
                return  # closes the connection after the first line

    async def disconnected(self, number: int) -> None:
        body = json.dumps({**chat_body(number, stream=bool(number % 4)), "max_tokens": 500}).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", self.served.port)
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + (body if number % 3 else body[: len(body) // 2]))
        await writer.drain()
        writer.transport.abort()

    async def bad(self, number: int) -> None:
        body, status = BAD_BODIES[number % len(BAD_BODIES)]
        async with httpx.AsyncClient(timeout=CLIENT_TIMEOUT_S) as client:
            answer = await client.post(self.url, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]


Footprint = dict[str, tuple[int, int]]


def footprint(served: Served) -> Footprint:
    """Threads and open files of each process of the server, oldest first."""
    processes = sorted(served.tree(), key=psutil.Process.create_time)
    return {f"{i}:{p.name()}": (p.num_threads(), p.num_fds()) for i, p in enumerate(processes)}


def grown(before: Footprint, after: Footprint) -> Footprint:
    """What is more than before: a process, a thread or a file."""
    return {name: now for name, now in after.items() if any(map(int.__gt__, now, before.get(name, (0, 0))))}


def settled(served: Served, before: Footprint) -> Footprint:
    """What is still more than before once the server had time to close the last connections."""
    end = time.monotonic() + SETTLE_DEADLINE_S
    while (more := grown(before, footprint(served))) and time.monotonic() < end:
        time.sleep(0.2)
    return more


async def storm(served: Served, count: int, seed: int) -> Counter[str]:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    weather = Storm(served)
    async with asyncio.TaskGroup() as group:
        for number in order:
            group.create_task(weather.one(number))
    return weather.outcomes
