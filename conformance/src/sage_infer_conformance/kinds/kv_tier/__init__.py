"""Tiers of the KV store: KV-01 to KV-10."""
