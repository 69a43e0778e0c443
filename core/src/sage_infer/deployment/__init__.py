"""Models as configured, running and registered with the control plane."""

from .deployment import Deployment as Deployment
from .prepared import PreparedModel as PreparedModel, prepare_models as prepare_models
