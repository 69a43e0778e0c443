"""One question, answered in a process of its own: ``python -m ... QUESTION ANSWER_FILE``.

The answer is complete or it is not there: it is written beside its place and moved.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sage_infer_contracts.wire import FrozenModel

from .facts import Question


def find_out(question: Question) -> FrozenModel:
    """Return what was asked for."""
    if question.what == "entries":
        from .loading import load_entries

        return load_entries(question.distribution)
    if question.what == "starts":
        from .starting import use_in_started_processes

        return use_in_started_processes(question)
    from .hiding import hide
    from .metadata import beyond_requirements
    from .using import use_once

    gone, modules = beyond_requirements(question.distribution)
    hide(modules, gone)
    return use_once(question.subject, question.kind)


def main() -> None:
    """Answer, then end at once, whatever the subject left running."""
    place = Path(sys.argv[2])
    answer = find_out(Question.model_validate_json(sys.argv[1]))
    partial = place.with_suffix(".partial")
    partial.write_text(answer.model_dump_json(), encoding="utf-8")
    partial.rename(place)
    os._exit(0)


if __name__ == "__main__":
    main()
