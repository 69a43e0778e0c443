"""What a worker is told when it starts: the plan, and which plugins it may load."""

from __future__ import annotations

from pydantic import Field

from sage_infer.backends.plan import BackendPlan
from sage_infer_contracts.wire import WireModel


class WorkerSpec(WireModel):
    """First message to a worker. The worker resolves the plan under the host's own allowlist."""

    plan: BackendPlan
    allowlist: tuple[str, ...] | None = Field(default=None, description="null: no restriction")
    autoload: bool = True
