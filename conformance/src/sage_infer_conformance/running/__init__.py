"""Runs subjects in processes of their own, and survives whatever they do there."""
