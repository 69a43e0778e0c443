"""Hybrid backends: HB-01 to HB-04."""
