"""The limits of a running engine, enforced before work starts (IB-03)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..errors import InvalidRequest
from ..sampling import SamplingParams


@attrs.frozen(slots=True)
class RequestLimits:
    """What one request and all requests together may ask for. Lengths are tokens, prompt and output together."""

    max_sequence_length: int
    max_batch_size: int
    max_waiting_requests: int
    vocabulary: int

    @property
    def max_live(self) -> int:
        """Sequences that may be running or waiting at once."""
        return self.max_batch_size + self.max_waiting_requests

    def check(self, prompt: Sequence[int], params: SamplingParams) -> None:
        """Raise ``InvalidRequest`` naming the limit that ``prompt`` with ``params`` breaks."""
        longest, length = self.max_sequence_length, len(prompt)
        if length == 0:
            raise InvalidRequest("the prompt has no tokens", param="prompt")
        for token in prompt:
            if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < self.vocabulary:
                raise InvalidRequest(
                    f"{token!r} is no token id; they are 0 to {self.vocabulary - 1}", param="prompt"
                )
        if length + 1 > longest:
            raise InvalidRequest(
                f"the prompt has {length} tokens; max_sequence_length is {longest}, prompt and output together",
                param="prompt",
            )
        if params.max_tokens is not None and length + params.max_tokens > longest:
            raise InvalidRequest(
                f"the prompt has {length} tokens and max_tokens is {params.max_tokens}, together more than "
                f"max_sequence_length {longest}; at most {longest - length} fit",
                param="max_tokens",
            )
