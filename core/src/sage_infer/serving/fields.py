"""Request fields that chat and text completions share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sage_infer_contracts.sampling import MAX_STOP_STRINGS

INT64 = 2**63
MAX_ALTERNATIVES = 20
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]


class ApiModel(BaseModel):
    """A request, or a part of one: unknown fields and lossy conversions are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


class StreamOptions(ApiModel):
    """What a streamed answer contains besides text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = Field(default=None, description="accepted; nothing is ever padded")


class GenerationFields(ApiModel):
    """Sampling and output fields; null means the default.

    The last group is accepted because clients send it and it changes nothing here: nothing is stored, and one
    service tier exists.
    """

    model: str = Field(min_length=1, description="a name from /v1/models")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=INT64 - 1)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    n: int | None = Field(default=None, ge=1, le=128)
    stop: str | list[str] | None = Field(
        default=None,
        json_schema_extra={"x-accepts": f"null, a string, or a list of at most {MAX_STOP_STRINGS} strings"},
    )
    seed: int | None = Field(default=None, ge=-INT64, le=INT64 - 1)
    presence_penalty: float | None = Field(default=None, ge=-2.0, le=2.0)
    frequency_penalty: float | None = Field(default=None, ge=-2.0, le=2.0)
    logit_bias: dict[str, Annotated[float, Field(ge=-100.0, le=100.0)]] | None = None

    top_k: int | None = Field(
        default=None, ge=-1, le=2**31 - 1, description="vLLM extension; 0 and -1 turn it off"
    )
    min_p: float | None = Field(default=None, ge=0.0, le=1.0, description="vLLM extension")
    repetition_penalty: float | None = Field(default=None, gt=0.0, le=2.0, description="vLLM extension")
    ignore_eos: bool | None = Field(default=None, description="vLLM extension")
    stop_token_ids: list[TokenId] | None = Field(default=None, max_length=1024, description="vLLM extension")
    min_tokens: int | None = Field(default=None, ge=0, le=INT64 - 1, description="vLLM extension")

    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
