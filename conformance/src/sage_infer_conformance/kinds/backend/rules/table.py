"""All rules of a backend."""

from __future__ import annotations

from ....judging.rules import Rule, Stated
from .instances import closes_for_good, quantisation_is_real
from .kv import reuse_is_real, schema_is_true, split_gives_the_same, states_are_used_once
from .outputs import ends_as_told, greedy_is_a_function, seeds_and_logprobs, streams_are_whole
from .requests import cancelled_and_freed, capabilities, instance_limits, side_by_side

RULES = (
    Rule("IB-01", "sampled", 70, greedy_is_a_function),
    Rule("IB-02", "sampled", 20, split_gives_the_same),
    Rule("IB-03", "sampled", 250, instance_limits),
    Rule("IB-04", "sampled", 220, cancelled_and_freed),
    Rule("IB-05", "sampled", 600, ends_as_told),
    Rule("IB-06", "sampled", 600, streams_are_whole),
    Rule("IB-07", "sampled", 10, schema_is_true),
    Rule("IB-08", "timed", 700, reuse_is_real),
    Rule("IB-09", "sampled", 1, quantisation_is_real),
    Rule("IB-10", "sampled", 120, closes_for_good),
    Rule("IB-11", "sampled", 15, seeds_and_logprobs),
    Rule("IB-12", "sampled", 90, side_by_side),
    Rule("IB-13", "sampled", 25, states_are_used_once),
    Rule("IB-14", "sampled", 1, capabilities),
)
STATED: tuple[Stated, ...] = ()
