"""What the conformance kit judges this distribution by, on the demo models unless ``--set model=`` names another.

The tier ``hbm`` is judged on the device ``cpu``, which stands in for an accelerator: what is shown is that blocks are
kept, bounded and reported as promised, and nothing of streams, pinned memory or a device that fails.
"""

from __future__ import annotations

from sage_infer_contracts.testing import Subject

from .embedding.plugin import create as create_embedding
from .hbm_tier import HbmTier
from .plugin import create

BACKEND = Subject("backend", create, options={"model": "demo"}, facts={"lease_option": "lease_s"})
EMBEDDING = Subject("embedding", create_embedding, options={"model": "demo-embed"})
HBM = Subject(
    "kv_tier", HbmTier, options={"device": "cpu"}, facts={"device": "cpu, standing in for an accelerator"}
)
