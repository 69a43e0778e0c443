"""The test items of ``--sage-plugin``. Imported only where the option is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from sage_infer_conformance.api import examine
from sage_infer_conformance.kinds.table import suite_of
from sage_infer_conformance.reports.story import clause_story
from sage_infer_conformance.running.session import Order, ask, docket_of
from sage_infer_contracts.certification import ClauseResult, ConformanceReport
from sage_infer_contracts.errors import SageInferError


class Broken(Exception):
    """A clause that does not pass; the message is the story."""


@attrs.define(eq=False)
class Judgement:
    """One run, which the first item that needs it starts and the others share."""

    order: Order
    report: ConformanceReport | None = None

    def of(self, clause: str) -> ClauseResult | None:
        """Return the verdict on a clause; None where the package has nothing that it binds."""
        return next((result for result in self._report().results if result.clause == clause), None)

    def problems(self) -> tuple[str, ...]:
        """Return what is wrong with the plugin's waivers."""
        return self._report().problems

    def _report(self) -> ConformanceReport:
        if self.report is None:
            self.report = examine(self.order)
        return self.report


class SagePlugin(pytest.Collector):
    """One plugin under judgement."""

    def __init__(self, *, judgement: Judgement, clauses: tuple[str, ...], **rest: Any) -> None:
        super().__init__(**rest)
        self._judgement = judgement
        self._clauses = clauses

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Yield an item for each clause, and one for the waivers."""
        for clause in self._clauses:
            yield ClauseItem.from_parent(self, name=clause, judgement=self._judgement)
        yield WaiverItem.from_parent(self, name="waivers", judgement=self._judgement)


class ClauseItem(pytest.Item):
    """One clause."""

    def __init__(self, *, judgement: Judgement, **rest: Any) -> None:
        super().__init__(**rest)
        self._judgement = judgement

    def runtest(self) -> None:
        """Pass, fail with the story, or skip what is stated and not tested, or binds nothing here."""
        result = self._judgement.of(self.name)
        if result is None:
            pytest.skip("nothing in the package is bound by it")
        self.user_properties += [("verdict", result.verdict), ("evaluations", result.evaluations)]
        if result.verdict == "stated":
            pytest.skip(f"stated, not tested: {result.reason}")
        if not result.passes:
            raise Broken(clause_story(result))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the story alone where a clause is broken: a traceback into the kit tells nobody anything."""
        if isinstance(excinfo.value, (Broken, SageInferError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the item comes from."""
        return self.path, None, f"{self._judgement.order.subject} {self.name}"


class WaiverItem(ClauseItem):
    """All waivers of the plugin."""

    def runtest(self) -> None:
        """Fail where a waiver does not stand."""
        if problems := self._judgement.problems():
            raise Broken("\n".join(problems))


def clause_items(session: pytest.Session, name: str) -> Iterator[pytest.Item]:
    """Yield an item for each clause; a plugin that cannot be found is a usage error."""
    option = session.config.getoption
    order = Order(name, kind=option("sage_kind"), mode=option("sage_mode"), seed=option("sage_seed"))
    try:
        facts = ask(order)
    except SageInferError as error:
        raise pytest.UsageError(f"--sage-plugin: {error}") from error
    suite = suite_of(facts.kind)  # type: ignore[arg-type]  # the child validated it
    clauses = docket_of(suite, is_installed=facts.distribution is not None).clauses()
    name = f"sage-plugin {name}"
    judging = {"judgement": Judgement(order), "clauses": clauses}
    plugin = SagePlugin.from_parent(session, name=name, nodeid=name, **judging)
    return session.genitems(plugin)
