"""What is written of a run: JUnit, badge, certificate, comparison and the story, made from reports by hand."""

from xml.etree import ElementTree as Xml

import pytest
from reports_by_hand import WITNESS, report, result

from sage_infer_conformance.reports.badge import badge
from sage_infer_conformance.reports.build import command_line
from sage_infer_conformance.reports.certificate import certificate_of
from sage_infer_conformance.reports.comparison import compare
from sage_infer_conformance.reports.junit import junit_xml
from sage_infer_conformance.reports.story import full_story
from sage_infer_conformance.reports.words import summary
from sage_infer_conformance.running.session import Order
from sage_infer_contracts.certification import RunProfile, Verdict


@pytest.mark.parametrize(
    ("verdict", "tag"),
    [
        ("held", None),
        ("refused", None),
        ("waived", None),
        ("violated", "failure"),
        ("thin", "failure"),
        ("error", "error"),
        ("stated", "skipped"),
    ],
)
def test_junit_says_of_each_verdict_what_a_ci_understands(verdict: Verdict, tag: str | None) -> None:
    suite = Xml.fromstring(junit_xml(report(result(verdict)))).find("testsuite")
    assert suite is not None
    (case,) = suite.findall("testcase")
    assert [child.tag for child in case if child.tag != "system-out"] == ([tag] if tag else [])
    assert suite.get("failures") == str(int(tag == "failure"))


def test_junit_survives_whatever_a_subject_prints() -> None:
    witness = WITNESS.model_copy(update={"says": "bell \x07 and <tag> & \ud800"})
    text = junit_xml(report(result("violated").model_copy(update={"witness": witness})))
    assert "&lt;tag&gt;" in text
    Xml.fromstring(text.encode("utf-8"))


def test_a_bad_waiver_fails_in_junit_and_in_the_summary() -> None:
    one = report(result(), problems=("the waiver of PK-08 expired",))
    assert not one.passed
    assert 'failures="1"' in junit_xml(one)
    assert "waivers" in summary(one)
    assert badge(one)["color"] == "red"


def test_a_badge_is_green_only_for_what_a_certificate_says() -> None:
    assert badge(report(result()))["color"] == "brightgreen"
    assert badge(report(result(), profile=RunProfile(mode="develop", histories={})))["color"] == "green"
    assert badge(report(result("violated")))["color"] == "red"
    assert badge(report(result("thin")))["color"] == "orange"
    assert set(badge(report(result()))) == {"schemaVersion", "label", "message", "color"}


def test_a_certificate_is_given_for_a_whole_passed_certify_run_only() -> None:
    assert certificate_of(report(result(), result("stated", "EV-02"))) is not None
    assert certificate_of(report(result("violated"))) is None
    assert certificate_of(report(result("thin"))) is None
    assert certificate_of(report(result(), profile=RunProfile(mode="develop", histories={}))) is None
    assert (
        certificate_of(report(result(), profile=RunProfile(mode="certify", histories={}, rules=("EV-01",))))
        is None
    )


def test_a_certificate_confirmed_by_the_same_run_differs_in_nothing() -> None:
    one = report(result())
    certificate = certificate_of(one)
    assert certificate is not None
    assert compare(certificate, one).differences == ()
    assert compare(certificate, one).notes == ()


def test_a_comparison_names_changed_verdicts_counts_and_versions() -> None:
    then = report(result(), result(clause="EV-02"), result(clause="EV-03"))
    fewer = result(clause="EV-02").model_copy(update={"evaluations": 600})
    now = report(result("violated"), fewer, result(clause="EV-04"), environment={"kit": "0.2.0"})
    comparison = compare(then, now)
    assert comparison.differences == (
        "EV-01 was held and is violated",
        "EV-02 was evaluated 700 times (0 refused) and now 600 times (0 refused)",
        "EV-03 was held and is not judged any more",
        "EV-04 was not judged and is held",
    )
    assert "kit was 0.1.0 and is 0.2.0" in comparison.notes


def test_the_story_marks_the_failing_step_and_says_how_to_see_it_again() -> None:
    lines = full_story(report(result("violated"), result(clause="EV-02"))).splitlines()
    assert "    > 2. victims(1)  gives ['b1']" in lines
    assert any("pinned 1 times" in line for line in lines)
    assert lines[-1] == "Do it again: sage-infer-conformance run lru --seed 7"
    assert not any(line.startswith("EV-02") for line in lines), "what passes is not told"


def test_the_command_of_a_report_leads_to_the_same_order() -> None:
    order = Order("./my file.py:Policy?size=3&name=a%20b&--device=npu:0", seed=5, rules=("EV-01",))
    command = command_line(order, "eviction")
    assert command == (
        "sage-infer-conformance run './my file.py:Policy' --kind eviction --mode certify --seed 5 "
        "--device npu:0 --set size=3 --set 'name=a b' --rule EV-01"
    )
