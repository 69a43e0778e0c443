"""Huawei Ascend NPUs: what is there, how an engine runs on it, and what it refuses."""
