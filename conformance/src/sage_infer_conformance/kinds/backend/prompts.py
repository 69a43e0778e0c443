"""Prompts as the backend under judgement reads them."""

from __future__ import annotations

import itertools

from sage_infer_contracts.backend import InferenceBackend, Prompt as BackendPrompt
from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.errors import Unsupported

from .asks import Prompt


class Prompts:
    """Token ids of prompts under one tokenizer."""

    def __init__(self, backend: InferenceBackend) -> None:
        self._backend = backend
        self._ids: dict[str, tuple[int, ...]] = {}

    async def ids(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the ids of ``prompt``."""
        key = prompt.key()
        if key not in self._ids:
            self._ids[key] = await self._encode(prompt)
        return self._ids[key]

    def known(self) -> tuple[tuple[int, ...], ...]:
        """Return the ids of every prompt that was asked for."""
        return tuple(self._ids.values())

    async def given(self, prompt: Prompt) -> BackendPrompt:
        """Return what the backend is given: text where the prompt is only text."""
        return prompt.text if prompt.tokens is None and not prompt.chat else await self.ids(prompt)

    async def _encode(self, prompt: Prompt) -> tuple[int, ...]:
        tokenizer = self._backend.tokenizer
        ids: list[int] = []
        if prompt.chat:
            try:
                return tuple(await tokenizer.encode_chat([ChatMessage(role="user", content=prompt.text)]))
            except Unsupported:
                pass  # no template: the text alone
        ids = await tokenizer.encode(prompt.text)
        if prompt.tokens is None:
            return tuple(ids)
        if prompt.head_tokens:
            head = itertools.cycle(await tokenizer.encode(prompt.head))
            return tuple(
                itertools.islice(
                    itertools.chain(itertools.islice(head, prompt.head_tokens), itertools.cycle(ids)),
                    prompt.tokens,
                )
            )
        return tuple(itertools.islice(itertools.cycle(ids), prompt.tokens))
