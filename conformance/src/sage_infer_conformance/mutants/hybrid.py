"""Broken hybrid backends."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Sequence

from sage_infer_contracts.backend import Prompt
from sage_infer_contracts.chat import ChatMessage, ChatResponse
from sage_infer_contracts.descriptors import HybridCapabilityDescriptor, ModelDescriptor, ModelStatus
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, InvalidRequest
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import TokenDelta, TokenStream, Usage

from ..kinds.hybrid.reference import Entry, ReferenceHybrid, take_memory
from .mutant import Ward

MUTANTS = Ward("hybrid")


@MUTANTS.add("HB-01", "every generation goes to the first language model")
class IgnoresTheModel(ReferenceHybrid):
    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, model: str | None = None
    ) -> list[TokenStream]:
        self.known(model, "llm") if model is not None else None
        return await super().generate(prompts, params)


@MUTANTS.add("HB-01", "answers are remembered by prompt, whichever model gave them")
class RemembersByPrompt(ReferenceHybrid):
    def __init__(self, total_memory_bytes: int) -> None:
        super().__init__(total_memory_bytes)
        self.answers: dict[str, list[list[float]]] = {}

    async def embed(self, texts: Sequence[str], model: str | None = None) -> list[list[float]]:
        vectors = await super().embed(texts, model)
        return self.answers.setdefault("\0".join(texts), vectors)


@MUTANTS.add("HB-01", "while something is generated, embeddings are cut to their first eight tokens")
class HurriesEmbeddings(ReferenceHybrid):
    async def embed(self, texts: Sequence[str], model: str | None = None) -> list[list[float]]:
        busy = any(e.running for e in self.entries.values() if e.descriptor.model_type == "llm")
        return await super().embed([" ".join(text.split()[:2]) for text in texts] if busy else texts, model)


@MUTANTS.add("HB-01", "generation yields to embeddings and does not take up again")
class EndsEarly(ReferenceHybrid):
    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, model: str | None = None
    ) -> list[TokenStream]:
        if any(e.running for e in self.entries.values() if e.descriptor.model_type == "embedding"):
            params = params.model_copy(update={"max_tokens": max(1, (params.max_tokens or 1) // 2)})
        return await super().generate(prompts, params, model)


@MUTANTS.add("HB-01", "passes on how much is to be generated, and forgets where to stop")
class ForgetsStops(ReferenceHybrid):
    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, model: str | None = None
    ) -> list[TokenStream]:
        return await super().generate(prompts, params.model_copy(update={"stop": ()}), model)


@MUTANTS.add("HB-01", "gives the streams of several prompts in the order in which they end")
class StreamsOutOfOrder(ReferenceHybrid):
    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, model: str | None = None
    ) -> list[TokenStream]:
        return list(reversed(await super().generate(prompts, params, model)))


@MUTANTS.add("HB-01", "a chat says that the model asked for has answered, and the first one has")
class ChatsWithTheFirst(ReferenceHybrid):
    async def chat(
        self, messages: Sequence[ChatMessage], params: SamplingParams, model: str | None = None
    ) -> ChatResponse:
        entry = self.find(model, "llm")
        response = await super().chat(messages, params)
        return response.model_copy(update={"model": entry.descriptor.model_id})


@MUTANTS.add("HB-02", "loads whatever it is told to")
class KnowsNoBudget(ReferenceHybrid):
    def reserve(self, model: ModelDescriptor) -> Entry:
        total, self.total = self.total, 1 << 60
        try:
            return super().reserve(model)
        finally:
            self.total = total


@MUTANTS.add("HB-02", "does not free the weights of what it unloads")
class KeepsWeights(ReferenceHybrid):
    def __init__(self, total_memory_bytes: int) -> None:
        super().__init__(total_memory_bytes)
        self.kept: list[mmap.mmap] = []

    def free(self, entry: Entry) -> None:
        if entry.weights is not None:
            self.kept.append(entry.weights)
            entry.weights = None
        super().free(entry)

    async def close(self) -> None:
        await super().close()
        for weights in self.kept:
            weights.close()


@MUTANTS.add("HB-02", "reads a file into memory and copies it from there")
class HoldsItTwice(ReferenceHybrid):
    def load_model(self, model: ModelDescriptor) -> None:
        entry = self.reserve(model)
        file = take_memory(entry.size)
        entry.weights = take_memory(entry.size)
        file.close()
        with self.changed:
            entry.state = "ready"


@MUTANTS.add("HB-02", "takes the memory first and looks at the budget then")
class LoadsThenLooks(ReferenceHybrid):
    def load_model(self, model: ModelDescriptor) -> None:
        weights = take_memory(round(model.memory_gb * 1e9))
        try:
            entry = self.reserve(model)
        except BaseException:
            weights.close()
            raise
        entry.weights = weights
        with self.changed:
            entry.state = "ready"


@MUTANTS.add("HB-02", "loads at once do not see each other")
class ChecksThenReserves(ReferenceHybrid):
    def used(self) -> int:
        with self.changed:
            return sum(entry.size for entry in self.entries.values() if entry.state != "loading")


@MUTANTS.add("HB-02", "counts language models only")
class CountsLanguageModels(ReferenceHybrid):
    def used(self) -> int:
        entries = list(self.entries.values())
        return sum(entry.size for entry in entries if entry.descriptor.model_type == "llm")


@MUTANTS.add("HB-02", "forgets to give memory back to the budget, and refuses what fits")
class ForgetsToCredit(ReferenceHybrid):
    def __init__(self, total_memory_bytes: int) -> None:
        super().__init__(total_memory_bytes)
        self.spent = 0

    def free(self, entry: Entry) -> None:
        super().free(entry)
        self.spent += entry.size

    def used(self) -> int:
        return super().used() + self.spent


@MUTANTS.add("HB-02", "refuses without saying what is needed and what is there")
class RefusesWithoutFigures(ReferenceHybrid):
    def reserve(self, model: ModelDescriptor) -> Entry:
        try:
            return super().reserve(model)
        except CapacityExceeded:
            raise CapacityExceeded("out of memory") from None


@MUTANTS.add("HB-02", "what a model holds is told in parts of what it really holds")
class TellsHalf(ReferenceHybrid):
    def get_model_status(self, model_id: str) -> ModelStatus:
        status = super().get_model_status(model_id)
        return status.model_copy(update={"memory_bytes": (status.memory_bytes or 0) // 4})


@MUTANTS.add("HB-02", "all of the memory is always available")
class AlwaysAvailable(ReferenceHybrid):
    def get_hybrid_capability(self) -> HybridCapabilityDescriptor:
        capability = super().get_hybrid_capability()
        return capability.model_copy(update={"available_memory_gb": capability.total_memory_gb})


@MUTANTS.add("HB-03", "an unload waits for nothing")
class UnloadsAtOnce(ReferenceHybrid):
    def drain(self, entry: Entry) -> bool:
        return True


@MUTANTS.add("HB-03", "an unload cancels what runs")
class CancelsWhatRuns(ReferenceHybrid):
    def __init__(self, total_memory_bytes: int) -> None:
        super().__init__(total_memory_bytes)
        self.streams: dict[int, list[TokenStream]] = {}

    def passed_on(self, entry: Entry, inner: TokenStream) -> TokenStream:
        self.streams.setdefault(id(entry), []).append(inner)
        return super().passed_on(entry, inner)

    def drain(self, entry: Entry) -> bool:
        for stream in self.streams.get(id(entry), []):
            assert entry.loop is not None
            entry.loop.call_soon_threadsafe(stream.cancel)
        return super().drain(entry)


@MUTANTS.add("HB-03", "an unload waits for streams, and not for embeddings")
class ForgetsEmbeddings(ReferenceHybrid):
    def drain(self, entry: Entry) -> bool:
        return entry.descriptor.model_type == "embedding" or super().drain(entry)

    async def embed(self, texts: Sequence[str], model: str | None = None) -> list[list[float]]:
        try:
            return await super().embed(texts, model)
        except BackendUnavailable:
            return []


@MUTANTS.add("HB-03", "what comes during an unload waits for a model that never comes back")
class WaitsForever(ReferenceHybrid):
    async def begin(self, model_id: str | None, kind: str, requests: int) -> Entry:
        entry = self.entries.get(model_id or "")
        if entry is not None and entry.state == "draining":
            await asyncio.Event().wait()
        return await super().begin(model_id, kind, requests)


@MUTANTS.add("HB-03", "what comes during an unload gets an empty answer")
class AnswersEmpty(ReferenceHybrid):
    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, model: str | None = None
    ) -> list[TokenStream]:
        try:
            return await super().generate(prompts, params, model)
        except BackendUnavailable:
            streams = [TokenStream("empty") for _ in prompts]
            for stream in streams:
                stream.push(TokenDelta((), "", finish_reason="length", usage=Usage(0, 0, 0, 0)))
            return streams


@MUTANTS.add("HB-03", "an unload stops the other models too, for as long as it takes")
class StopsTheWorld(ReferenceHybrid):
    async def begin(self, model_id: str | None, kind: str, requests: int) -> Entry:
        if any(entry.state == "draining" for entry in self.entries.values()):
            raise BackendUnavailable("a model is being unloaded")
        return await super().begin(model_id, kind, requests)


@MUTANTS.add("HB-04", "an unknown model is served by the default one")
class FallsBack(ReferenceHybrid):
    def find(self, model_id: str | None, kind: str) -> Entry:
        return super().find(model_id if model_id in self.entries else None, kind)


@MUTANTS.add("HB-04", "says that a model is unknown, and not which there are")
class NamesNothing(ReferenceHybrid):
    def unknown(self, model_id: str | None, kind: str | None) -> InvalidRequest:
        return InvalidRequest(f"unknown model {model_id}", param="model")


@MUTANTS.add("HB-04", "names the models as they were when it first looked")
class NamesTheFirst(ReferenceHybrid):
    def __init__(self, total_memory_bytes: int) -> None:
        super().__init__(total_memory_bytes)
        self.first: str | None = None

    def unknown(self, model_id: str | None, kind: str | None) -> InvalidRequest:
        self.first = self.first or next(iter(self.entries), "none")
        return InvalidRequest(f"unknown model {model_id}; loaded: {self.first}", param="model")


@MUTANTS.add("HB-04", "an unknown model is out of service for the moment")
class SaysComeBackLater(ReferenceHybrid):
    def known(self, model_id: str, kind: str | None = None) -> Entry:
        if model_id not in self.entries:
            raise BackendUnavailable(f"{model_id} is not loaded; loaded: {', '.join(self.entries)}")
        return super().known(model_id, kind)


@MUTANTS.add("HB-04", "looks an unknown model up and lets the KeyError out")
class LetsKeyErrorOut(ReferenceHybrid):
    def known(self, model_id: str, kind: str | None = None) -> Entry:
        return self.entries[model_id]


@MUTANTS.add("HB-04", "the status of a model that never was is that it is unloaded")
class EveryModelIsUnloaded(ReferenceHybrid):
    def get_model_status(self, model_id: str) -> ModelStatus:
        if model_id not in self.entries:
            return ModelStatus(model_id=model_id, state="unloaded")
        return super().get_model_status(model_id)
