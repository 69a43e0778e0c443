"""The real tokenizer: any token ids stream to the text they decode to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from jinja2 import TemplateError

from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.engines.tokenizer import ModelTokenizer, decoder
from sage_infer_contracts.errors import InvalidRequest, Unsupported
from sage_infer_torch.detokenizer import Detokenizer

pytestmark = pytest.mark.engine


@pytest.fixture(scope="session")
def real(model_path: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path)


def test_any_ids_stream_to_their_decoded_text(real: Any) -> None:
    decode = decoder(real)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.integers(0, len(real) - 1) | st.integers(0, 260), max_size=20))
    def check(ids: list[int]) -> None:
        under_test = Detokenizer(decode, 0)
        pieces = [under_test.advance(ids[:end]) for end in range(1, len(ids) + 1)]
        assert "".join([*pieces, under_test.advance(ids, final=True)]) == real.decode(
            ids, skip_special_tokens=True
        )

    check()


async def test_text_and_chats_become_ids_as_the_model_expects(real: Any) -> None:
    with ThreadPoolExecutor(1) as executor:
        tokenizer = ModelTokenizer(real, executor, template_error=TemplateError)
        assert await tokenizer.encode("The moon 🙂") == real.encode("The moon 🙂")
        messages = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="Hi")]
        text = await tokenizer.decode(await tokenizer.encode_chat(messages))
        assert text == "system\nBe brief.\nuser\nHi\nassistant\n"
        with pytest.raises(InvalidRequest):
            await tokenizer.encode_chat([])
        with pytest.raises(InvalidRequest, match="Unicode"):
            await tokenizer.encode_chat([ChatMessage(role="user", content="\ud800")])


async def test_a_template_that_refuses_is_an_invalid_request_and_no_template_is_unsupported(
    real: Any,
) -> None:
    import copy

    odd = copy.deepcopy(real)
    odd.chat_template = "{{ raise_exception('roles must alternate') }}"
    message = [ChatMessage(role="user", content="x")]
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(InvalidRequest, match="roles must alternate"):
            await ModelTokenizer(odd, executor, template_error=TemplateError).encode_chat(message)
        odd.chat_template = None
        with pytest.raises(Unsupported, match="no chat template"):
            await ModelTokenizer(odd, executor, template_error=TemplateError).encode_chat(message)
