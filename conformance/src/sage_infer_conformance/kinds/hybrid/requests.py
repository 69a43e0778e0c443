"""Requests on their way: begun together, watched, and recorded however they end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time

from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.hybrid import HybridInferenceBackend
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import TokenStream

from ...history.steps import Raised
from ..embedding.driver import read_vectors
from .asks import Answer, Chat, EmbedTexts, Generate, Request
from .steps import HybridStep

STALL_S = 20.0
"""Requests of which none has moved for so long do not end."""


class Running:
    """Requests that run at once. Used on the event loop."""

    def __init__(self, hybrid: HybridInferenceBackend, requests: tuple[Request, ...]) -> None:
        self._hybrid = hybrid
        self._parts = [Answer() for _ in requests]
        self._wanted: float = math.inf
        self._reached = asyncio.Event()
        self._tasks = [asyncio.ensure_future(self._one(*numbered)) for numbered in enumerate(requests)]
        for task in self._tasks:
            task.add_done_callback(self._look)

    async def until(self, tokens: int, turns: int) -> None:
        """Wait for ``turns`` of the loop, and until the requests have ``tokens`` together or are over."""
        for _ in range(turns):
            await asyncio.sleep(0)
        self._wanted = tokens
        self._look()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reached.wait(), STALL_S)

    async def wait(self) -> None:
        """Wait until all are over, or none has come any further for a while; those are recorded as pending."""
        last, since = self._progress(), time.monotonic()
        while (
            left := [task for task in self._tasks if not task.done()]
        ) and time.monotonic() - since < STALL_S:
            await asyncio.wait(left, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
            if self._progress() != last:
                last, since = self._progress(), time.monotonic()

    def answers(self) -> tuple[Answer, ...]:
        """Return what became of each, in order."""
        return tuple(self._answer(task, part) for task, part in zip(self._tasks, self._parts, strict=True))

    def _progress(self) -> tuple[int, int]:
        return sum(len(part.tokens or ()) for part in self._parts), sum(task.done() for task in self._tasks)

    def _look(self, _: object = None) -> None:
        tokens, over = self._progress()
        if tokens >= self._wanted or over == len(self._tasks):
            self._reached.set()

    def _answer(self, task: asyncio.Task[None], part: Answer) -> Answer:
        if not task.done():
            task.cancel()
            return part.model_copy(update={"pending": True})
        if task.cancelled():
            error = Raised(type="CancelledError", message="the caller's own task was cancelled")
            return part.model_copy(update={"error": error})
        raised = task.exception()
        return part if raised is None else part.model_copy(update={"error": Raised.of(raised)})

    async def _one(self, place: int, request: Request) -> None:
        if isinstance(request, EmbedTexts):
            outcome = read_vectors(await self._hybrid.embed(list(request.texts), request.model))
            self._parts[place] = Answer(vectors=outcome.vectors, malformed=outcome.malformed)
        elif isinstance(request, Chat):
            self._parts[place] = await self._chat(request)
        else:
            await self._generate(place, request)

    async def _chat(self, request: Chat) -> Answer:
        message = ChatMessage(role="user", content=request.prompt)
        response = await self._hybrid.chat([message], _greedy(request), request.model)
        return Answer(
            text=response.message.content,
            finish=response.finish_reason,
            usage=response.completion_tokens,
            served_by=response.model,
        )

    async def _generate(self, place: int, request: Generate) -> None:
        before = len(request.beside) // 2
        prompts = [*request.beside[:before], request.prompt, *request.beside[before:]]
        params = _greedy(request)
        if request.stop is not None:
            params = params.model_copy(update={"stop": (request.stop,)})
        streams = await self._hybrid.generate(prompts, params, request.model)
        if len(streams) != len(prompts):
            self._parts[place] = Answer(malformed=f"gives {len(streams)} streams for {len(prompts)} prompts")
            return
        others = [stream for number, stream in enumerate(streams) if number != before]
        await asyncio.gather(self._read(place, streams[before]), *(stream.collect() for stream in others))

    async def _read(self, place: int, stream: TokenStream) -> None:
        tokens: list[int] = []
        text = ""
        self._parts[place] = Answer(tokens=(), accepted=True)
        async for delta in stream:
            tokens += delta.token_ids
            text += delta.text
            usage = delta.usage.completion_tokens if delta.usage is not None else None
            self._parts[place] = Answer(
                tokens=tuple(tokens), text=text, finish=delta.finish_reason, usage=usage, accepted=True
            )
            self._look()


def _greedy(request: Generate | Chat) -> SamplingParams:
    return SamplingParams(max_tokens=request.max_tokens, temperature=0.0)


def with_answers(step: HybridStep, answers: tuple[Answer, ...]) -> HybridStep:
    """Add answers; the error of the step is the only request's, or the first that no contract documents."""
    errors = [answer.error for answer in answers if answer.error is not None]
    told = [error for error in errors if error.code is None] or (errors if len(answers) == 1 else [])
    return step.model_copy(update={"answers": answers, "error": told[0] if told else None})
