"""A language model opened for one command, behind the control plane like any served one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

import attrs

from sage_infer.common.logs import build_logger
from sage_infer.common.telemetry import Telemetry
from sage_infer.config import Settings
from sage_infer.control_plane import GenerateRequest, RequestStream
from sage_infer.deployment import Deployment, prepare_models
from sage_infer.deployment.prepared import registry_of
from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.errors import InvalidRequest, Unsupported
from sage_infer_contracts.streams import TokenDelta

from .progress import StageReporter

if TYPE_CHECKING:
    from sage_infer.deployment import PreparedModel
    from sage_infer.plugins import Registry
    from sage_infer_contracts.backend import InferenceBackend


@attrs.frozen(slots=True)
class Prepared:
    """A model found on this machine, before any engine runs."""

    settings: Settings
    registry: Registry
    models: list[PreparedModel]

    @property
    def model_id(self) -> str:
        """The model's name in requests."""
        return self.models[0].config.model.model_id


def prepare(settings: Settings, *, quiet: bool) -> Prepared:
    """Find the one language model of ``settings``; blocks, so that Ctrl-C ends it."""
    if len(settings.inference.llm) != 1:
        raise InvalidRequest(
            f"this command takes one language model, not {len(settings.inference.llm)}; name it with --llm",
            param="inference.llm",
        )
    alone = settings.model_copy(update={"inference": settings.inference.model_copy(update={"embedding": ()})})
    registry = registry_of(alone)
    with StageReporter(quiet=quiet) as progress:
        return Prepared(alone, registry, prepare_models(alone, registry, progress))


async def open_prepared(prepared: Prepared, *, quiet: bool) -> Deployment:
    """Start the model's worker; a worker that dies is reported by the stream it breaks, so logs stay quiet."""
    telemetry = Telemetry(log=build_logger(level="error"))
    settings = prepared.settings
    once = settings.model_copy(
        update={
            "worker": settings.worker.model_copy(update={"restart_on_failure": False}),
            "logging": settings.logging.model_copy(update={"level": "error"}),
        }
    )
    with StageReporter(quiet=quiet) as progress:
        return await Deployment.open(
            prepared.models, once, prepared.registry, telemetry=telemetry, progress=progress
        )


async def has_chat_template(deployment: Deployment, model_id: str) -> bool:
    """Say whether the model's tokenizer can lay out a conversation."""
    backend = cast("InferenceBackend", deployment.backends[model_id])
    try:
        await backend.tokenizer.encode_chat([ChatMessage(role="user", content="?")])
    except Unsupported:
        return False
    return True


async def deltas(deployment: Deployment, request: GenerateRequest) -> AsyncIterator[TokenDelta]:
    """Submit ``request`` and yield the deltas of its one sequence; leaving early cancels it."""
    stream: RequestStream = await deployment.manager.submit(request)
    try:
        while batch := await stream.next_batch():
            for _, delta in batch:
                yield delta
    finally:
        stream.cancel()
