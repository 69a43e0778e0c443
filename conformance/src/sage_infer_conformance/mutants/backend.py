"""Broken inference backends."""

from __future__ import annotations

from . import backend_kept, backend_lives, backend_outputs, backend_requests
from .backend_ward import MUTANTS as MUTANTS

__all__ = ["MUTANTS", "backend_kept", "backend_lives", "backend_outputs", "backend_requests"]
