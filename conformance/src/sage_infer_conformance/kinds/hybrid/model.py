"""What must be true of any hybrid: which models are loaded, and what each answers when nothing else runs."""

from __future__ import annotations

import attrs

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.names import DType

from ..embedding.model import EmbeddingModel
from ..embedding.steps import About as EmbeddingAbout, Call, Embed, EmbeddingStep, Outcome
from ..embedding.vectors import unpack
from .asks import Answer, EmbedTexts, Generate, Request
from .steps import About, Ask, Calibrate, Create, HybridStep, Load, Loaded, Seen, Unload, UnloadDuring

MAX_TOKENS = 128
"""Most tokens of a text or sequence that models are loaded with; a token is at least a byte."""
_SPECIAL_TOKENS = 16
GREEDY_DTYPE: DType = "fp32"


def outcome_of(answer: Answer) -> Outcome:
    """Return an answer to an embedding request as the rules of embedding backends know it."""
    return Outcome(
        vectors=answer.vectors, malformed=answer.malformed, error=answer.error, pending=answer.pending
    )


@attrs.define(slots=True)
class HybridModel:
    """The loaded models, and what is known of each. A model keeps its answers under its name when it is unloaded."""

    about: About | None = None
    capabilities: frozenset[str] = frozenset()
    seen: Seen | None = None
    baseline: int | None = None
    gone: set[str] = attrs.field(factory=set)
    fitting: set[tuple[str, int]] = attrs.field(factory=set)
    """Types and sizes, in percent, of the models that were loaded into this hybrid when it was empty."""
    outputs: dict[tuple[str, str, str, int], Answer] = attrs.field(factory=dict)
    """Answers of language models that had nothing else to do, by model, kind, prompt and length."""
    embedders: dict[str, EmbeddingModel] = attrs.field(factory=dict)

    def apply(self, step: HybridStep) -> None:
        """Take a step into account."""
        command = step.command
        before = {loaded.name for loaded in self.loaded()}
        if isinstance(command, Create):
            self.about, self.capabilities = step.about, frozenset(step.capabilities or ())
            self.baseline, self.gone, self.fitting = None, set(), set()
        elif isinstance(command, Load) and not before and step.errors == (None,):
            self.fitting.add((command.models[0].type, command.models[0].percent))
        if step.seen is not None:
            self.seen = step.seen
        if isinstance(command, Calibrate) and step.memory is not None:
            self.baseline = step.memory.after
        elif isinstance(command, (Load, Unload, UnloadDuring)):
            now = {loaded.name for loaded in self.loaded()}
            self.gone = (self.gone | before) - now
        elif isinstance(command, Ask) and len(step.answers) == 1:
            self._learn(command.requests[0], step.answers[0])

    @property
    def manages(self) -> bool:
        """Whether models can be loaded and unloaded."""
        return Capability.HYBRID_MODEL_LIFECYCLE in self.capabilities

    def loaded(self, needs: str | None = None) -> list[Loaded]:
        """Return the models that are listed, of one type or of all."""
        models = self.seen.models if self.seen is not None else ()
        return [model for model in models if needs in (None, model.type)]

    def candidates(self, request: Request) -> list[str]:
        """Return the models that may answer: the one that is named, or any of the type; none if it is unknown."""
        fitting = [model.name for model in self.loaded(request.needs) if model.state == "ready"]
        return fitting if request.model is None else [name for name in fitting if name == request.model]

    def embedder(self, name: str, dimension: int = 0) -> EmbeddingModel:
        """Return what is known of an embedding model."""
        known = self.embedders.get(name)
        if known is None:
            about = EmbeddingAbout(
                dimension=dimension, max_tokens=MAX_TOKENS, precisions=(GREEDY_DTYPE,), health="ready"
            )
            truncates = Capability.EMBEDDING_TRUNCATES in self.capabilities
            known = EmbeddingModel(state="ready", starts=1, about=about, truncates=truncates)
            if dimension:
                self.embedders[name] = known
        return known

    def _learn(self, request: Request, answer: Answer) -> None:
        names = self.candidates(request)
        if request.model is None or not names or answer.error is not None:
            return
        if isinstance(request, EmbedTexts):
            self._learn_vector(names[0], request, answer)
        elif not answer.pending and not (isinstance(request, Generate) and (request.stop or request.beside)):
            self.outputs.setdefault((names[0], request.kind, request.prompt, request.max_tokens), answer)

    def _learn_vector(self, name: str, request: EmbedTexts, answer: Answer) -> None:
        if len(request.texts) != 1 or not answer.vectors:
            return
        known = self.embedder(name, len(unpack(answer.vectors[0])))
        text = request.texts[0]
        if len(text.encode()) + _SPECIAL_TOKENS < MAX_TOKENS:
            known.counts[text] = len(text.encode())
        known.apply(
            EmbeddingStep(command=Embed(call=Call(texts=request.texts)), outcomes=(outcome_of(answer),))
        )
