"""Outputs alone and among others: IB-01, IB-02, IB-05, IB-06, IB-08, IB-11, IB-12, IB-14."""

from __future__ import annotations

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.sampling import SamplingParams

from ...suite import Play
from ..asks import Call, Cancel, Prompt, Settings
from .talk import CHATS, FREE_TOKENS, TEXTS, Talk, drawn_with, greedy


def _learn(talk: Talk, prompts: list[Prompt]) -> list[SamplingParams]:
    """Do everything alone and fresh first; return the parameters that draw."""
    for prompt in prompts:
        talk.serve(talk.call(prompt, greedy()))
    seeds = [talk.choices.integer(1, 10**6) + number for number in range(3)]
    drawing = [drawn_with(seed) for seed in seeds]
    for prompt in prompts[:2]:
        for params in drawing:
            talk.serve(talk.call(prompt, params))
    return drawing


def _crowd(talk: Talk, prompts: list[Prompt], drawing: list[SamplingParams], size: int) -> list[Call]:
    """Draw calls of every sort, to be done side by side; one of them is cancelled."""
    choices, calls = talk.choices, []
    sorts = {"greedy": 5, "seeded": 4, "split": 3, "several": 2, "cut": 2, "eos": 1}
    for _ in range(size):
        sort = choices.weighted(sorts)
        prompt, after = choices.one_of(prompts), choices.one_of([0, 0, 1, 5])
        if sort == "seeded":
            calls.append(talk.call(choices.one_of(prompts[:2]), choices.one_of(drawing), after=after))
        elif sort == "several":
            calls.append(
                talk.call(
                    prompts[: choices.integer(2, 3)], greedy(choices.integer(1, FREE_TOKENS)), after=after
                )
            )
        elif sort == "cut":
            params = _stopping(talk, prompt)
            calls.append(talk.call(prompt, params, after=after))
        elif sort == "eos":
            calls.append(talk.call(prompt, greedy(ignore_eos=False), after=after))
        else:
            split = sort == "split" and Capability.BACKEND_SPLIT_PREFILL in talk.model.capabilities
            calls.append(talk.call(prompt, greedy(choices.integer(2, FREE_TOKENS)), split=split, after=after))
    doomed = Cancel(after_tokens=choices.integer(0, 6))
    calls.insert(
        choices.integer(0, len(calls)), talk.call(choices.one_of(prompts), greedy(FREE_TOKENS), cancel=doomed)
    )
    return calls


def _stopping(talk: Talk, prompt: Prompt) -> SamplingParams:
    """Draw an end inside the output that is known: a stop string across tokens, a stop token, or a length."""
    choices, model = talk.choices, talk.model
    free = model.free.get(model.greedy_key(prompt, greedy()))
    if free is None or len(free.tokens) < 4:
        return greedy(4)
    sort = choices.weighted({"string": 5, "token": 3, "length": 1})
    if sort == "token":
        return _stop_token(talk, prompt, choices.integer(0, len(free.tokens) - 2))
    ends = [0]
    for delta in free.deltas[:-1]:
        ends.append(ends[-1] + len(delta.text))
    begin = max(0, choices.one_of(ends) - choices.integer(0, 2))
    stop = free.text[begin : begin + choices.integer(1, 5)]
    if sort == "length" or not stop or "\ufffd" in stop:
        return greedy(choices.integer(1, FREE_TOKENS - 1))
    stops = (stop, "no such text") if choices.chance(50) else ("no such text", "nor this", stop)
    return greedy(stop=stops, ignore_eos=choices.chance(70))


def _stop_token(talk: Talk, prompt: Prompt, at: int) -> SamplingParams:
    """Return parameters that stop at the ``at``-th token of the output that is known, or where it came before."""
    free = talk.model.free.get(talk.model.greedy_key(prompt, greedy()))
    if free is None or at >= len(free.tokens):
        return greedy(2)
    return greedy(stop_token_ids=(free.tokens[at],), ignore_eos=talk.choices.chance(70))


def requests(play: Play) -> None:
    """Learn what some prompts give alone; ask again in every way, ended in every way, and among others."""
    talk = Talk(play)
    if not talk.open(Settings(max_sequence_length=256)):
        return
    prompts = talk.prompts(4)
    drawing = _learn(talk, prompts)
    chats = [Prompt(text=text, chat=True) for text in CHATS]
    for prompt in chats:
        talk.serve(talk.call(prompt, greedy()))
    talk.serve(*(talk.call(prompt, greedy(ignore_eos=False)) for prompt in (*prompts, *chats)))
    talk.serve(*(talk.call(prompt, _stop_token(talk, prompt, at)) for prompt in prompts for at in (0, 1)))
    for prompt in prompts:
        talk.serve(talk.call(prompt, _stopping(talk, prompt)))
        talk.serve(*(talk.call(prompt, _stopping(talk, prompt)) for _ in range(3)))
    talk.serve(talk.call(prompts[0], greedy(1)))
    for _ in range(4):
        talk.serve(*_crowd(talk, [*prompts, chats[0]], drawing, talk.choices.integer(5, 8)))
    _seeds(talk, prompts, drawing)
    _parameters(talk, prompts[0])
    talk.close()


def _seeds(talk: Talk, prompts: list[Prompt], drawing: list[SamplingParams]) -> None:
    """The same seeds again, alone and together; seeds and filters with a temperature of 0."""
    for params in drawing:
        talk.serve(talk.call(prompts[0], params))
    for prompt in prompts[:2]:
        talk.serve(
            *(talk.call(prompt, params) for params in (*drawing, drawn_with(talk.choices.integer(0, 9))))
        )
    talk.serve(
        talk.call(prompts[0], greedy(8, seed=talk.choices.integer(0, 99))),
        talk.call(prompts[1], greedy(8, seed=talk.choices.integer(0, 99), top_p=0.5)),
        talk.call(prompts[2], greedy(8, top_k=3)),
        talk.call(prompts[0], greedy(8, seed=5, top_k=40, top_p=0.9)),
    )


def _parameters(talk: Talk, prompt: Prompt) -> None:
    """Every parameter that needs a capability: done, or refused."""
    token = talk.model.free[talk.model.greedy_key(prompt, greedy())].tokens[-1]
    loose = SamplingParams(max_tokens=6, temperature=1.0, seed=3, ignore_eos=True)
    for params in (
        loose.model_copy(update={"min_p": 1.0}),
        greedy(12, ignore_eos=False, min_tokens=9, stop_token_ids=(token,)),
        greedy(6, repetition_penalty=1.3),
        greedy(6, presence_penalty=0.5, frequency_penalty=0.5),
        greedy(6, logit_bias={token: 100.0}),
        loose.model_copy(update={"n": 3}),
        greedy(8, logprobs=3),
        loose.model_copy(update={"logprobs": 2, "max_tokens": 12}),
        greedy(6, logprobs=0),
    ):
        talk.serve(talk.call(prompt, params))
    if Capability.BACKEND_LOGPROBS in talk.model.capabilities:
        mixed = [
            greedy(10, logprobs=2),
            loose.model_copy(update={"logprobs": 4, "seed": 8}),
            greedy(7),
            greedy(9, logprobs=1),
        ]
        talk.serve(*(talk.call(prompt, params) for params in mixed))
    if Capability.BACKEND_STRUCTURED_OUTPUT not in talk.model.capabilities:
        talk.serve(talk.call(prompt, greedy(6, json_schema='{"type": "object"}')))


def shapes(play: Play) -> None:
    """The same prompts whole, in chunks, and with so few blocks that sequences must give way to each other."""
    talk = Talk(play)
    length = 192
    if not talk.open(Settings(max_sequence_length=length, max_batch_size=6)):
        return
    about = talk.model.about
    schema = about.schema_ if about is not None else None
    prompts = [*talk.prompts(2), Prompt(text=TEXTS[0], tokens=talk.choices.integer(100, 140))]
    prompts += _other_heads(talk, schema.page_size if schema is not None else 16)
    drawing = _learn(talk, prompts)
    talk.close()
    prompts.reverse()
    tokens = talk.choices.integer(8, 24)
    chunked = Settings(max_sequence_length=length, max_batch_size=4, max_batched_tokens=tokens)
    if talk.open(chunked, firmly=True):
        for prompt in prompts:
            talk.serve(talk.call(prompt, greedy(), cancel=Cancel(after_tokens=0)))
        talk.serve(*(talk.call(prompt, greedy()) for prompt in prompts))
        talk.serve(*_crowd(talk, prompts, drawing, 5))
        talk.close()
    if schema is None:
        return
    pages = -(-length // schema.page_size)
    blocks = pages + talk.choices.integer(0, max(1, pages // 4))
    tight = Settings(
        max_sequence_length=length, max_batch_size=6, kv_cache_memory_bytes=blocks * schema.block_bytes
    )
    if talk.open(tight.model_copy(update={"page_size": schema.page_size}), firmly=True):
        talk.serve(*(talk.call(prompt, greedy()) for prompt in (*prompts, *prompts[:2])))
        talk.serve(*(talk.call(prompt, greedy()) for prompt in (*prompts[2:], prompts[2], prompts[2])))
        talk.close()


def _other_heads(talk: Talk, page_size: int) -> list[Prompt]:
    """Return two prompts that are equal but for their first block."""
    text, tokens = talk.choices.one_of(TEXTS), 3 * page_size + 5
    if tokens > 140:
        page_size, tokens = 16, 53
    return [
        Prompt(text=text, tokens=tokens, head=head, head_tokens=page_size) for head in (TEXTS[9], TEXTS[11])
    ]
