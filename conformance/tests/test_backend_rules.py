"""The rules of a backend are pure functions; here they judge steps made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sage_infer_conformance.history.steps import Raised
from sage_infer_conformance.judging.rules import REFUSED, Check
from sage_infer_conformance.kinds.backend.asks import Call, Cancel, Prompt
from sage_infer_conformance.kinds.backend.findings import (
    About,
    Cancelled,
    Closing,
    Delta,
    Logprob,
    Outcome,
    TieFound,
    Timing,
    Usage,
)
from sage_infer_conformance.kinds.backend.model import BackendModel
from sage_infer_conformance.kinds.backend.rules import instances, kv, outputs, requests
from sage_infer_conformance.kinds.backend.steps import (
    BackendStep,
    Close,
    Decode,
    HandOver,
    Open,
    Prefill,
    Release,
    Serve,
    ShowTie,
    TimeReuse,
)
from sage_infer_contracts.backend import BackendStats
from sage_infer_contracts.sampling import SamplingParams

PROMPT = Prompt(text="one two")
GREEDY = SamplingParams(max_tokens=4, temperature=0.0, ignore_eos=True)
ALL = ("backend.generate", "backend.split_prefill", "backend.logprobs", "backend.kv_export")


def outcome(tokens: tuple[int, ...] = (5, 6, 7, 8), call: str = "r", **facts: Any) -> Outcome:
    deltas = [Delta(tokens=(token,), text=chr(90 + token)) for token in tokens]
    if deltas:
        deltas[-1] = deltas[-1].model_copy(update={"last": True})
    known: dict[str, Any] = {
        "call": call,
        "stream": call,
        "prompt_ids": (1, 2, 3),
        "deltas": tuple(deltas),
        "finish": "length",
        "usage": Usage(prompt=3, completion=len(tokens), computed=3, reused=0),
        "decoded": ("".join(chr(90 + token) for token in tokens),),
        "began": True,
    }
    return Outcome(**{**known, **facts})


def served(
    *outcomes: Outcome, params: SamplingParams = GREEDY, prompt: Prompt = PROMPT, **facts: Any
) -> BackendStep:
    calls = tuple(Call(name=one.call, prompts=(prompt,), params=params) for one in outcomes)
    return BackendStep(command=Serve(calls=calls), outcomes=outcomes, **facts)


def opened(*capabilities: str, dtype: str = "fp32") -> BackendModel:
    model = BackendModel()
    about = About(
        max_batch_size=2,
        max_sequence_length=16,
        max_waiting_requests=1,
        capacity_bytes=0,
        dtype=dtype,
        stats=BackendStats(),
        health="ready",
    )
    model.apply(BackendStep(command=Open(), about=about, capabilities=capabilities or ALL))
    return model


def wrong(found: Any) -> list[str]:
    checks: list[Check] = list(found)
    assert checks, "nothing was evaluated"
    return [check.says for check in checks if check.says is not None]


def test_a_greedy_output_that_parts_is_excused_by_a_near_tie_and_by_nothing_else() -> None:
    model = opened()
    model.apply(served(outcome()))
    model.apply(served(outcome((5, 6, 9, 8))))
    (suspect,) = model.suspects
    assert suspect.prompt_ids == (1, 2, 3, 5, 6)
    assert suspect.tokens == (7, 9)
    asked = ShowTie(prompt_ids=suspect.prompt_ids, tokens=suspect.tokens, epsilon=1e-3)

    def judged(found: TieFound | None) -> list[str]:
        return wrong(outputs.greedy_is_a_function(model, BackendStep(command=asked, tie=found)))

    assert judged(TieFound(gap=9e-4)) == []
    assert judged(TieFound(drawn=(30, 10))) == []
    assert judged(TieFound(gap=2e-3))
    assert judged(TieFound(drawn=(40, 0)))
    assert judged(TieFound())
    assert judged(None)
    assert wrong(outputs.greedy_is_a_function(model, served(outcome())))  # nobody asked


@pytest.mark.parametrize(
    ("dtype", "allowed"), [("fp32", 1e-3), ("fp16", 0.03125), ("bf16", 0.25), ("int8", 0.25)]
)
def test_the_tolerance_is_that_of_the_dtype(dtype: str, allowed: float) -> None:
    assert opened(dtype=dtype).epsilon == allowed


def test_one_draw_in_a_history_may_fall_on_the_other_side_in_fp32_and_not_two() -> None:
    params = SamplingParams(max_tokens=4, temperature=1.5, seed=3)
    model = opened()
    model.apply(served(outcome(), params=params))
    other = served(outcome((5, 6, 9, 8)), params=params)
    assert wrong(outputs.seeds_and_logprobs(model, other)) == []
    model.apply(other)
    assert wrong(outputs.seeds_and_logprobs(model, other))


def test_an_end_is_told_from_the_longer_output() -> None:
    model = opened()
    model.apply(served(outcome((5, 6, 7, 8))))
    token = GREEDY.model_copy(update={"stop_token_ids": (6,)})
    right = outcome((5, 6), finish="stop_token", stop=6)
    assert wrong(outputs.ends_as_told(model, served(right, params=token))) == []
    assert wrong(outputs.ends_as_told(model, served(outcome(), params=token)))
    text = GREEDY.model_copy(update={"stop": (chr(96) + chr(97),)})
    cut = outcome((5, 6, 7), finish="stop_string", stop=chr(96) + chr(97))
    assert wrong(outputs.ends_as_told(model, served(cut, params=text)))  # the stop string is in the text
    deltas = (
        Delta(tokens=(5,), text="_"),
        Delta(tokens=(6,), text=""),
        Delta(tokens=(7,), text="", last=True),
    )
    assert (
        wrong(outputs.ends_as_told(model, served(cut.model_copy(update={"deltas": deltas}), params=text)))
        == []
    )


def test_ignore_eos_may_forbid_the_token() -> None:
    model = opened()
    model.apply(served(outcome((5, 6, 7, 8))))
    ended = outcome((5, 6, 2), finish="eos")
    plain = GREEDY.model_copy(update={"ignore_eos": False})
    assert wrong(outputs.ends_as_told(model, served(ended, params=plain))) == []
    assert wrong(outputs.ends_as_told(model, served(ended)))


def test_streams_give_each_token_once_and_text_that_reads_as_the_tokens() -> None:
    model = opened()
    assert wrong(outputs.streams_are_whole(model, served(outcome()))) == []
    for broken in (
        outcome(usage=Usage(prompt=3, completion=5, computed=3, reused=0)),
        outcome(decoded=("something else",)),
        outcome(usage=None),
        outcome(hung=True, finish=None),
        outcome(stream="r/7"),
        outcome((), finish=None, usage=None),
    ):
        assert wrong(outputs.streams_are_whole(model, served(broken)))


def test_log_probabilities_are_those_of_the_emitted_tokens() -> None:
    params = GREEDY.model_copy(update={"logprobs": 2})

    def judged(*told: Logprob) -> list[str]:
        return wrong(
            outputs.seeds_and_logprobs(opened(), served(outcome((5,), logprobs=told), params=params))
        )

    assert judged(Logprob(token=5, logprob=-0.2, top=((5, -0.2), (9, -2.0)))) == []
    assert judged()
    assert judged(Logprob(token=9, logprob=-0.2, top=((9, -0.2), (5, -2.0))))
    assert judged(Logprob(token=5, logprob=0.2, top=((5, 0.2), (9, -2.0))))
    assert judged(Logprob(token=5, logprob=-2.0, top=((9, -0.2), (5, -2.0))))
    assert judged(Logprob(token=5, logprob=-0.3, top=((5, -0.2), (9, -2.0))))
    assert judged(Logprob(token=5, logprob=-0.2, top=((5, -0.2),)))


def test_a_limit_is_named_when_it_is_broken_and_everything_within_is_served() -> None:
    model = opened()
    long = SamplingParams(max_tokens=14, temperature=0.0)

    def judged(one: Outcome, params: SamplingParams = long) -> list[str]:
        return wrong(requests.instance_limits(model, served(one, params=params)))

    refused = outcome((), began=False, finish=None, usage=None)
    good = Raised(type="InvalidRequest", code="invalid_request", message="more than max_sequence_length 16")
    assert judged(refused.model_copy(update={"error": good})) == []
    assert judged(refused.model_copy(update={"error": good.model_copy(update={"message": "too long"})}))
    assert judged(outcome())
    assert judged(refused.model_copy(update={"error": good}), GREEDY)
    cut = outcome(usage=Usage(prompt=2, completion=4, computed=2, reused=0))
    assert judged(cut, GREEDY)


def test_a_cancel_is_bounded_and_says_what_it_did() -> None:
    model = opened()
    call = Call(name="r", prompts=(PROMPT,), params=GREEDY, cancel=Cancel(after_tokens=1))
    fine = Cancelled(said=True, said_again=False, tokens_after=2, steps_until_free=3)

    def judged(cancelled: Cancelled, held: int = 0, **facts: Any) -> list[str]:
        step = BackendStep(
            command=Serve(calls=(call,)),
            outcomes=(outcome(**{"finish": "cancelled", **facts}, cancelled=cancelled),),
            before=BackendStats(),
            after=BackendStats(blocks_held=held),
        )
        return wrong(requests.cancelled_and_freed(model, step))

    assert judged(fine) == []
    assert judged(fine, held=1)
    assert judged(fine, finish="length")
    assert judged(fine.model_copy(update={"said": False}))
    assert judged(fine.model_copy(update={"said_again": True}))
    assert judged(fine.model_copy(update={"tokens_after": 60}))
    assert judged(fine.model_copy(update={"steps_until_free": 200}))


def test_reuse_is_no_more_than_was_computed_and_saves_time() -> None:
    model = opened()
    much = outcome(usage=Usage(prompt=3, completion=4, computed=1, reused=2))
    assert wrong(kv.reuse_is_real(model, served(much)))
    model.apply(served(outcome()))
    assert wrong(kv.reuse_is_real(model, served(much))) == []

    def timed(warm_s: float) -> list[str | None]:
        found = Timing(cold_s=0.1, warm_s=warm_s, short_s=0.002, prompt_tokens=600, reused_tokens=592)
        step = BackendStep(command=TimeReuse(text="x", tokens=600, rounds=1), timing=found)
        return [found.says for found in kv.reuse_is_real(model, step)]

    assert timed(0.004) == [], "a clock is a witness and no evaluation"
    assert timed(0.09)


def test_a_state_is_good_once() -> None:
    model = opened()
    prefill = Prefill(name="p", prompts=(PROMPT, PROMPT), params=GREEDY)
    model.apply(BackendStep(command=prefill, states=("p/0", "p/1")))
    refused = Raised(type="InvalidRequest", code="invalid_request", message="its lease is over")
    forged = Decode(state="p/0", forged="generation")
    assert wrong(kv.states_are_used_once(model, BackendStep(command=forged, error=refused))) == []
    assert wrong(kv.states_are_used_once(model, BackendStep(command=forged)))
    decode = BackendStep(command=Decode(state="p/0"))
    assert wrong(kv.states_are_used_once(model, decode)) == []
    model.apply(decode)
    assert wrong(kv.states_are_used_once(model, decode))
    model.apply(BackendStep(command=Close()))
    assert wrong(kv.states_are_used_once(model, BackendStep(command=Decode(state="p/1"))))


def test_a_state_whose_export_is_refused_is_still_good() -> None:
    model = opened("backend.generate", "backend.split_prefill")
    model.apply(BackendStep(command=Prefill(name="p", prompts=(PROMPT,), params=GREEDY), states=("p/0",)))
    unsupported = Raised(type="Unsupported", code="unsupported", message="no")
    refused = BackendStep(command=HandOver(state="p/0"), error=unsupported)
    assert list(kv.schema_is_true(model, refused)) == [REFUSED]
    model.apply(refused)
    assert wrong(kv.states_are_used_once(model, BackendStep(command=Release(state="p/0")))) == []


def test_what_is_not_declared_is_refused() -> None:
    model = opened("backend.generate")
    params = GREEDY.model_copy(update={"logprobs": 1})
    unsupported = Raised(type="Unsupported", code="unsupported", message="no")
    refused = outcome((), began=False, finish=None, usage=None, error=unsupported)
    assert list(requests.capabilities(model, served(refused, params=params))) == [REFUSED]
    assert wrong(requests.capabilities(model, served(outcome(), params=params)))
    prefill = Prefill(name="p", prompts=(PROMPT,), params=GREEDY)
    assert list(requests.capabilities(model, BackendStep(command=prefill, error=unsupported))) == [REFUSED]
    assert wrong(requests.capabilities(opened(), BackendStep(command=prefill, error=unsupported)))


def test_a_close_fails_what_is_pending_and_leaves_nothing() -> None:
    unavailable = Raised(type="BackendUnavailable", code="backend_unavailable", message="closed")
    fine = Closing(health="closed", refused=unavailable, pending=(outcome(finish=None, error=unavailable),))

    def judged(**facts: Any) -> list[str]:
        step = BackendStep(command=Close(), closing=fine.model_copy(update=facts))
        return wrong(instances.closes_for_good(opened(), step))

    assert judged() == []
    for facts in (
        {"hung": True},
        {"second": unavailable},
        {"health": "ready"},
        {"refused": None},
        {"threads": ("engine",)},
        {"open_files": 1},
        {"child_processes": 1},
        {"pending": (outcome(hung=True, finish=None),)},
        {"pending": (outcome(),)},
    ):
        assert judged(**facts), facts


def test_a_history_keeps_a_null_that_is_not_the_default() -> None:
    endless = GREEDY.model_copy(update={"max_tokens": None})
    line = served(outcome(), params=endless).model_dump_json(exclude_none=True)
    command = BackendStep.model_validate_json(line).command
    assert isinstance(command, Serve)
    assert command.calls[0].params == endless
