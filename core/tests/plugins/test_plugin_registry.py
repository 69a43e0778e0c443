"""The registry loads exactly the plugin that was named, or says what is wrong with it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from sage_infer.plugins import drivers
from sage_infer.plugins.loading import check_driver
from sage_infer.plugins.registry import Registry, default_registry, ref_of
from sage_infer_contracts.errors import (
    DeviceUnavailable,
    PluginConflict,
    PluginError,
    PluginIncompatible,
    PluginLoadError,
    PluginNotFound,
    error_from_wire,
    error_to_wire,
)
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.launch import BackendRecipe
from sage_infer_contracts.plugins import PluginRef

EVICTION = "sage_infer.eviction.v1"
POLICY = """
class Policy:
    def __init__(self, capacity_blocks): self.capacity = capacity_blocks
    def __len__(self): return 0
    def admit(self, block): ...
    def touch(self, key): ...
    def pin(self, key): ...
    def unpin(self, key): ...
    def discard(self, key): ...
    def victims(self, count): return None
"""


def marker(site: Any, module: str) -> bool:
    return bool((site.path / f"{module}.imported").exists())


def marked(source: str = "") -> str:
    return f"from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\n{source}"


def test_a_named_plugin_loads_and_its_driver_is_checked(site: Any) -> None:
    site.add("good-policy", {EVICTION: {"good": "good_policy:Policy"}}, {"good_policy": POLICY})
    registry = site.registry()
    plugin = registry.load("eviction", "good")
    assert plugin.ref == PluginRef(
        kind=PluginKind.EVICTION, name="good", distribution="good-policy", version="1.0"
    )
    assert registry.load("eviction", "good-policy:good") is plugin
    assert registry.names("eviction") == ["good"]
    driver = registry.create("eviction", "good", capacity_blocks=3)
    assert driver.capacity == 3
    assert not driver, "an empty driver is a driver"


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("raise RuntimeError('no such chip')", RuntimeError),
        ("import a_module_that_is_not_there", ModuleNotFoundError),
        ("import sys; sys.exit(3)", SystemExit),
        ("x = (", SyntaxError),
        ("pass", AttributeError),
        ("assert False, 'asserted'", AssertionError),
    ],
)
def test_a_plugin_that_fails_to_import_raises_with_all_facts(
    site: Any, source: str, cause: type[BaseException]
) -> None:
    site.add("broken-one", {EVICTION: {"broken": "broken_one:make"}}, {"broken_one": source})
    with pytest.raises(PluginLoadError) as caught:
        site.registry().load("eviction", "broken")
    error = caught.value
    assert isinstance(error.__cause__, cause)
    facts = ("eviction", "broken", "broken-one", "1.0", "broken_one:make")
    assert (error.kind, error.name, error.distribution, error.version, error.target) == facts
    assert all(fact in str(error) for fact in (*facts, cause.__name__))
    assert error_from_wire(error_to_wire(error)).wire_fields() == error.wire_fields()


def test_an_interrupt_while_loading_is_not_swallowed(site: Any) -> None:
    site.add(
        "interrupted",
        {EVICTION: {"ctrlc": "interrupted_one:make"}},
        {"interrupted_one": "raise KeyboardInterrupt"},
    )
    with pytest.raises(KeyboardInterrupt):
        site.registry().load("eviction", "ctrlc")


def test_a_plugin_that_needs_newer_contracts_is_refused_before_it_is_imported(site: Any) -> None:
    requires = "sage-infer-contracts>=99.5"
    site.add("too-new", {EVICTION: {"new": "too_new:make"}}, {"too_new": marked()}, requires=requires)
    with pytest.raises(PluginIncompatible, match=r"needs sage-infer-contracts >=99\.5, installed is \d"):
        site.registry().load("eviction", "new")
    assert not marker(site, "too_new")
    site.add(
        "unreadable-floor", {EVICTION: {"odd": "too_new:make"}}, {}, requires="sage-infer-contracts>=banana"
    )
    with pytest.raises(PluginLoadError, match="unreadable requirement"):
        site.registry().load("eviction", "odd")


def test_a_name_that_two_distributions_claim_needs_the_full_name_and_imports_only_one(site: Any) -> None:
    for letter in "ab":
        module = f"claim_{letter}"
        site.add(f"claim-{letter}", {EVICTION: {"shared": f"{module}:Policy"}}, {module: marked(POLICY)})
    registry = site.registry()
    with pytest.raises(PluginConflict, match=r"claim-a:shared .* claim-b:shared"):
        registry.load("eviction", "shared")
    assert not marker(site, "claim_a")
    assert registry.load("eviction", "Claim_B:shared").ref.distribution == "claim-b"
    assert marker(site, "claim_b")
    assert not marker(site, "claim_a")


def test_a_falsy_factory_is_returned_and_not_replaced(site: Any) -> None:
    source = (
        "class Empty:\n    def __len__(self): return 0\n    def __call__(self): return None\n"
        "make = Empty()\nempty = {}\n"
    )
    site.add("falsy", {EVICTION: {"falsy": "falsy_one:make"}}, {"falsy_one": source})
    target = site.registry().load("eviction", "falsy").target
    assert not target
    assert type(target).__name__ == "Empty"


@pytest.mark.parametrize(
    ("kind", "target", "complaint"),
    [
        ("eviction", "policy_instance", "must name a factory of EvictionPolicy, found"),
        ("eviction", "NUMBER", "must name a factory of EvictionPolicy, found int"),
        ("backend", "NUMBER", "must name a factory of InferenceBackend or a BackendRecipe"),
        ("kv_tier", "Policy", "is no KVStoreTier: it lacks"),
        ("eviction", "RECIPE", "must name a factory"),
    ],
)
def test_an_object_of_the_wrong_kind_is_refused(site: Any, kind: str, target: str, complaint: str) -> None:
    recipe = (
        "from sage_infer_contracts.launch import BackendRecipe\n"
        "RECIPE = BackendRecipe(name='r', hardware='acme', engines=('torch',), device_runtime='acme')\n"
    )
    source = f"{recipe}{POLICY}\npolicy_instance = Policy(1)\nNUMBER = 7\n"
    site.add(
        "wrong-kind", {PluginKind(kind).group: {"wrong": f"wrong_kind:{target}"}}, {"wrong_kind": source}
    )
    with pytest.raises(PluginLoadError, match=complaint):
        site.registry().load(kind, "wrong")


def test_a_backend_may_be_a_recipe(site: Any) -> None:
    source = (
        "from sage_infer_contracts.launch import BackendRecipe\n"
        "RECIPE = BackendRecipe(name='r', hardware='acme', engines=('torch',), device_runtime='acme')\n"
    )
    site.add("recipe-one", {"sage_infer.backend.v1": {"acme": "recipe_one:RECIPE"}}, {"recipe_one": source})
    assert isinstance(site.registry().load("backend", "acme").target, BackendRecipe)


def test_what_a_factory_makes_is_checked_and_its_own_errors_pass(site: Any) -> None:
    source = (
        "from sage_infer_contracts.errors import DeviceUnavailable\n"
        "def wrong(): return object()\n"
        "def fails(): raise OSError('disk')\n"
        "def exits(): raise SystemExit(1)\n"
        "def absent(): raise DeviceUnavailable('install the driver')\n"
    )
    names = {name: f"factories_one:{name}" for name in ("wrong", "fails", "exits", "absent")}
    site.add("factories", {EVICTION: names}, {"factories_one": source})
    registry = site.registry()
    with pytest.raises(PluginLoadError, match="which is no EvictionPolicy: it lacks admit"):
        registry.create("eviction", "wrong")
    for name, cause in (("fails", OSError), ("exits", SystemExit)):
        with pytest.raises(PluginLoadError) as caught:
            registry.create("eviction", name)
        assert isinstance(caught.value.__cause__, cause)
        assert caught.value.target == f"factories_one:{name}"
    with pytest.raises(DeviceUnavailable, match="install the driver"):
        registry.create("eviction", "absent")
    with pytest.raises(PluginLoadError, match="no KVStoreTier"):
        check_driver(PluginKind.KV_TIER, object(), registry.load("eviction", "wrong").ref)


def test_an_unknown_name_lists_what_there_is_and_why_a_listed_one_cannot_be_had(site: Any) -> None:
    site.add("known", {EVICTION: {"lru": "known_one:make", "cpu": "known_one:make"}}, {"known_one": marked()})
    registry = site.registry()
    with pytest.raises(PluginNotFound, match=r"no eviction plugin 'lfu'.*Available: lru"):
        registry.load("eviction", "lfu")
    with pytest.raises(PluginNotFound, match="reserved for the project's own plugins"):
        registry.load("eviction", "cpu")
    with pytest.raises(PluginNotFound, match="is not a kind of plugin"):
        registry.load("teapot", "lru")
    assert not marker(site, "known_one")


def test_the_allowlist_keeps_others_out_and_must_name_what_is_there(site: Any) -> None:
    modules = {"allow_one": marked(POLICY)}
    site.add("allowing", {EVICTION: {"lru": "allow_one:Policy", "lfu": "allow_one:Policy"}}, modules)
    with pytest.raises(
        PluginNotFound, match=r"names 'typo', which is not installed; installed plugins: lfu, lru"
    ):
        site.registry(allowlist=frozenset({"typo"}))
    registry = site.registry(allowlist=frozenset({"allowing:lru"}))
    assert registry.names("eviction") == ["lru"]
    with pytest.raises(PluginNotFound, match="not on the allowlist"):
        registry.load("eviction", "lfu")
    assert not marker(site, "allow_one")
    assert registry.load("eviction", "lru").ref.name == "lru"


def test_a_reference_resolves_to_the_same_version_only(site: Any) -> None:
    site.add("referred", {EVICTION: {"lru": "referred_one:Policy"}}, {"referred_one": POLICY})
    registry = site.registry()
    ref = registry.load("eviction", "lru").ref.model_copy(update={"config": {"capacity": 3}})
    assert registry.resolve(ref).ref.config == {"capacity": 3}
    with pytest.raises(PluginIncompatible, match=r"version 1\.0 here and 2\.0"):
        registry.resolve(ref.model_copy(update={"version": "2.0"}))
    with pytest.raises(PluginNotFound):
        registry.resolve(ref.model_copy(update={"distribution": "another"}))
    assert ref_of(registry.find("eviction", "lru")).config == {}


def test_stevedore_neither_scans_nor_touches_its_caches(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("cached", {EVICTION: {"lru": "cached_one:Policy"}}, {"cached_one": POLICY})
    registry = site.registry()

    def scan(*_: object, **__: object) -> list[object]:
        raise AssertionError("stevedore scanned by itself")

    from stevedore import _cache
    from stevedore.extension import ExtensionManager

    monkeypatch.setattr(_cache, "get_group_all", scan)
    before = dict(ExtensionManager.ENTRY_POINT_CACHE)
    assert registry.load("eviction", "lru").target.__name__ == "Policy"
    assert before == ExtensionManager.ENTRY_POINT_CACHE
    assert drivers.load_target(registry.find("eviction", "lru")) is sys.modules["cached_one"].Policy


def test_the_environment_decides_what_the_default_registry_allows(site: Any) -> None:
    site.add("envy", {EVICTION: {"lru": "envy_one:Policy", "lfu": "envy_one:Policy"}}, {"envy_one": POLICY})
    code = (
        "import json, os\n"
        "os.environ['SAGE_INFER_PLUGIN_ALLOWLIST'] = 'envy:lru'\n"
        "os.environ['SAGE_INFER_PLUGIN_AUTOLOAD'] = 'off'\n"
        "from sage_infer.plugins import default_registry\n"
        "r = default_registry()\n"
        "print(json.dumps([r.names('eviction'), r.autoload, r is default_registry()]))\n"
    )
    assert site.run(code) == [["lru"], False, True]


def test_listing_and_help_import_nothing_heavy(site: Any) -> None:
    code = (
        "import json, sys\n"
        "import sage_infer.plugins, sage_infer.plugins.catalog, sage_infer.cli.plugin\n"
        "print(json.dumps([m for m in ('pydantic', 'pluggy', 'stevedore', 'rich', 'torch') if m in sys.modules]))\n"
    )
    assert site.run(code) == []


def test_every_plugin_error_is_one_of_the_family() -> None:
    assert issubclass(PluginError, Exception)
    assert isinstance(default_registry(), Registry)
