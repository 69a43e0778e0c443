"""All rules of a backend."""

from __future__ import annotations

from sage_infer_contracts.certification import Proof

from ....judging.rules import Judge, Rule, Stated
from ..model import BackendModel
from ..steps import BackendStep
from .instances import closes_for_good, quantisation_is_real
from .kv import reuse_is_real, schema_is_true, split_gives_the_same, states_are_used_once
from .outputs import ends_as_told, greedy_is_a_function, seeds_and_logprobs, streams_are_whole
from .requests import cancelled_and_freed, capabilities, instance_limits, side_by_side


def _rule(clause: str, proof: Proof, floor: int, judge: Judge[BackendModel, BackendStep]) -> Rule:
    """Return a rule that counts the steps it judged: requests meet in another order each time."""
    return Rule(clause, proof, floor, judge, counts="steps")


RULES = (
    _rule("IB-01", "sampled", 30, greedy_is_a_function),
    _rule("IB-02", "sampled", 8, split_gives_the_same),
    _rule("IB-03", "sampled", 100, instance_limits),
    _rule("IB-04", "sampled", 100, cancelled_and_freed),
    _rule("IB-05", "sampled", 80, ends_as_told),
    _rule("IB-06", "sampled", 90, streams_are_whole),
    _rule("IB-07", "sampled", 8, schema_is_true),
    _rule("IB-08", "timed", 120, reuse_is_real),
    _rule("IB-09", "sampled", 1, quantisation_is_real),
    _rule("IB-10", "sampled", 18, closes_for_good),
    _rule("IB-11", "sampled", 10, seeds_and_logprobs),
    _rule("IB-12", "sampled", 15, side_by_side),
    _rule("IB-13", "sampled", 20, states_are_used_once),
    _rule("IB-14", "sampled", 1, capabilities),
)
STATED: tuple[Stated, ...] = ()
