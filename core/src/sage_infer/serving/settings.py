"""Settings of the HTTP server. Every wait and every size has a bound."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr

from sage_infer_contracts.wire import FrozenModel


class ServingSettings(FrozenModel):
    """How the server listens, what it lets in and how it stops."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    api_keys: tuple[SecretStr, ...] = Field(
        default=(), description="accepted bearer keys; empty lets everybody in"
    )
    metrics_need_key: bool = Field(default=False, description="whether /metrics asks for a key too")
    max_body_bytes: PositiveInt = Field(default=8 * 2**20, description="largest request body")
    body_timeout_s: PositiveFloat = Field(default=30.0, description="time a client has to send a body")
    write_timeout_s: PositiveFloat = Field(
        default=60.0, description="time a client may leave a piece of a streamed answer unread"
    )
    drain_timeout_s: float = Field(
        default=30.0, ge=0, description="time running requests have to finish after SIGTERM"
    )
    keep_alive_s: PositiveInt = Field(default=5, description="time an idle connection stays open")
    retry_after_s: PositiveInt = Field(default=1, description="Retry-After sent with 429 and 503")
