"""A short proof, on the started engine itself, that decode goes on where prefill stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.sampling import SamplingParams

if TYPE_CHECKING:
    from .backend import VLLMBackendAdapter

PROOF_PROMPT = (1, 2, 3, 5)
_GREEDY = SamplingParams(max_tokens=3, temperature=0.0, ignore_eos=True)


async def split_prefill_flaw(backend: VLLMBackendAdapter) -> str | None:
    """Return what is wrong with prefill and decode as separate calls; None when they hold.

    The engine's own counters must show that decode computed no token of the prompt (IB-08), and the tokens must
    be those of an undivided request (IB-02).
    """
    (stream,) = await backend.generate([PROOF_PROMPT], _GREEDY, request_id="proof-whole")
    whole = (await stream.collect()).token_ids
    try:
        prefilled = await backend.prefill([PROOF_PROMPT], request_id="proof-split", params=_GREEDY)
        computed = (await backend.stats()).computed_tokens
        rest = await (await backend.decode(prefilled.states[0], request_id="proof-split")).stream.collect()
    except SageInferError as error:
        return f"it fails: {error}"
    again = (await backend.stats()).computed_tokens - computed
    if again:
        return f"decode computed {again} tokens of the prompt again"
    tokens = (*prefilled.sequences[0].first.token_ids, *rest.token_ids)
    return None if tokens == whole else f"the tokens are {tokens}, undivided {whole}"
