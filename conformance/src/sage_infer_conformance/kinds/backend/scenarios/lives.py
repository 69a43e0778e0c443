"""Instances from birth to end: IB-09 and IB-10."""

from __future__ import annotations

from typing import Any

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.sampling import SamplingParams

from ...suite import Play
from ..asks import Call, Prompt, Settings
from ..steps import BackendStep, Close, Create, Open, Quantise
from .talk import TEXTS, Talk, close_busy, drawn_with, greedy


def idle(play: Play) -> None:
    """Instances that are never started, and starts that must fail."""
    for _ in range(play.choices.integer(1, 3)):
        play.do(Create())
        play.do(Close(at_once=play.choices.chance(50)))
    play.do(Open(settings=Settings(missing_model=True)))
    play.do(Close(at_once=play.choices.chance(50)))


def endings(play: Play) -> None:
    """Close with requests in every stage."""
    talk = Talk(play)
    if not talk.open(Settings(max_sequence_length=512, max_batch_size=3, max_batched_tokens=24)):
        return
    talk.serve(talk.call(Prompt(text=TEXTS[0], tokens=12), greedy(4)))
    close_busy(talk, 360)


def _profile(bits: int) -> QuantizationProfile:
    sizes = {"weight_bits": bits, "activation_bits": 16, "kv_bits_prefill": 16, "kv_bits_decode": 16}
    return QuantizationProfile.model_validate(sizes)


def quantise_and_close(talk: Talk, settings: Settings) -> None:
    """Quantise a model that has served, and see what becomes of its outputs; then once more, fresh."""
    if Capability.BACKEND_QUANTIZATION not in talk.model.capabilities:
        _quantise(talk)
        talk.close()
        return
    asked = _asked(talk)
    for prompt, params in asked:
        talk.serve(talk.call(prompt, params))
    bits = _quantise(talk)
    if bits is not None:
        talk.serve(*_calls(talk, asked))
        for prompt, params in asked[:4]:
            talk.serve(talk.call(prompt, params))
    talk.close()
    if bits is None or not talk.open(settings):
        return
    talk.play.do(Quantise(profile=_profile(bits)))
    for prompt, params in asked[:4]:
        talk.serve(talk.call(prompt, params))
    talk.close()


def _asked(talk: Talk) -> list[tuple[Prompt, SamplingParams]]:
    more: dict[str, Any] = {"logprobs": 2} if Capability.BACKEND_LOGPROBS in talk.model.capabilities else {}
    prompts = [Prompt(text=text, tokens=40) for text in TEXTS[:8]]
    plain = [(prompt, greedy(20, **more)) for prompt in prompts[:4]]
    return plain + [(prompt, drawn_with(number, 20, 1.0)) for number, prompt in enumerate(prompts)]


def _calls(talk: Talk, asked: list[tuple[Prompt, SamplingParams]]) -> list[Call]:
    return [talk.call(prompt, params) for prompt, params in asked]


def _quantise(talk: Talk) -> int | None:
    """Load a profile of 8 or, where that is refused, of 4 bits; None when both are."""
    for bits in (8, 4):
        step: BackendStep = talk.play.do(Quantise(profile=_profile(bits)))
        if step.error is None:
            return bits
    return None
