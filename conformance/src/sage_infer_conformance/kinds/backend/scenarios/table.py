"""All scenarios of a backend."""

from __future__ import annotations

from ...suite import Scenario
from .bounds import cancels, crowds, limits
from .keeping import leases, reuse, states
from .lives import endings, idle, weights
from .serving import requests, shapes

SCENARIOS = (
    Scenario("idle", idle, certify=8, develop=3),
    Scenario("requests", requests, certify=2, develop=6),
    Scenario("shapes", shapes, certify=2, develop=3),
    Scenario("limits", limits, certify=2, develop=3),
    Scenario("cancels", cancels, certify=2, develop=4),
    Scenario("crowds", crowds, certify=1, develop=2),
    Scenario("states", states, certify=2, develop=4),
    Scenario("leases", leases, certify=1, develop=1),
    Scenario("reuse", reuse, certify=1, develop=1),
    Scenario("endings", endings, certify=2, develop=3),
    Scenario("weights", weights, certify=1, develop=1),
)
