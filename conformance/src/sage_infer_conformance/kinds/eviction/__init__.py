"""Eviction policies: EV-01 to EV-07."""
