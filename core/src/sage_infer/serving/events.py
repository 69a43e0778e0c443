"""Formats the chunks of a streamed answer: everything but the new text is formatted once."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from ..control_plane.streams import Batch
from .fields import GenerationFields
from .output import AnswerHead, Piece, Totals
from .sse import event


class ChunkEvents(ABC):
    """The chunks of one answer; subclasses say what a piece of output looks like."""

    kind: str

    def __init__(self, head: AnswerHead, request: GenerationFields, totals: Totals) -> None:
        options = request.stream_options
        self._with_usage = options is not None and bool(options.include_usage)
        self._head = head
        self._totals = totals
        self._open = (
            f'data: {{"id":{json.dumps(head.id)},"object":"{self.kind}","created":{head.created},'
            f'"model":{json.dumps(head.model)},"choices":[{{"index":'
        )
        self._close = "}]" + (',"usage":null' if self._with_usage else "") + "}\n\n"

    async def batch(self, batch: Batch) -> str:
        """Return the chunks of a batch."""
        return "".join([await self.piece(piece) for piece in self._totals.take(batch)])

    def end(self) -> str:
        """Return the usage chunk, if it was asked for."""
        if not self._with_usage:
            return ""
        head = self._head
        chunk: dict[str, Any] = {
            "id": head.id,
            "object": self.kind,
            "created": head.created,
            "model": head.model,
        }
        return event({**chunk, "choices": [], "usage": self._totals.usage()})

    @abstractmethod
    async def piece(self, piece: Piece) -> str:
        """Return the chunks of one piece, possibly none."""

    def chunk(self, index: int, fields: str) -> str:
        """Return one chunk of choice ``index`` with the preformatted ``fields``."""
        return f"{self._open}{index},{fields}{self._close}"
