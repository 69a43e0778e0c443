"""Building an EngineCore: device, model, KV schema, limits, pool, in this order. Runs on the engine thread."""

from __future__ import annotations

import logging

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.engines.leases import LeaseTable
from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest, Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.names import DType
from sage_infer_contracts.runtime import DeviceRuntime

from .attention import KERNELS
from .core import EngineCore
from .graphs.decode import DecodeGraphs
from .graphs.store import cache_root
from .kv_pool import KVPool
from .limits import resolve_limits
from .model import LoadedModel, load_model
from .options import EngineOptions
from .sequence import Sequence
from .versions import untested

logger = logging.getLogger(__name__)


def build_core(
    config: BackendConfig, options: EngineOptions, runtime: DeviceRuntime, leases: LeaseTable[Sequence]
) -> EngineCore:
    """Load what ``config`` names. ``runtime`` is prepared.

    Raises ``InvalidRequest``, ``Unsupported``, ``DeviceUnavailable`` or ``CapacityExceeded``.
    """
    for text in untested():
        logger.warning("%s", text)
    index = config.device_ids[0]
    if index >= runtime.device_count():
        raise DeviceUnavailable(
            f"{runtime.name} has {runtime.device_count()} devices; {index} was asked for",
            reason="no_such_index",
        )
    if runtime.attention() not in KERNELS:
        raise Unsupported(
            f"device {runtime.name} asks for attention {runtime.attention()!r}; there is {', '.join(KERNELS)}"
        )
    kernel = KERNELS[runtime.attention()]
    threads = runtime.set_threads(config.threads)
    dtype = _dtype(config, runtime)
    model = load_model(
        config.model.path,
        runtime=runtime,
        device=runtime.device(index),
        dtype_name=dtype,
        kernel=kernel,
    )
    schema = _schema(config, options, model)
    limits = resolve_limits(config, options, model, schema, runtime.memory_info(index).free_bytes)
    pool = KVPool(schema, limits.num_blocks, dtype=model.dtype, device=model.device)
    return EngineCore(
        model,
        pool,
        limits,
        leases,
        kernel,
        namespace=options.namespace,
        share=options.prefix_cache,
        graphs=_graphs(config, options, model, threads),
    )


def _graphs(
    config: BackendConfig, options: EngineOptions, model: LoadedModel, threads: int
) -> DecodeGraphs | None:
    """Graphs are compiled for host processors only: on other devices nobody has run them yet."""
    if not options.graphs or model.device.type != "cpu":
        return None
    return DecodeGraphs(model, config.model.path, threads, cache_root(), patience=options.graph_after_steps)


def _dtype(config: BackendConfig, runtime: DeviceRuntime) -> DType:
    """``auto`` is what the device prefers."""
    known = runtime.dtypes()
    if config.dtype == "auto":
        return known[0]
    if config.dtype not in known:
        raise InvalidRequest(
            f"dtype {config.dtype} is not one that {runtime.name} computes in: {', '.join(known)}",
            param="dtype",
        )
    return config.dtype


def _schema(config: BackendConfig, options: EngineOptions, model: LoadedModel) -> KVCacheSchema:
    """Return the schema of the pool, which honours the requested one in full or is refused."""
    request = config.kv_schema
    page_size = options.block_size
    if request is not None and request.page_size is not None:
        if "block_size" in config.options and request.page_size != options.block_size:
            raise InvalidRequest(
                f"kv_schema asks for pages of {request.page_size} tokens and option block_size for "
                f"{options.block_size}",
                param="kv_schema",
            )
        page_size = request.page_size
    schema = model.schema(page_size)
    mismatches = request.mismatches(schema) if request is not None else []
    if mismatches:
        raise Unsupported(
            f"the torch engine keeps KV in the model's dtype, without scales: {'; '.join(mismatches)}",
            param="kv_schema",
        )
    return schema
