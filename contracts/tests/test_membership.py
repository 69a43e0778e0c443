"""Membership by an explicit table: says what is missing, runs nothing of the subject."""

from sage_infer_contracts.eviction import EvictionPolicy
from sage_infer_contracts.membership import PROTOCOL_OF_KIND, members, missing_members
from sage_infer_contracts.plugins import RESERVED_KINDS, PluginKind
from sage_infer_contracts.runtime import DeviceRuntime


class WholePolicy:
    def admit(self) -> None: ...
    def touch(self) -> None: ...
    def pin(self) -> None: ...
    def unpin(self) -> None: ...
    def discard(self) -> None: ...
    @staticmethod
    def victims() -> None: ...

    def __len__(self) -> int:
        return 0


class Explosive:
    @property
    def name(self) -> str:
        raise AssertionError("membership must not run the subject's properties")


def test_a_falsy_object_with_all_methods_is_a_member() -> None:
    assert not WholePolicy()
    assert missing_members(WholePolicy(), EvictionPolicy) == []
    assert missing_members(WholePolicy, EvictionPolicy) == []


def test_missing_members_are_named_in_the_order_of_the_protocol() -> None:
    assert missing_members(object(), EvictionPolicy) == list(members(EvictionPolicy))


def test_an_attribute_that_cannot_be_called_is_missing() -> None:
    policy = WholePolicy()
    policy.touch = None  # type: ignore[method-assign, assignment]
    assert missing_members(policy, EvictionPolicy) == ["touch"]


def test_properties_of_the_subject_are_not_executed() -> None:
    assert "name" not in missing_members(Explosive(), DeviceRuntime)


def test_every_loadable_driver_kind_has_a_protocol() -> None:
    not_drivers = RESERVED_KINDS | {PluginKind.HOOKS, PluginKind.CONFORMANCE}
    assert set(PROTOCOL_OF_KIND) == set(PluginKind) - not_drivers
