"""The engine offers itself for a CPU, below anything made for a chip."""

from sage_infer_contracts.devices import HardwareProfile, HostCpu
from sage_infer_torch.hooks import sage_infer_propose_backend


def test_a_host_cpu_is_enough_for_a_modest_proposal() -> None:
    profile = HardwareProfile(host=HostCpu(architecture="x86_64", logical_cpus=2, usable_cpus=1.5))
    (proposal,) = sage_infer_propose_backend(profile)
    assert (proposal.name, proposal.score) == ("torch", 0.2)
    assert "1.5 usable" in proposal.reason


def test_an_unknown_machine_gets_no_proposal() -> None:
    assert sage_infer_propose_backend(HardwareProfile()) == []
