"""Broken embedding backends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from itertools import count

from sage_infer_contracts.backend import BackendConfig, BackendHealth
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, InvalidRequest
from sage_infer_contracts.launch import BackendContext

from ..kinds.embedding.reference import (
    DIMENSION,
    FIRST,
    LAST,
    Batch,
    ReferenceEmbedding,
    RefusingEmbedding,
    Row,
    Vector,
    mean,
    token_values,
)
from .mutant import Ward

MUTANTS = Ward("embedding")


@MUTANTS.add("EB-01", "sorts texts by length for the device and does not put the vectors back")
class StaysSorted(ReferenceEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        order = sorted(range(len(texts)), key=lambda place: -len(self.encode(texts[place])))
        vectors = await super().embed_batch(texts, batch_size)
        return [vectors[place] for place in order]


@MUTANTS.add("EB-01", "loses what is left over when the texts do not divide by the batch size")
class LosesTheRest(ReferenceEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        whole = len(texts) - len(texts) % batch_size if len(texts) > batch_size else len(texts)
        return await super().embed_batch(texts[:whole], batch_size)


@MUTANTS.add("EB-01", "embeds each distinct text once and gives one vector for it")
class DropsDuplicates(ReferenceEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        return await super().embed_batch(list(dict.fromkeys(texts)), batch_size)


@MUTANTS.add("EB-01", "pools the words without the special tokens, and divides by nothing for an empty text")
class NothingDividedByNothing(ReferenceEmbedding):
    def pool(self, states: list[Vector], mask: list[bool]) -> Vector:
        if sum(mask) <= 2:
            return [math.nan] * DIMENSION
        return super().pool(states, mask)


@MUTANTS.add("EB-01", "no texts give one empty vector")
class OneEmptyVector(ReferenceEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        return await super().embed_batch(texts, batch_size) or [[]]


@MUTANTS.add("EB-01", "no texts are an invalid request")
class RefusesNoTexts(ReferenceEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        if not texts:
            raise InvalidRequest("there are no texts", param="texts")
        return await super().embed_batch(texts, batch_size)


@MUTANTS.add("EB-01", "declares the width inside the model, not that of the vectors")
class DeclaresHiddenSize(ReferenceEmbedding):
    def get_embedding_dim(self) -> int:
        return 2 * DIMENSION


@MUTANTS.add("EB-01", "calls that run at once share the list that the answers are put into")
class SharedAnswers(ReferenceEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        self.asked = list(texts)
        await asyncio.sleep(0)
        return await super().embed_batch(self.asked, batch_size)


@MUTANTS.add("EB-01", "one text gives the vector itself in place of a list with it")
class SqueezesOne(ReferenceEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        vectors = await super().embed_batch(texts, batch_size)
        return vectors[0] if len(vectors) == 1 else vectors  # type: ignore[return-value]


@MUTANTS.add("EB-02", "the mean is taken over padding too")
class PaddingInTheMean(ReferenceEmbedding):
    def pool(self, states: list[Vector], mask: list[bool]) -> Vector:
        return super().pool(states, [True] * len(mask))


@MUTANTS.add("EB-02", "tokens see padding, which is then left out of the mean")
class PaddingIsSeen(ReferenceEmbedding):
    def mix(self, row: Row, mask: list[bool]) -> list[Vector]:
        return super().mix(row, [True] * len(mask))


@MUTANTS.add("EB-02", "normalises over the batch")
class CentersTheBatch(ReferenceEmbedding):
    def forward(self, batch: Batch) -> list[Vector]:
        vectors = super().forward(batch)
        center = mean(vectors)
        if len(vectors) < 2:
            return vectors
        return [[value - 0.01 * middle for value, middle in zip(v, center, strict=True)] for v in vectors]


@MUTANTS.add("EB-02", "pads on the left and numbers the places from there")
class PlacesFromTheLeft(ReferenceEmbedding):
    def pad(self, rows: Sequence[Row]) -> Batch:
        padded = super().pad(rows)
        shifts = [len(mask) - sum(mask) for mask in padded.mask]
        turned = [
            row[len(row) - by :] + row[: len(row) - by] for row, by in zip(padded.rows, shifts, strict=True)
        ]
        masks = [
            [False] * by + [True] * (len(mask) - by) for mask, by in zip(padded.mask, shifts, strict=True)
        ]
        return Batch(turned, masks)


@MUTANTS.add("EB-02", "remembers vectors by the first three tokens of a text")
class RemembersByPrefix(ReferenceEmbedding):
    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        super().__init__(config, context)
        self.known: dict[tuple[str, ...], Vector] = {}

    def forward(self, batch: Batch) -> list[Vector]:
        keys = [tuple(row[:4]) for row in batch.rows]
        for key, vector in zip(keys, super().forward(batch), strict=True):
            self.known.setdefault(key, vector)
        return [list(self.known[key]) for key in keys]


@MUTANTS.add("EB-02", "gives out the buffer of the next call")
class GivesOutItsBuffer(ReferenceEmbedding):
    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        super().__init__(config, context)
        self.buffer: list[Vector] = []

    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        vectors = await super().embed_batch(texts, batch_size)
        if len(self.buffer) != len(vectors):
            self.buffer = [[] for _ in vectors]
        for row, vector in zip(self.buffer, vectors, strict=True):
            row[:] = vector
        return list(self.buffer)


@MUTANTS.add("EB-02", "a part of the weights is drawn anew at each start")
class NewWeightsAtEachStart(ReferenceEmbedding):
    starts = count(1)

    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        super().__init__(config, context)
        self.drawn = token_values("weights", next(self.starts))

    def pool(self, states: list[Vector], mask: list[bool]) -> Vector:
        pooled = super().pool(states, mask)
        return [value * (1 + 0.1 * weight) for value, weight in zip(pooled, self.drawn, strict=True)]


@MUTANTS.add("EB-02", "a batch is cut to its shortest text past eight tokens")
class CutsToTheShortest(ReferenceEmbedding):
    def pad(self, rows: Sequence[Row]) -> Batch:
        width = max(8, min(map(len, rows)))
        return super().pad([row[:width] for row in rows] if len(rows) > 1 else rows)


@MUTANTS.add("EB-03", "declares truncation and refuses")
class RefusesThoughDeclared(RefusingEmbedding):
    capabilities = ReferenceEmbedding.capabilities


@MUTANTS.add("EB-03", "truncates without saying so")
class TruncatesSilently(ReferenceEmbedding):
    capabilities = RefusingEmbedding.capabilities


@MUTANTS.add("EB-03", "keeps the end of an over-long text")
class KeepsTheEnd(ReferenceEmbedding):
    def encode(self, text: str) -> Row:
        return [FIRST, *self.tokens(text)[-(self.max_tokens - 2) :], LAST]


@MUTANTS.add("EB-03", "cuts characters before it makes tokens, guessing six to a token")
class CutsCharacters(ReferenceEmbedding):
    def encode(self, text: str) -> Row:
        return super().encode(text[: 6 * self.max_tokens])


@MUTANTS.add("EB-03", "off by one: the last token that fits is cut too")
class CutsOneTooMany(ReferenceEmbedding):
    def forward(self, batch: Batch) -> list[Vector]:
        rows = [
            row[: self.max_tokens - 2] + row[-1:] if len(row) == self.max_tokens else row
            for row in batch.rows
        ]
        masks = [mask[: len(row)] for row, mask in zip(rows, batch.mask, strict=True)]
        return super().forward(Batch(rows, masks))


@MUTANTS.add("EB-03", "off by one: a token more than the maximum reaches the model")
class CutsOneTooFew(ReferenceEmbedding):
    def encode(self, text: str) -> Row:
        return [FIRST, *self.tokens(text)[: self.max_tokens - 1], LAST]

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [min(number, self.max_tokens) for number in await super().count_tokens(texts)]


@MUTANTS.add("EB-03", "forgets the special tokens when it compares with the maximum")
class ForgetsSpecialTokens(RefusingEmbedding):
    def encode(self, text: str) -> Row:
        tokens = self.tokens(text)
        if len(tokens) > self.max_tokens:
            raise InvalidRequest(f"{len(tokens)} tokens; a text may have {self.max_tokens}", param="texts")
        return [FIRST, *tokens, LAST]


@MUTANTS.add("EB-03", "refuses a text of just the maximum")
class RefusesTheMaximum(RefusingEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        for text in texts:
            if len(self.encode(text)) >= self.max_tokens:
                raise InvalidRequest(f"a text may have {self.max_tokens} tokens", param="texts")
        return await super().embed_batch(texts, batch_size)


@MUTANTS.add("EB-03", "refuses an over-long text only when it is alone; in a batch it becomes zeros")
class ZerosInABatch(RefusingEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        fitting = [text for text in texts if len(self.tokens(text)) <= self.max_tokens - 2]
        if len(texts) < 2 or len(fitting) == len(texts):
            return await super().embed_batch(texts, batch_size)
        vectors = iter(await super().embed_batch(fitting, batch_size))
        return [next(vectors) if text in fitting else [0.0] * DIMENSION for text in texts]


@MUTANTS.add("EB-03", "refuses without a word on the limit")
class RefusesWithoutTheLimit(RefusingEmbedding):
    def encode(self, text: str) -> Row:
        try:
            return super().encode(text)
        except InvalidRequest:
            raise InvalidRequest("bad input") from None


@MUTANTS.add("EB-03", "says of an over-long text that there is no room for it now")
class NoRoomForeverAfter(RefusingEmbedding):
    def encode(self, text: str) -> Row:
        try:
            return super().encode(text)
        except InvalidRequest as error:
            raise CapacityExceeded(str(error)) from None


@MUTANTS.add("EB-04", "a second close is an error")
class SecondCloseRaises(ReferenceEmbedding):
    async def close(self) -> None:
        if self.life.state == "closed":
            raise BackendUnavailable("the embedding backend is closed")
        await super().close()


@MUTANTS.add("EB-04", "goes on serving when it is closed")
class ServesWhenClosed(ReferenceEmbedding):
    ended = False

    async def close(self) -> None:
        await super().close()
        self.life.state, self.ended = "ready", True

    async def health(self) -> BackendHealth:
        health = await super().health()
        return health.model_copy(update={"state": "closed"}) if self.ended else health


@MUTANTS.add("EB-04", "forgets calls that wait for their turn")
class ForgetsPending(ReferenceEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        started = self.life.state == "ready"
        try:
            return await super().embed_batch(texts, batch_size)
        except BackendUnavailable:
            if started:
                await asyncio.Event().wait()
            raise


@MUTANTS.add("EB-04", "cancels the callers' own tasks")
class CancelsCallers(ReferenceEmbedding):
    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        super().__init__(config, context)
        self.callers: set[asyncio.Task[object]] = set()

    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        caller = asyncio.current_task()
        assert caller is not None
        self.callers.add(caller)
        try:
            return await super().embed_batch(texts, batch_size)
        finally:
            self.callers.discard(caller)

    async def close(self) -> None:
        for caller in self.callers:
            caller.cancel()
        await super().close()


@MUTANTS.add("EB-04", "answers pending calls with what it has so far")
class AnswersInPart(ReferenceEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        self.life.require_ready()
        vectors: list[Vector] = []
        for at in range(0, len(texts), batch_size):
            try:
                vectors += await super().embed_batch(texts[at : at + batch_size], batch_size)
            except BackendUnavailable:
                break
        return vectors


@MUTANTS.add("EB-04", "loads the model at the first call, started or not")
class ServesUnstarted(ReferenceEmbedding):
    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        if self.life.state == "created":
            await self.start()
        return await super().embed_batch(texts, batch_size)


@MUTANTS.add("EB-04", "closed while calls are pending, it keeps the device from the next one")
class KeepsTheDevice(ReferenceEmbedding):
    taken = False

    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        super().__init__(config, context)
        self.pending = 0

    async def start(self) -> None:
        if self.taken:
            raise CapacityExceeded("the device is in use")
        type(self).taken = True
        await super().start()

    async def embed_batch(self, texts: Sequence[str], batch_size: int = 32) -> list[Vector]:
        self.pending += 1
        try:
            return await super().embed_batch(texts, batch_size)
        finally:
            self.pending -= 1

    async def close(self) -> None:
        if self.life.state != "closed" and not self.pending:
            type(self).taken = False
        await super().close()
