"""All scenarios of a backend."""

from __future__ import annotations

from ...suite import Scenario
from .bounds import cancels, crowds, limits
from .keeping import leases, reuse, states
from .lives import endings, idle
from .serving import requests, shapes

SCENARIOS = (
    Scenario("idle", idle, certify=4, develop=3),
    Scenario("requests", requests, certify=2, develop=6),
    Scenario("shapes", shapes, certify=1, develop=3),
    Scenario("limits", limits, certify=1, develop=3),
    Scenario("cancels", cancels, certify=1, develop=4),
    Scenario("crowds", crowds, certify=1, develop=2),
    Scenario("states", states, certify=1, develop=4),
    Scenario("leases", leases, certify=1, develop=1),
    Scenario("reuse", reuse, certify=1, develop=1),
    Scenario("endings", endings, certify=1, develop=3),
)
