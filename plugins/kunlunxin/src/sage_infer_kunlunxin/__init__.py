"""Kunlunxin accelerators for sage-infer: detector, launch plan, device runtime and chip figures."""
