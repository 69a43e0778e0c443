"""Broken packages. Each is a policy that is correct, installed in a way that breaks one clause.

They are written into a folder that has to stand on the import path of whoever judges them, children included.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from .installed import POLICY, Package, library

_FLOOR = "sage-infer-contracts>=0.1"
_RUNTIME = (_FLOOR, 'acme-sdk>=2; extra == "runtime"')
_ENGINE = (_FLOOR, 'vllm>=0.32; extra == "engine"')
_ENTRY = "[sage_infer.eviction.v1]\nsample = sage_sample.plugin:SamplePolicy\n"


@attrs.frozen(slots=True)
class PackageMutant:
    """A broken package and what else is installed; ``typed`` names its subject."""

    name: str
    clause: str
    fault: str
    packages: tuple[Package, ...]
    typed: str = "sample"

    def install(self, folder: Path) -> None:
        """Write all of it into ``folder``."""
        for package in self.packages:
            package.install(folder)


def _policy(*lines: str, before: str = "") -> dict[str, str]:
    """Return the sample's module: ``before`` the class, and lines of code in its ``__init__``."""
    body = "\n".join(f"        {line}" for line in lines)
    made = (
        f"\n    def __init__(self, capacity_blocks):\n{body}\n        super().__init__(capacity_blocks)\n"
        if lines
        else ""
    )
    return {"sage_sample/plugin.py": f"{before}\n{POLICY}{made}"}


def _window(arguments: str) -> dict[str, str]:
    imported = "from sage_infer_contracts.launch import VersionWindow"
    return {
        **_policy(),
        "sage_sample/versions.py": f"{imported}\nTESTED = VersionWindow(distribution='vllm', {arguments})\n",
    }


def _method(header: str, *lines: str, before: str = "") -> dict[str, str]:
    """Return the sample's module with a method that works as it did and does ``lines``, too."""
    name, _, arguments = header.partition("(self, ")
    body = "\n".join(f"        {line}" for line in lines)
    method = f"\n    def {header}:\n{body}\n        return super().{name}({arguments}\n"
    return {"sage_sample/plugin.py": f"{before}\n{POLICY}{method}"}


_TESTED = f"{_ENTRY}[sage_infer.tested.v1]\nvllm = sage_sample.versions:TESTED\n"
_WORKER = """\
import queue, threading
JOBS = queue.Queue()
def work():
    while True:
        JOBS.get().set()
threading.Thread(target=work, daemon=True).start()
def ask():
    done = threading.Event()
    JOBS.put(done)
    done.wait()
"""
_FORKS = "import multiprocessing\nmultiprocessing.set_start_method('fork', force=True)"
_STARTS_A_THREAD = "Thread(target=Event().wait, daemon=True).start()"
_BORROWED = """\
from importlib.metadata import entry_points
def make(capacity_blocks):
    (found,) = entry_points(group="sage_infer.eviction.v1", name="other")
    return found.load()(capacity_blocks)
"""
_OTHER = Package(
    name="sage-other",
    entries="[sage_infer.eviction.v1]\nother = sage_other.plugin:OtherPolicy\n",
    modules={"sage_other/plugin.py": POLICY.replace("SamplePolicy", "OtherPolicy")},
)
_SUBJECT = """
from sage_infer_contracts.testing import Subject
class Polished(ReferencePolicy):
    pass
subject = Subject("eviction", Polished)
"""

MUTANTS: tuple[PackageMutant, ...] = (
    PackageMutant(
        "CapsTheContracts", "PK-01", "refuses the next minor of the contract",
        (Package(requires=("sage-infer-contracts>=0.1,<0.2",)),),
    ),
    PackageMutant(
        "PinsTheContracts", "PK-01", "works with one version of the contracts only",
        (Package(requires=("sage-infer-contracts==0.1.0",)),),
    ),
    PackageMutant(
        "NoFloor", "PK-01", "takes contracts of any age",
        (Package(requires=("sage-infer-contracts",)),),
    ),
    PackageMutant(
        "NoLicense", "PK-01", "says under which licence it comes nowhere",
        (Package(headers={"License-Expression": None}),),
    ),
    PackageMutant(
        "DanglingEntry", "PK-01", "publishes a second name for something that was renamed",
        (Package(entries=f"{_ENTRY}old = sage_sample.plugin:OldPolicy\n"),),
    ),
    PackageMutant(
        "ImportsFramework", "PK-02", "imports a framework at the top of the entry module",
        (Package(modules=_policy(before="import torch")), library("torch", "2.13.0")),
    ),
    PackageMutant(
        "PackageImportsEngine", "PK-02", "its package's __init__ pulls the engine in",
        (
            Package(
                modules={
                    **_policy(),
                    "sage_sample/__init__.py": "from . import engine\n",
                    "sage_sample/engine.py": "import vllm\n",
                }
            ),
            library("vllm", "0.32.0"),
        ),
    ),
    PackageMutant(
        "RequiresSdk", "PK-03", "cannot be installed where the vendor's build is not to be had",
        (Package(requires=(_FLOOR, "torch-npu>=2.6")),),
    ),
    PackageMutant(
        "ImportErrorEscapes", "PK-03", "uses the SDK without a look whether it is there",
        (Package(requires=_RUNTIME, modules=_policy("import acme_sdk")), library("acme-sdk", "2.1")),
    ),
    PackageMutant(
        "SaysNothing", "PK-03", "says that something is unavailable, and not what would help",
        (
            Package(
                requires=_RUNTIME,
                modules=_policy(
                    "try:", "    import acme_sdk", "except ImportError as error:",
                    "    raise DeviceUnavailable('the device cannot be used') from error",
                    before="from sage_infer_contracts.errors import DeviceUnavailable",
                ),
            ),
            library("acme-sdk", "2.1"),
        ),
    ),
    PackageMutant(
        "SdkAtImport", "PK-03", "cannot even be listed with a check where the SDK is missing",
        (Package(requires=_RUNTIME, modules=_policy(before="import acme_sdk")), library("acme-sdk", "2.1")),
    ),
    PackageMutant(
        "StrangersAreKeyErrors", "PK-04", "a use of a block that it does not know escapes as a KeyError",
        (Package(modules=_method("touch(self, key)", "self.nodes[key]")),),
    ),
    PackageMutant(
        "EndsTheProcess", "PK-04", "gives up on the whole process when it cannot go on",
        (
            Package(
                modules=_method(
                    "unpin(self, key)",
                    "if self.nodes[key].pins > 1:", "    os._exit(1)",
                    before="import os",
                )
            ),
        ),
    ),
    PackageMutant(
        "LeavesThreads", "PK-05", "starts a thread for each policy and never ends it",
        (Package(modules=_policy(_STARTS_A_THREAD, before="from threading import Event, Thread")),),
    ),
    PackageMutant(
        "LeavesFiles", "PK-05", "opens a journal and does not close it",
        (Package(modules=_policy("JOURNALS.append(open('/dev/null', 'a'))", before="JOURNALS = []")),),
    ),
    PackageMutant(
        "ThreadAtImport", "PK-05", "starts a thread when imported, which a fork-server's children do not have",
        (Package(modules=_policy("ask()", before=_WORKER)),),
    ),
    PackageMutant(
        "MainProcessOnly", "PK-05", "refuses to work in a process that another one started",
        (
            Package(
                modules=_policy(
                    "if multiprocessing.parent_process() is not None:",
                    "    raise InvalidRequest('call this from the main process')",
                    before="import multiprocessing\nfrom sage_infer_contracts.errors import InvalidRequest",
                )
            ),
        ),
    ),
    PackageMutant(
        "SetsStartMethod", "PK-05", "makes fork the start method of the whole process",
        (Package(modules=_policy(before=_FORKS)),),
    ),
    PackageMutant(
        "NoWindow", "PK-06", "runs an engine and does not say which versions of it were tried",
        (Package(requires=_ENGINE),),
    ),
    PackageMutant(
        "OpenWindow", "PK-06", "claims to be tested with every version to come",
        (Package(requires=_ENGINE, entries=_TESTED, modules=_window("minimum='0.32'")),),
    ),
    PackageMutant(
        "StaleWindow", "PK-06", "runs a version that lies outside the window it declares",
        (
            Package(requires=_ENGINE, entries=_TESTED, modules=_window("minimum='0.32', below='0.33'")),
            library("vllm", "0.40.1"),
        ),
    ),
    PackageMutant(
        "RunsAnother", "PK-07", "hands out the policy of another package under its own name",
        (
            Package(entries=_ENTRY.replace("SamplePolicy", "make"), modules={"sage_sample/plugin.py": _BORROWED}),
            _OTHER,
        ),
    ),
    PackageMutant(
        "WrittenOver", "PK-07", "another package has written over its module",
        (Package(written_over={"sage_sample/plugin.py": f"{POLICY}\n    capacity_blocks = 7\n"}),),
    ),
    PackageMutant(
        "CertifiesAnother", "PK-07", "has something else certified than what it ships",
        (
            Package(
                entries=f"{_ENTRY}[sage_infer.conformance.v1]\nsample = sage_sample.plugin:subject\n",
                modules={"sage_sample/plugin.py": POLICY + _SUBJECT},
            ),
        ),
    ),
    PackageMutant(
        "TracesEveryBlock", "PK-08", "was shipped with a stack trace at every admission",
        (Package(modules=_method("admit(self, block)", "traceback.print_stack()", before="import traceback")),),
    ),
    PackageMutant(
        "LogsEveryQuestion", "PK-08", "writes a page to its log at every question",
        (
            Package(
                modules=_method(
                    "victims(self, count)",
                    "sys.stderr.write(f'{count} wanted: ' + 4000 * '.' + chr(10))",
                    before="import sys",
                )
            ),
        ),
    ),
)  # fmt: skip
