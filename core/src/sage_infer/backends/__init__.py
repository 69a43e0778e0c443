"""From a backend's name to a started backend, in this process or in a worker of its own."""

from .opening import Isolation as Isolation, open_backend as open_backend, open_embedding as open_embedding
from .plan import BackendPlan as BackendPlan, plan_backend as plan_backend
