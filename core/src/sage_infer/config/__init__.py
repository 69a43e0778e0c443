"""The configuration: one file, one model of it, and where each value came from."""

from .loading import LoadedConfig as LoadedConfig, load_config as load_config
from .settings import Settings as Settings
