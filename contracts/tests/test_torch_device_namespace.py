"""A runtime over a torch namespace, against stub packages in child processes: this process imports no framework."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from sage_infer_contracts.engines.torch_device import NamespaceRuntime
from sage_infer_contracts.errors import DeviceUnavailable, Unsupported
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.runtime import DeviceRuntime

TORCH = """
import os
float32, float16, bfloat16 = "float32", "float16", "bfloat16"
threads = 4
def set_num_threads(n):
    global threads
    threads = n
def get_num_threads(): return threads
def device(kind, index): return f"{kind}:{index}"
class Tensor:
    def __init__(self, value, **made): self.value, self.made = value, made
    def copy_(self, source, non_blocking=False): self.value, self.late = source.value, non_blocking
def empty(shape, dtype, pin_memory): return Tensor(shape, dtype=dtype, pinned=pin_memory)
"""
NAMESPACE = """
import os, contextlib
log = []
class Stream:
    def __init__(self, device): self.device = device
    def wait_event(self, event): log.append(f"wait {self.device} for {event.stream.device}")
class Event:
    def record(self, stream): self.stream = stream
def current_stream(): return Stream("current")
@contextlib.contextmanager
def stream(wanted):
    log.append(f"enter {wanted.device}")
    yield
def is_available(): return device_count() > 0
def device_count():
    if os.environ.get("FAKE_ERROR"): raise RuntimeError(os.environ["FAKE_ERROR"])
    return int(os.environ.get("FAKE_COUNT", "2"))
def mem_get_info(index): return (10 + index, 100)
def synchronize(index): log.append(f"synchronize {index}")
def empty_cache(): log.append("empty")
"""
EXTENSION = """
import torch, torch_acme.namespace
torch.acme = torch_acme.namespace
"""
USE = """
import json, sys
from sage_infer_contracts.engines.device_errors import ErrorTable, KnownError
from sage_infer_contracts.engines.torch_device import NamespaceRuntime
from sage_infer_contracts.errors import error_to_wire, SageInferError
before = sorted(sys.modules)
class Acme(NamespaceRuntime):
    def __init__(self):
        super().__init__(name="acme", namespace="acme", extension="torch_acme", supported_dtypes=("bf16", "fp8_e4m3"),
            install_hint="pip install acme", errors=ErrorTable(errors=(
                KnownError(pattern="ret is 42", kind="permission", advice="join the group acme", source="manual"),)))
runtime = Acme()
assert sorted(sys.modules) == before, "constructing imported something"
try:
    runtime.prepare()
    answer = eval(sys.argv[1])
except SageInferError as error:
    answer = error_to_wire(error)
print(json.dumps(answer))
"""


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    for name, text in {
        "torch/__init__.py": TORCH,
        "torch_acme/__init__.py": EXTENSION,
        "torch_acme/namespace.py": NAMESPACE,
    }.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return tmp_path


def ask(stubs: Path, expression: str, **environment: str) -> Any:
    """Evaluate ``expression`` with a prepared ``runtime``; an error of the family comes back as its wire form."""
    path = os.pathsep.join([str(stubs), *sys.path])
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(USE), expression],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


def test_the_runtime_is_a_member_and_says_so_without_a_framework() -> None:
    runtime = NamespaceRuntime(
        name="acme", namespace="acme", supported_dtypes=("fp16",), install_hint="install it"
    )
    assert missing_members(runtime, DeviceRuntime) == []
    assert runtime.dtypes() == ("fp16",)
    assert runtime.attention() == "gather_sdpa"
    with pytest.raises(DeviceUnavailable, match="before prepare") as caught:
        runtime.device_count()
    assert caught.value.reason == "not_prepared"
    with pytest.raises(Unsupported, match="it does in fp16"):
        runtime.framework_dtype("fp32")


def test_a_missing_framework_is_named_with_what_to_install() -> None:
    runtime = NamespaceRuntime(
        name="acme",
        namespace="acme",
        framework="no_such_framework",
        supported_dtypes=("fp16",),
        install_hint="pip install acme",
    )
    with pytest.raises(DeviceUnavailable, match=r"'no_such_framework'.*pip install acme") as caught:
        runtime.prepare()
    assert caught.value.reason == "no_no_such_framework"


def test_a_prepared_runtime_answers_through_the_namespace(stubs: Path) -> None:
    said = ask(
        stubs,
        "[runtime.device_count(), runtime.device(1),"
        " [runtime.memory_info(1).free_bytes, runtime.memory_info(1).total_bytes],"
        " runtime.framework_dtype('bf16'), runtime.set_threads(None), runtime.set_threads(2),"
        " runtime.pinned_empty((2, 3), 'int8').made, runtime.pack_linear('weight', None)]",
    )
    assert said == [2, "acme:1", [11, 100], "bfloat16", 4, 2, {"dtype": "int8", "pinned": True}, None]


def test_streams_and_events_order_work_and_none_is_the_current_stream(stubs: Path) -> None:
    said = ask(
        stubs,
        "(lambda one, two, log: ["
        "runtime.wait_event(runtime.record_event(one), two), runtime.wait_event(runtime.record_event(None), None),"
        "runtime.wait_event(None, one), runtime.stream(two).__enter__(), runtime.stream(None).__enter__(),"
        "runtime.synchronize(1), runtime.empty_cache(0), log][-1]"
        ")(runtime.new_stream(0), runtime.new_stream(1), runtime._devices.log)",
    )
    assert said == [
        "wait acme:1 for acme:0",
        "wait current for current",
        "enter acme:1",
        "synchronize 1",
        "empty",
    ]


def test_copies_keep_their_order(stubs: Path) -> None:
    said = ask(
        stubs,
        "(lambda a, b: [runtime.copy(a, b, non_blocking=True), a.value, a.late][1:])"
        "(runtime.pinned_empty((1,), 'x'), runtime.pinned_empty((2,), 'x'))",
    )
    assert said == [[2], True]


@pytest.mark.parametrize(
    ("environment", "removed", "reason", "said"),
    [
        ({"FAKE_COUNT": "0"}, None, "no_device", "shows no device; pip install acme"),
        ({}, "torch_acme", "no_torch_acme", "needs the module 'torch_acme', which is not installed"),
        (
            {"FAKE_ERROR": "dcx init: ret is 42"},
            None,
            "permission",
            "RuntimeError: dcx init: ret is 42; join the group acme",
        ),
        (
            {"FAKE_ERROR": "something new"},
            None,
            "unknown",
            "counting devices failed: RuntimeError: something new",
        ),
    ],
)
def test_what_is_missing_or_broken_is_said_once(
    stubs: Path, environment: dict[str, str], removed: str | None, reason: str, said: str
) -> None:
    if removed is not None:
        for file in (stubs / removed).iterdir():
            file.unlink()
        (stubs / removed).rmdir()
    answer = ask(stubs, "0", **environment)
    assert (answer["code"], answer["reason"]) == ("device_unavailable", reason)
    assert said in answer["message"]


@pytest.mark.parametrize(
    ("extension", "reason", "said"),
    [
        ("raise OSError('libacme.so: cannot open')", "broken_torch_acme", "libacme.so"),
        ("raise RuntimeError('ret is 42')", "permission", "join the group acme"),
        ("raise SystemExit(3)", "broken_torch_acme", "SystemExit"),
        ("", "no_namespace", "no devices of type 'acme'"),
    ],
)
def test_an_extension_that_does_not_load_is_explained(
    stubs: Path, extension: str, reason: str, said: str
) -> None:
    (stubs / "torch_acme" / "__init__.py").write_text(extension)
    answer = ask(stubs, "0")
    assert (answer["reason"], said in answer["message"]) == (reason, True), answer


def test_an_index_that_is_not_there_says_how_many_are(stubs: Path) -> None:
    answer = ask(stubs, "runtime.device(2)")
    assert answer["reason"] == "no_such_index"
    assert "2 devices here, 0 to 1; 2 was asked for" in answer["message"]


def test_lack_of_memory_is_capacity(stubs: Path) -> None:
    with (stubs / "torch" / "__init__.py").open("a") as torch:
        torch.write("\ndef empty(*args, **kwargs): raise RuntimeError('acme out of memory. Tried 2 GiB')\n")
    answer = ask(stubs, "runtime.pinned_empty((1,), 'x')")
    assert (answer["code"], "pinning host memory" in answer["message"]) == ("capacity_exceeded", True)


def test_a_release_without_a_function_is_no_attribute_error(stubs: Path) -> None:
    with (stubs / "torch_acme" / "namespace.py").open("a") as namespace:
        namespace.write("\ndel mem_get_info\n")
    answer = ask(stubs, "runtime.memory_info(0).free_bytes")
    assert (answer["code"], "mem_get_info" in answer["message"]) == ("device_unavailable", True)


def test_a_dtype_that_this_framework_lacks_is_unsupported(stubs: Path) -> None:
    answer = ask(stubs, "runtime.framework_dtype('fp8_e4m3')")
    assert (answer["code"], "no dtype for fp8_e4m3" in answer["message"]) == ("unsupported", True)


FOREIGN = """
class Acme(NamespaceRuntime):
    def check(self, framework, namespace):
        raise self.unavailable("the devices of this namespace are another vendor's", "foreign")
"""


def test_a_subclass_may_refuse_a_namespace_that_is_another_vendors(stubs: Path) -> None:
    (stubs / "torch_acme" / "__init__.py").write_text(EXTENSION)
    code = (
        "from sage_infer_contracts.engines.torch_device import NamespaceRuntime\n"
        "from sage_infer_contracts.errors import DeviceUnavailable\n" + FOREIGN + "\n"
        "runtime = Acme(name='acme', namespace='acme', extension='torch_acme', supported_dtypes=(), install_hint='x')\n"
        "for attempt in ('prepare', 'device_count'):\n"
        "    try: getattr(runtime, attempt)()\n"
        "    except DeviceUnavailable as error: print(error.reason)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(stubs), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert child.stdout.split() == ["foreign", "not_prepared"]
