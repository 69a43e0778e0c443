"""What the conformance kit judges this distribution by, on the demo models unless ``--set model=`` names another.

They compute in fp32 on every machine: where the processor has bf16, vLLM itself would take that, and then its tokens
depend on the batch. Engines run without compiled graphs here, for a run starts many of them;
``--set enforce_eager=false`` compiles.
"""

from __future__ import annotations

from sage_infer_contracts.testing import Subject

from .embedding.plugin import create as create_embedding
from .plugin import create

BACKEND = Subject(
    "backend",
    create,
    options={"model": "demo", "dtype": "fp32", "enforce_eager": True, "kv_cache_memory_bytes": 1 << 28},
    facts={"lease_option": "lease_s"},
)
EMBEDDING = Subject(
    "embedding", create_embedding, options={"model": "demo-embed", "dtype": "fp32", "enforce_eager": True}
)
