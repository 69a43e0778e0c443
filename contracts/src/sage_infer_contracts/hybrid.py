"""HybridInferenceBackend: language and embedding models under one memory budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .backend import Prompt
from .chat import ChatMessage, ChatResponse
from .descriptors import HybridCapabilityDescriptor, ModelDescriptor, ModelStatus
from .sampling import SamplingParams
from .streams import TokenStream


class HybridInferenceBackend(Protocol):
    """Several models behind one object. HB-01: per model, both contracts MUST hold at once.

    Requests run on one event loop. :meth:`load_model` and :meth:`unload_model` may block, and may be called from
    other threads while requests run; either may return while the status is ``loading`` or ``draining``. Without
    ``hybrid.model_lifecycle`` both MUST raise ``Unsupported``. Implementations may have ``start`` and ``close``, plain
    or asynchronous; whoever makes one calls them where they are.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Names from :class:`Capability`."""
        ...

    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, model: str | None = None
    ) -> list[TokenStream]:
        """As :meth:`InferenceBackend.generate`, on ``model`` or the default language model (HB-01).

        HB-04: an unknown model MUST be refused with ``InvalidRequest`` naming what exists.
        """
        ...

    async def chat(
        self, messages: Sequence[ChatMessage], params: SamplingParams, model: str | None = None
    ) -> ChatResponse:
        """Answer a conversation (HB-01, HB-04)."""
        ...

    async def embed(self, texts: Sequence[str], model: str | None = None) -> list[list[float]]:
        """As :meth:`EmbeddingBackend.embed`, on ``model`` or the default embedding model (HB-01, HB-04)."""
        ...

    def list_models(self) -> list[ModelDescriptor]:
        """Return the loaded models."""
        ...

    def load_model(self, model: ModelDescriptor) -> None:
        """Load a model. HB-02: the budget MUST never be exceeded, by the process's real memory.

        Raises ``CapacityExceeded`` with the arithmetic before any work when it cannot fit. What fitted an empty
        instance once fits it again. :meth:`get_model_status` and :meth:`get_hybrid_capability` MUST NOT tell of less
        in use than there is.
        """
        ...

    def unload_model(self, model_id: str) -> None:
        """Unload a model. HB-03: a request MUST never be lost to an unload.

        Each one that is on its way, or comes meanwhile, gets its whole answer or an error before its first token;
        those of other models are served. An unload that will not wait is refused, and the model stays.
        """
        ...

    def get_model_status(self, model_id: str) -> ModelStatus:
        """Return the state of one model (HB-02, HB-04)."""
        ...

    def get_hybrid_capability(self) -> HybridCapabilityDescriptor:
        """Describe the instance and its models."""
        ...
