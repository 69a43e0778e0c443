"""The reference as a subject."""

from __future__ import annotations

from sage_infer_contracts.testing import Subject

from .backend import ReferenceBackend

LEASE_OPTION = "lease_s"
subject = Subject("backend", ReferenceBackend, facts={"lease_option": LEASE_OPTION})
