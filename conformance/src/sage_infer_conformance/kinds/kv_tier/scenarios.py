"""The ways in which histories of a tier are drawn, and how many of each."""

from __future__ import annotations

from ..suite import Scenario
from . import calm, harm

SCENARIOS = (
    Scenario("wander", calm.wander, certify=120, develop=120),
    Scenario("full", calm.full, certify=30, develop=30),
    Scenario("namespaces", calm.namespaces, certify=40, develop=40),
    Scenario("closing", calm.closing, certify=16, develop=8),
    Scenario("together", calm.together, certify=40, develop=20),
    Scenario("extent", calm.extent, certify=1, develop=1),
    Scenario("faults", harm.faults, certify=40, develop=40),
    Scenario("stall", harm.stall, certify=10, develop=5),
    Scenario("damage while open", harm.damage_open, certify=40, develop=40),
    Scenario("damage while closed", harm.damage_closed, certify=30, develop=30),
    Scenario("crash", harm.crash, certify=10, develop=5),
)
