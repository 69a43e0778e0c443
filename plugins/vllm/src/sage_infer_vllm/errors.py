"""vLLM's errors as members of the one family (PK-04)."""

from __future__ import annotations

import traceback

from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    InvalidRequest,
    SageInferError,
    Unsupported,
)

ENGINE_DIED = "vLLM's engine process died; the backend has to be started again"
_MEMORY_KINDS = ("MemoryError", "OutOfMemoryError")
_MEMORY_PHRASES = ("out of memory", "can't allocate", "less than requested memory", "less than desired")
_BAD_INPUT_KINDS = (
    "ValueError",
    "ValidationError",
    "OSError",
    "HFValidationError",
    "AssertionError",
    "KeyError",
    "SafetensorError",
    "error",  # struct's, of a weight file that is none
)


def request_error(error: BaseException) -> SageInferError:
    """Return the family's error for one that a request met."""
    if isinstance(error, SageInferError):
        return error
    from vllm.exceptions import GracefulHTTPError, VLLMClientError
    from vllm.v1.engine.exceptions import EngineDeadError

    if isinstance(error, EngineDeadError):
        return BackendUnavailable(ENGINE_DIED)
    if isinstance(error, GracefulHTTPError):
        return CapacityExceeded(f"vLLM does not admit the request now: {error}")
    if isinstance(error, (VLLMClientError, ValueError)):
        return InvalidRequest(f"vLLM refuses the request: {error}", param=getattr(error, "parameter", None))
    return BackendUnavailable(f"vLLM failed: {type(error).__name__}: {error}")


def let_go(error: BaseException | None) -> None:
    """Drop what the frames behind a failed start hold: vLLM's sockets, else open until the collector comes by."""
    seen: set[int] = set()  # an error may be its own cause
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def start_error(error: BaseException, cause: str | None) -> SageInferError:
    """Return the family's error for a failed start; ``cause`` is the first error an engine process logged."""
    if isinstance(error, SageInferError):
        return error
    text = cause or f"{type(error).__name__}: {error}"
    kind = text.partition(":")[0]
    lowered = text.lower()
    if kind in _MEMORY_KINDS or any(phrase in lowered for phrase in _MEMORY_PHRASES):
        return CapacityExceeded(
            f"vLLM ran out of memory while it started: {text}. Lower kv_cache_memory_bytes, max_sequence_length or "
            f"max_batch_size, or take a smaller model"
        )
    if "kv cache" in lowered and ("larger than" in lowered or "no available memory" in lowered):
        return CapacityExceeded(
            f"the KV cache does not fit: {text}. Raise kv_cache_memory_bytes or lower max_sequence_length"
        )
    if kind == "NotImplementedError":
        return Unsupported(f"vLLM cannot do this here: {text}")
    if kind in _BAD_INPUT_KINDS:
        return InvalidRequest(
            f"vLLM refuses to start with this model and configuration: {text}", param="model"
        )
    return BackendUnavailable(f"vLLM could not start: {text}")
