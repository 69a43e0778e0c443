"""The HTML page: one file, everything escaped, the verdict first."""

import re
from html.parser import HTMLParser

from reports_by_hand import WITNESS, report, result

from sage_infer_conformance.reports.page import html_page
from sage_infer_contracts.certification import SubjectFacts


class Outline(HTMLParser):
    """Collects tags and checks that they nest."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    assert parsed.open == []
    return parsed


def test_the_page_needs_no_other_file() -> None:
    page = html_page(report(result("violated"), result(clause="EV-02")))
    for tag, attributes in outline(page).seen:
        assert tag not in {"script", "link", "img", "iframe"}
        assert not {"src", "href"} & set(attributes)
    assert not re.search(r"url\(|@import|https?://", page)


def test_the_page_begins_with_the_verdict_and_shows_what_was_found_before_the_table() -> None:
    text = "".join(outline(html_page(report(result("violated")))).text)
    places = [
        text.index(part)
        for part in ("Does not hold EV-01", "What was found", "Clauses", "What was judged", "How it was")
    ]
    assert places == sorted(places)
    passed = "".join(outline(html_page(report(result()))).text)
    assert "Holds every clause of its kind" in passed
    assert "What was found" not in passed


def test_the_failing_step_is_marked_and_numbered_as_in_the_history() -> None:
    story = ("(7 steps before)", "8. admit b1", "9. victims(1)  gives ['b1']")
    broken = result("violated").model_copy(update={"witness": WITNESS.model_copy(update={"story": story})})
    steps = [
        facts for tag, facts in outline(html_page(report(broken))).seen if tag == "li" and "value" in facts
    ]
    assert steps == [{"value": "8"}, {"class": "failing", "value": "9"}]


def test_nothing_of_a_subject_becomes_markup() -> None:
    hostile = "<script>alert(1)</script>"
    witness = WITNESS.model_copy(update={"says": hostile, "story": (f"1. {hostile}",), "scenario": hostile})
    subject = SubjectFacts(name=hostile, kind="eviction", target=hostile, capabilities=(hostile,))
    broken = result("violated").model_copy(update={"witness": witness, "reason": hostile})
    page = html_page(
        report(broken, subject=subject, problems=(hostile,), command=hostile, not_tested=(hostile,))
    )
    assert "<script" not in page
    outline(page)


def test_the_page_says_what_was_not_tested_and_what_its_words_mean() -> None:
    text = "".join(
        outline(html_page(report(result(), result("stated", "EV-02"), not_tested=("hit rates",)))).text
    )
    assert "EV-02: no clock here" in text
    assert "hit rates" in text
    assert "sampled" in text
    assert "timed" not in text.split("What the words mean")[1], "only what this report uses is explained"


def test_dark_screens_and_paper_are_thought_of() -> None:
    page = html_page(report(result()))
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_the_page_says_on_which_model_and_device_a_backend_was_judged() -> None:
    made_with = {"model": "demo", "enforce_eager": True}
    subject = SubjectFacts(name="vllm", kind="backend", target="x:Y", device="cpu", options=made_with)
    text = "".join(outline(html_page(report(result(), subject=subject))).text)
    assert "model=demo, enforce_eager=True" in text
    assert "none took part in this run" not in text
