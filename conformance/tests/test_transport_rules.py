"""The rules of transports as pure functions, on steps made by hand."""

import pytest

from sage_infer_conformance.history.steps import Raised
from sage_infer_conformance.judging.rules import Check
from sage_infer_conformance.kinds.transport.contents import digest, pattern, sight_of
from sage_infer_conformance.kinds.transport.model import TransportModel
from sage_infer_conformance.kinds.transport.rules import RULES
from sage_infer_conformance.kinds.transport.steps import (
    Allocate,
    Await,
    Cancel,
    Close,
    Create,
    Deregister,
    Fault,
    Grant,
    Look,
    Order,
    Revoke,
    Rewrite,
    Slice,
    State,
    Submit,
    TransportCommand,
    TransportStep,
)

JUDGES = {rule.clause: rule.judge for rule in RULES}
NBYTES = 4096
TARGET = Slice(memory="theirs", offset=0, nbytes=1000)
SOURCE = Slice(memory="mine", offset=96, nbytes=1000)
REFUSED = State(transfer="t", state="refused", error=Raised(type="InvalidRequest", code="invalid_request"))


class History:
    """Steps so far, and what the rules find in the next one."""

    def __init__(self, *, credential: str = "secret", limit: int = 10_000, remote: bool = True) -> None:
        self.model = TransportModel()
        self.at_s = 0.0
        names = ("transport.remote",) if remote else ()
        self.add(Create(end="a", credential="secret", max_inflight_bytes=limit), capabilities=names)
        if remote:
            self.add(Create(end="b", credential=credential, place="process"), capabilities=names)
        self.add(Allocate(end="a", memory="mine", nbytes=NBYTES))
        self.add(Allocate(end="b" if remote else "a", memory="theirs", nbytes=NBYTES))

    def step(self, command: TransportCommand, **facts: object) -> TransportStep:
        return TransportStep.model_validate({"command": command, "at_s": self.at_s, **facts})

    def add(self, command: TransportCommand, **facts: object) -> None:
        self.model.apply(self.step(command, **facts))

    def judge(self, clause: str, command: TransportCommand, **facts: object) -> list[Check]:
        return list(JUDGES[clause](self.model, self.step(command, **facts)))

    def grant(self, generation: int = 1, duration_s: float = 60.0) -> None:
        self.add(Grant(end="b", lease="L", generation=generation, slices=(TARGET,), duration_s=duration_s))

    def send(self, state: str = "pending", **change: object) -> None:
        self.add(Submit(end="a", orders=(order(**change),)), states=(State(transfer="t", state=state),))


def order(**change: object) -> Order:
    facts = {
        "transfer": "t",
        "to": "b",
        "source": (SOURCE,),
        "target": (TARGET,),
        "lease": "L",
        "generation": 1,
    }
    return Order.model_validate({**facts, **change})


def says(checks: list[Check]) -> list[str]:
    return [one.says for one in checks if one.says is not None]


def look(*parts: Slice) -> Look:
    return Look(end="b", slices=parts)


def ended(state: str, **facts: object) -> dict[str, object]:
    return {"states": (State.model_validate({"transfer": "t", "state": state, **facts}),)}


AWAIT = Await(end="a", transfers=("t",), timeout_s=20)


def test_what_arrived_must_be_what_was_sent() -> None:
    history = History()
    history.grant()
    history.send()
    history.add(AWAIT, **ended("done", bytes_moved=1000))
    known = {"mine": NBYTES, "theirs": NBYTES}
    sent = pattern("mine", NBYTES)[96:1096]
    good, short = sight_of(sent, known), sight_of(sent[:-1] + b"?", known)
    assert says(history.judge("TE-01", look(TARGET), sights=(good,))) == []
    assert len(history.judge("TE-01", look(TARGET), sights=(good,))) == 1
    (found,) = says(history.judge("TE-01", look(TARGET), sights=(short,)))
    assert "999 of mine + 1 unknown" in found


def test_done_must_count_every_byte_and_stay_done() -> None:
    history = History()
    history.grant()
    history.send()
    assert "999 of 1000" in says(history.judge("TE-01", AWAIT, **ended("done", bytes_moved=999)))[0]
    history.add(AWAIT, **ended("done", bytes_moved=1000))
    assert "was done and is failed" in says(history.judge("TE-01", AWAIT, **ended("failed")))[0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"lease": "other"}, "no such lease"),
        ({"generation": 0}, "at generation 1"),
        ({"generation": 2}, "at generation 1"),
        ({"target": (Slice(memory="theirs", offset=1, nbytes=1000),)}, "other memory"),
    ],
)
def test_a_write_that_no_lease_allows_must_not_be_done(change: dict[str, object], why: str) -> None:
    history = History()
    history.grant()
    history.send(**change)
    assert why in says(history.judge("TE-02", AWAIT, **ended("done", bytes_moved=1000)))[0]
    assert says(history.judge("TE-02", AWAIT, **ended("failed"))) == []


def test_a_lease_ends_by_time_by_use_and_when_it_is_revoked() -> None:
    for end in ("time", "use", "revoke"):
        history = History()
        history.grant(duration_s=5.0)
        if end == "use":
            history.send(transfer="first")
            history.add(AWAIT, states=(State(transfer="first", state="done", bytes_moved=1000),))
        elif end == "revoke":
            history.add(Revoke(end="b", lease="L"))
        else:
            history.at_s = 6.0
        history.send()
        assert says(history.judge("TE-02", AWAIT, **ended("done", bytes_moved=1000))), end


def test_memory_must_stay_as_its_owner_wrote_it_once_the_lease_is_over() -> None:
    history = History()
    history.grant()
    history.send()
    history.add(Rewrite(end="b", memory="theirs", content="theirs#1"))
    whole = Slice(memory="theirs", offset=0, nbytes=NBYTES)
    known = {"mine": NBYTES, "theirs": NBYTES, "theirs#1": NBYTES}
    late = sight_of(pattern("mine", NBYTES)[96:1096] + pattern("theirs#1", NBYTES)[1000:], known)
    assert history.judge("TE-02", look(whole), sights=(late,)) == []  # the lease goes on: nobody knows
    history.add(Revoke(end="b", lease="L"))
    history.add(Rewrite(end="b", memory="theirs", content="theirs#1"))
    assert "no lease allows it" in says(history.judge("TE-02", look(whole), sights=(late,)))[0]


def test_a_transfer_that_was_done_before_the_owner_wrote_is_no_late_write() -> None:
    history = History()
    history.grant()
    history.send()
    history.add(Revoke(end="b", lease="L"))
    history.add(Rewrite(end="b", memory="theirs", content="theirs#1"))
    history.add(AWAIT, **ended("done", bytes_moved=1000))
    own = sight_of(pattern("theirs#1", NBYTES)[:1000], {"theirs#1": NBYTES})
    assert says(history.judge("TE-01", look(TARGET), sights=(own,))) == []
    assert len(history.judge("TE-02", look(TARGET), sights=(own,))) == 1


def test_a_handle_must_end_by_its_deadline() -> None:
    history = History()
    history.grant()
    history.send(deadline_s=1.0)
    history.add(Fault(end="b", what="stop"))
    history.at_s = 3.0
    assert says(history.judge("TE-03", AWAIT, **ended("pending"))) == []
    history.at_s = 7.0
    assert "after its deadline" in says(history.judge("TE-03", AWAIT, **ended("pending")))[0]


def test_memory_is_free_when_transfers_and_leases_have_ended() -> None:
    history = History()
    history.grant(duration_s=2.0)
    history.send()
    held = {"error": Raised(type="InvalidRequest", code="invalid_request")}
    mine, theirs = Deregister(end="a", memory="mine"), Deregister(end="b", memory="theirs")
    assert history.judge("TE-03", mine, **held) == []
    history.add(AWAIT, **ended("failed"))
    assert says(history.judge("TE-03", mine, **held))
    assert history.judge("TE-03", theirs, **held) == []
    history.at_s = 3.0
    assert says(history.judge("TE-03", theirs, **held))


def test_whoever_waits_is_told_of_the_end() -> None:
    history = History()
    assert says(history.judge("TE-03", Close(end="a", waiter="t"), waiter="still waits"))
    assert not says(history.judge("TE-03", Close(end="a", waiter="t"), waiter="was told failed"))
    assert says(history.judge("TE-03", Close(end="a"), left_files=("/dev/shm/left",)))


def test_more_than_the_limit_must_be_refused_as_a_matter_of_capacity() -> None:
    history = History(limit=1500)
    history.grant()
    orders = Submit(end="a", orders=(order(), order(transfer="u")))
    both = tuple(State(transfer=name, state="pending") for name in ("t", "u"))
    assert "2000 bytes are in flight" in says(history.judge("TE-04", orders, states=both))[0]
    full = Raised(type="CapacityExceeded", code="capacity_exceeded")
    good = (both[0], State(transfer="u", state="refused", error=full))
    assert says(history.judge("TE-04", orders, states=good)) == []
    wrong = (both[0], REFUSED.model_copy(update={"transfer": "u"}))
    assert says(history.judge("TE-04", orders, states=wrong))


def test_a_stranger_must_not_be_served() -> None:
    history = History(credential="guess")
    history.grant()
    history.send()
    assert says(history.judge("TE-05", AWAIT, **ended("done", bytes_moved=1000)))
    assert not says(history.judge("TE-05", AWAIT, **ended("failed")))


def test_an_engine_without_peers_must_say_unsupported() -> None:
    history = History(remote=False)
    submit = Submit(end="a", orders=(order(to="far away"),))
    unsupported = Raised(type="Unsupported", code="unsupported")
    right = REFUSED.model_copy(update={"error": unsupported})
    assert [one.refused for one in history.judge("TE-05", submit, states=(right,))] == [True]
    assert says(history.judge("TE-05", submit, states=(REFUSED,)))


def test_bytes_of_another_transfer_are_told_apart() -> None:
    history = History()
    history.grant()
    other = Slice(memory="theirs", offset=2000, nbytes=1000)
    history.add(Grant(end="b", lease="M", generation=1, slices=(other,)))
    elsewhere = Slice(memory="mine", offset=2000, nbytes=1000)
    second = order(transfer="u", lease="M", source=(elsewhere,), target=(other,))
    both = tuple(State(transfer=name, state="pending") for name in ("t", "u"))
    history.add(Submit(end="a", orders=(order(), second)), states=both)
    done = tuple(State(transfer=name, state="done", bytes_moved=1000) for name in ("t", "u"))
    history.add(Await(end="a", transfers=("t", "u"), timeout_s=9), states=done)
    known = {"mine": NBYTES, "theirs": NBYTES}
    mixed = sight_of(pattern("mine", NBYTES)[2000:3000], known)
    assert "mixed" in says(history.judge("TE-06", look(TARGET), sights=(mixed,)))[0]


def test_one_that_is_cancelled_must_not_take_another_with_it() -> None:
    history = History()
    history.grant()
    other = Slice(memory="theirs", offset=2000, nbytes=1000)
    history.add(Grant(end="b", lease="M", generation=1, slices=(other,)))
    second = order(transfer="u", lease="M", target=(other,))
    both = tuple(State(transfer=name, state="pending") for name in ("t", "u"))
    history.add(Submit(end="a", orders=(order(), second)), states=both)
    history.add(Cancel(end="a", transfer="u"))
    assert "only u may fail" in says(history.judge("TE-06", AWAIT, **ended("cancelled")))[0]


def test_nothing_may_fail_without_a_reason() -> None:
    history = History()
    history.grant()
    history.send()
    assert says(history.judge("TE-07", AWAIT, **ended("failed")))
    history.add(Fault(end="b", what="cut"))
    assert history.judge("TE-07", AWAIT, **ended("failed")) == []


def test_memory_that_is_not_registered_is_left_alone() -> None:
    history = History()
    history.grant()
    history.add(Deregister(end="a", memory="mine"))
    submit = Submit(end="a", orders=(order(),))
    assert says(history.judge("TE-08", submit, **ended("done", bytes_moved=1000)))
    assert not says(history.judge("TE-08", submit, states=(REFUSED,)))
    assert says(history.judge("TE-08", Deregister(end="b", memory="theirs")))
    assert says(history.judge("TE-08", look(TARGET), stained=("theirs",)))


def test_patterns_can_be_told_from_each_other_and_from_themselves_elsewhere() -> None:
    data = pattern("x", 3 * 4096)
    windows = {data[at : at + 16] for at in range(len(data) - 16)}
    assert len(windows) == len(data) - 16
    assert pattern("x", 100) == data[:100]
    assert digest(data[:4096]) != digest(data[4096:8192])
