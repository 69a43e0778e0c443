"""Versions, and the causes of failed starts, as documented errors. Needs no vLLM."""

from __future__ import annotations

import json
import logging.config
import os
import socket
from pathlib import Path

import pytest

from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeviceUnavailable,
    InvalidRequest,
    PluginIncompatible,
    SageInferError,
    Unsupported,
)
from sage_infer_vllm import versions
from sage_infer_vllm.errors import let_go, start_error
from sage_infer_vllm.startup_log import CONFIG_VARIABLE, StartupLog
from sage_infer_vllm.versions import installed_version, require_tested


@pytest.mark.parametrize("found", ["0.32.0", "0.32.0+cpu", "0.32.5", "0.32.1.post1"])
def test_the_tested_window_is_let_through(found: str) -> None:
    require_tested(found, override=False)


@pytest.mark.parametrize("found", ["0.31.9", "0.33.0", "1.0.0", "dev", "0.32.0rc1"])
def test_any_other_version_is_refused_and_can_be_forced(found: str) -> None:
    with pytest.raises(PluginIncompatible, match="allow_untested_version=true"):
        require_tested(found, override=False)
    require_tested(found, override=True)


def test_no_vllm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "DISTRIBUTIONS", ("no-such-distribution",))
    with pytest.raises(DeviceUnavailable, match=r"pip install 'sage-infer-vllm\[cuda\]'") as missing:
        installed_version()
    assert missing.value.reason == "missing_distribution"


@pytest.mark.parametrize(
    ("cause", "family", "says"),
    [
        (
            "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
            CapacityExceeded,
            "kv_cache_memory_bytes",
        ),
        (
            "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried",
            CapacityExceeded,
            "smaller model",
        ),
        ("MemoryError: ", CapacityExceeded, "memory"),
        (
            "ValueError: To serve at least one request, 0.35 GiB KV cache is needed, which is larger than the "
            "available KV cache memory (0.01 GiB)",
            CapacityExceeded,
            "does not fit",
        ),
        ("ValueError: unknown architecture", InvalidRequest, "unknown architecture"),
        ("OSError: no config.json", InvalidRequest, "config.json"),
        ("SafetensorError: Error while deserializing header", InvalidRequest, "deserializing header"),
        ("error: unpack requires a buffer of 8 bytes", InvalidRequest, "unpack requires"),
        ("NotImplementedError: FP8 KV cache on CPU", Unsupported, "FP8 KV cache"),
        ("RuntimeError: the driver is odd", BackendUnavailable, "driver is odd"),
    ],
)
def test_the_first_logged_cause_decides(cause: str, family: type[SageInferError], says: str) -> None:
    error = start_error(RuntimeError("Engine core initialization failed. See root cause above."), cause)
    assert type(error) is family
    assert says in str(error)
    assert "See root cause above" not in str(error)


def test_an_error_of_the_family_stays_itself() -> None:
    error = DeviceUnavailable("no device", reason="x")
    assert start_error(error, "ValueError: other") is error


def test_the_start_up_log_keeps_the_first_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    log = StartupLog()
    assert log.cause() is None
    with log.recording():
        config = json.loads(Path(os.environ[CONFIG_VARIABLE]).read_text())
    assert CONFIG_VARIABLE not in os.environ
    config["loggers"] = {"vllm-start-up-test": config["loggers"]["vllm"]}
    logging.config.dictConfig(config)
    logger = logging.getLogger("vllm-start-up-test")
    try:
        for error in (torch_like_error(), ValueError("a consequence")):
            try:
                raise error
            except Exception:
                logger.exception("failed to start")
        logger.warning("ValueError: only a warning")
        assert log.cause() == "OutOfMemoryError: the cause, in two parts"
    finally:
        for handler in list(logger.handlers):
            handler.close()
            logger.removeHandler(handler)
        log.close()
    assert not Path(config["handlers"]["errors"]["filename"]).parent.exists()


def test_a_logging_configuration_of_the_users_own_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, "/mine.json")
    log = StartupLog()
    with log.recording():
        assert os.environ[CONFIG_VARIABLE] == "/mine.json"
    assert os.environ[CONFIG_VARIABLE] == "/mine.json"
    assert log.cause() is None
    log.close()


def torch_like_error() -> Exception:
    return type("OutOfMemoryError", (RuntimeError,), {"__module__": "torch"})("the cause, in two parts")


def test_a_failed_start_keeps_no_socket_open_while_its_error_is_looked_at() -> None:
    def opens_and_fails() -> None:
        pair = socket.socketpair()
        opened.extend(one.fileno() for one in pair)
        raise ValueError("no such model")

    def fails_while_cleaning_up() -> None:
        try:
            opens_and_fails()
        finally:
            raise RuntimeError("engine core initialization failed")

    opened: list[int] = []
    try:
        fails_while_cleaning_up()
    except RuntimeError as error:
        kept = error
    assert all(os.path.exists(f"/proc/self/fd/{one}") for one in opened)
    let_go(kept)
    assert not any(os.path.exists(f"/proc/self/fd/{one}") for one in opened)


def test_an_error_that_is_its_own_cause_is_let_go_too() -> None:
    error = ValueError("again")
    error.__cause__ = error
    let_go(error)
