"""The model's tokenizer behind the contract's asynchronous protocol."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

from ..chat import ChatMessage
from ..errors import InvalidRequest, Unsupported

T = TypeVar("T")


def decoder(tokenizer: Any) -> Callable[[Sequence[int]], str]:
    """Return how token ids become text here, without special tokens.

    It works on a copy: a tokenizer must not be used by two threads at once.
    """
    return partial(_decode, copy.deepcopy(tokenizer))


class ModelTokenizer:
    """Runs a tokenizer with transformers' interface on ``executor``, so that long texts do not block the loop.

    ``executor`` must have one thread. ``template_error`` is what the chat template's engine raises when the
    template refuses; the plugin that brings that engine names it.
    """

    def __init__(self, tokenizer: Any, executor: Executor, *, template_error: type[Exception]) -> None:
        self._tokenizer = tokenizer
        self._executor = executor
        self._template_error = template_error

    async def encode(self, text: str) -> list[int]:
        """Return the ids of ``text`` with the special tokens the model puts around a prompt."""
        return await self._run(partial(_encode, self._tokenizer, text))

    async def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Return the ids of ``messages`` under the chat template, ready for the assistant's turn."""
        if not self._tokenizer.chat_template:
            raise Unsupported("this model has no chat template; send a plain prompt", param="messages")
        if not messages:
            raise InvalidRequest("messages is empty", param="messages")
        turns = [message.model_dump(exclude_none=True) for message in messages]
        return await self._run(partial(_encode_chat, self._tokenizer, turns, self._template_error))

    async def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of ``token_ids`` without special tokens."""
        return await self._run(partial(_decode, self._tokenizer, token_ids))

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


def _encode(tokenizer: Any, text: str) -> list[int]:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"the text is not valid Unicode: {error}", param="prompt") from error
    ids: list[int] = tokenizer.encode(text)
    return ids


def _encode_chat(tokenizer: Any, turns: list[dict[str, str]], template_error: type[Exception]) -> list[int]:
    try:
        text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        text.encode()
    except template_error as error:
        raise InvalidRequest(
            f"the chat template refuses these messages: {error}", param="messages"
        ) from error
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"a message is not valid Unicode: {error}", param="messages") from error
    # The template writes the special tokens itself.
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def _decode(tokenizer: Any, token_ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(
        list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text
