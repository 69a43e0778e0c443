"""Broken hardware detectors: what they report, in :mod:`.detector_reporting`, and how they read what tools print."""

from __future__ import annotations

from . import detector_parsing as detector_parsing  # registers its mutants there too
from .detector_reporting import MUTANTS as MUTANTS
