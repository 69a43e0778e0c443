"""Broken recipes. Each stands in a package that is correct but for them, beside a policy, by which it is judged."""

from __future__ import annotations

from .installed import POLICY, Package
from .package import PackageMutant

_ENTRIES = """\
[sage_infer.eviction.v1]
sample = sage_sample.plugin:SamplePolicy
[sage_infer.backend.v1]
chip = sage_sample.recipe:RECIPE
[sage_infer.device.v1]
sample = sage_sample.plugin:SamplePolicy
"""
CHIPS = """\
{"chips": [{"name": "X1", "matches": ["x1"]}, {"name": "X2", "matches": ["x2"]}]}
"""
_HEAD = """\
from sage_infer_contracts.constraints import KVConstraints
from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan, Refusal, VersionWindow, refusals_of
"""
CONSTRAINTS = "KV = (KVConstraints(block_sizes=(128,), engine='vllm', source='page 7'),)\n"
REFUSALS = """\
REFUSALS = (
    Refusal(setting='dtype', value='bf16', chips=('X1',), reason='no units', alternative='dtype=fp16', source='page 3'),
    Refusal(setting='engine', value='vllm', chips=('X1',), reason='no build', alternative='engine torch', source='p4'),
    Refusal(setting='enable_x', reason='it is not there', alternative='nothing', source='page 5'),
    *refusals_of(KV[0]),
)
"""
PLAN = """\
PLAN = EngineLaunchPlan(
    hardware='sample', engine='vllm', arguments={'block_size': 128}, required_modules=('acme_sdk',),
    versions=(VersionWindow(distribution='acme-sdk', minimum='1.0', below='2.0'),), refusals=REFUSALS,
    install_hint='pip install acme-sdk',
)
"""
RECIPE = """\
RECIPE = BackendRecipe(
    name='chip', hardware='sample', engines=('vllm', 'torch'), device_runtime='sample', launch_plan=PLAN,
    kv_constraints=KV,
)
"""
TEXT = f"{_HEAD}{CONSTRAINTS}{REFUSALS}{PLAN}{RECIPE}"


def package(text: str = TEXT, chips: str = CHIPS) -> Package:
    """Return a package with this module of its recipe."""
    modules = {
        "sage_sample/plugin.py": POLICY,
        "sage_sample/recipe.py": text,
        "sage_sample/chips.json": chips,
    }
    return Package(entries=_ENTRIES, modules=modules)


def _with(old: str, new: str, *, text: str = TEXT) -> tuple[Package, ...]:
    assert old in text
    return (package(text.replace(old, new)),)


def _and(line: str) -> tuple[Package, ...]:
    """Return the package with one refusal more."""
    return _with(
        "REFUSALS = (\n", f"REFUSALS = (\n    Refusal({line}, reason='so it is', source='page 9'),\n"
    )


MUTANTS: tuple[PackageMutant, ...] = (
    PackageMutant(
        "NotValidated", "BR-01", "a plan that was copied with a list where a tuple belongs is another after JSON",
        _with("launch_plan=PLAN,", "launch_plan=PLAN.model_copy(update={'plugin_allowlist': ['acme']}),"),
    ),
    PackageMutant(
        "CallsItselfAnother", "BR-01", "reports itself under another name than it is found by",
        _with("name='chip'", "name='chip-vllm'"),
    ),
    PackageMutant(
        "AnothersRuntime", "BR-01", "needs a device runtime that nothing it requires publishes",
        _with("device_runtime='sample'", "device_runtime='cuda'"),
    ),
    PackageMutant(
        "PlanOfAnother", "BR-01", "took over another vendor's launch plan with its hardware",
        _with("hardware='sample', engine='vllm'", "hardware='other', engine='vllm'"),
    ),
    PackageMutant(
        "PlansForNoEngine", "BR-01", "plans for an engine that it never runs",
        _with("engine='vllm', arguments", "engine='sglang', arguments"),
    ),
    PackageMutant(
        "DemandsInSilence", "BR-01", "demands a module and does not say how to get it",
        _with("install_hint='pip install acme-sdk'", "install_hint=''"),
    ),
    PackageMutant(
        "EmptyWindow", "BR-01", "runs with versions of which there are none",
        _with("minimum='1.0', below='2.0'", "minimum='2.0', below='1.0'"),
    ),
    PackageMutant(
        "NoReason", "BR-02", "refuses and does not say why", _with("reason='no units'", "reason=' '"),
    ),
    PackageMutant(
        "NoSource", "BR-02", "refuses on hearsay", _with("source='page 3'", "source=''"),
    ),
    PackageMutant(
        "NoAlternative", "BR-02", "refuses and leaves the user alone",
        _with("alternative='nothing'", "alternative=''"),
    ),
    PackageMutant(
        "ShortName", "BR-02", "names a field of the KV schema without its path, which nobody ever gives",
        _and("setting='page_size', value='16', alternative='page_size=128'"),
    ),
    PackageMutant(
        "FrameworksWord", "BR-02", "names a dtype as its framework does, and so refuses nothing",
        _and("setting='dtype', value='float8_e4m3fn', alternative='dtype=fp16'"),
    ),
    PackageMutant(
        "PythonsTrue", "BR-02", "writes a flag as Python does, and so refuses nothing",
        _and("setting='enforce_eager', value='True', alternative='enforce_eager=false'"),
    ),
    PackageMutant(
        "UnknownChip", "BR-02", "holds for a chip that its own list spells otherwise",
        _with("value='bf16', chips=('X1',)", "value='bf16', chips=('X-1',)"),
    ),
    PackageMutant(
        "ImpossibleCondition", "BR-02", "holds only together with another value of the same setting",
        _and("setting='dtype', value='int8', when={'dtype': 'fp16'}, alternative='none'"),
    ),
    PackageMutant(
        "ProposesWhatItRefuses", "BR-03", "sends the user from one refusal to the next",
        _and("setting='dtype', value='fp32', chips=('X1', 'X2'), alternative='dtype=bf16'"),
    ),
    PackageMutant(
        "ProposesItsOwnRefusal", "BR-03", "proposes the same again under the engine's name",
        _and("setting='kv_schema.page_size', value='128', alternative='block_size=128'"),
    ),
    PackageMutant(
        "RefusesItself", "BR-03", "plans a block size that it refuses",
        _with("'block_size': 128}", "'block_size': 16}"),
    ),
    PackageMutant(
        "NoEngineIsLeft", "BR-03", "proposes an engine that it refuses, too",
        _and("setting='engine', value='torch', chips=('X1',), alternative='a chip of the next generation'"),
    ),
    PackageMutant(
        "LetsConstraintsBe", "BR-03", "knows which block sizes there are and lets any pass",
        _with("    *refusals_of(KV[0]),\n", ""),
    ),
)  # fmt: skip
