"""Inference backends: IB-01 to IB-14."""
