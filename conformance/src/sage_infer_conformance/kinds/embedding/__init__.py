"""Embedding backends: EB-01 to EB-04."""
