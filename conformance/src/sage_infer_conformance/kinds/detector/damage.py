"""Draws what goes wrong with the sources a detector asks."""

from __future__ import annotations

from typing import Literal

from ..suite import Choices
from .edits import (
    AnyEdit,
    Column,
    Cut,
    Double,
    Fail,
    Gone,
    Insert,
    Localise,
    RepeatHeading,
    Replace,
    Restyle,
    Swell,
    Unheard,
    Wrap,
)
from .hosts import ERRORS, JUNK, NOISE, STATUSES
from .model import DetectorModel
from .shown import Shown, Source
from .texts import RESTYLINGS

_TITLES = ("名称", "Größe", "Mémoire utilisée", "использование", "デバイス", "Name (new)", "总线", "NAME2")
_NUMBERS = ("thousands", "thousands point", "thousands space", "decimal comma", "digits")
_COLUMNS = {"widen": 40, "rename": 15, "remove": 15, "add": 15, "swap": 15}
_OUTPUT_DAMAGE = {
    "cut": 22,
    "insert": 16,
    "column": 24,
    "restyle": 12,
    "localise": 6,
    "wrap": 5,
    "repeat heading": 5,
    "replace": 4,
    "double": 4,
    "fail": 8,
    "swell": 1,
}
_FILE_DAMAGE = {"cut": 50, "column": 20, "restyle": 20, "replace": 8, "swell": 2}
"""No other program writes between the lines of a file."""
_FILE_RESTYLINGS = ("crlf", "odd bytes", "null characters", "trailing spaces", "tabs", "no last newline")
SWOLLEN_KIB = (1, 64, 512)


def text_sources(model: DetectorModel) -> list[Source]:
    """Return the sources with text that the detector asked of the whole machine, in a fixed order."""
    asked = set(model.whole.asked) if model.whole is not None else set()
    return sorted(source for source, text in model.shown.texts().items() if source in asked and text)


def asked_sources(model: DetectorModel) -> list[Source]:
    """Return every source that the detector asked of the whole machine and that the machine knows of."""
    recording, asked = model.shown.recording, model.whole.asked if model.whole is not None else ()
    known = {
        *(f"file:{name}" for name in recording.files),
        *(f"folder:{name}" for name in recording.directories),
        *(f"command:{name}" for name in recording.commands),
        *(f"library:{name}" for name in recording.libraries),
    }
    return sorted(set(asked) & known)


def draw_damage(choices: Choices, shown: Shown, source: Source, spare: tuple[str, ...]) -> AnyEdit:
    """Return one way in which the text of ``source`` comes damaged. Replies of libraries stay JSON, as promised."""
    if source.startswith("library:"):
        return draw_loss(choices, source)
    text = shown.texts()[source]
    output = source.startswith("command:")
    how = choices.weighted(_OUTPUT_DAMAGE if output else _FILE_DAMAGE)
    lines = text.count("\n")
    if how == "cut":
        return Cut(source=source, at_byte=_draw_cut(choices, text))
    if how == "insert":
        return Insert(source=source, line=choices.integer(0, lines), text=choices.one_of(NOISE))
    if how == "column":
        return _draw_column(choices, source)
    if how == "restyle":
        restylings = RESTYLINGS if output else _FILE_RESTYLINGS
        return Restyle(source=source, how=choices.one_of(restylings), at=choices.integer(0, lines))
    if how == "localise":
        return Localise(source=source, how=choices.one_of(_NUMBERS), spare=spare)
    if how == "wrap":
        return Wrap(source=source, width=choices.one_of([20, 40, 60, 80, 100]))
    if how == "repeat heading":
        return RepeatHeading(source=source, line=choices.integer(0, lines))
    if how == "replace":
        return Replace(source=source, text=choices.one_of(JUNK))
    if how == "double":
        return Double(source=source)
    if how == "swell":
        return draw_swelling(choices, source)
    return draw_failure(choices, source, partly=choices.chance(60))


def _draw_cut(choices: Choices, text: str) -> int:
    """Anywhere, but half of the time within a line below the first few: where a row is half there."""
    size = len(text.encode())
    if choices.chance(50):
        return choices.integer(0, size)
    return size - choices.integer(0, min(size, 160))


def _draw_column(choices: Choices, source: Source) -> Column:
    drawn = choices.weighted(_COLUMNS)
    by = choices.integer(1, 40) if drawn == "widen" else choices.integer(0, 12)
    how: Literal["widen", "rename", "remove", "add", "swap"] = drawn  # type: ignore[assignment]  # keys of the table
    return Column(source=source, how=how, column=choices.integer(0, 12), by=by, title=choices.one_of(_TITLES))


def draw_swelling(choices: Choices, source: Source, kib: tuple[int, ...] = SWOLLEN_KIB) -> Swell:
    """Return very much more text in one source."""
    how = choices.one_of(["long line", "spaces", "digits", "many lines"])
    return Swell(source=source, how=how, kib=choices.one_of(kib))


def draw_failure(choices: Choices, source: Source, *, partly: bool = False) -> Fail:
    """Return an error of the driver, with or without a part of the output before it."""
    timed_out = choices.chance(20)
    on_stdout = not partly and choices.chance(15)
    return Fail(
        source=source,
        message=choices.one_of(ERRORS),
        exit_status=choices.one_of(STATUSES),
        timed_out=timed_out,
        on_stdout=on_stdout,
        keep_percent=choices.integer(1, 100) if partly else 0,
    )


def draw_loss(choices: Choices, source: Source) -> AnyEdit:
    """Return a way in which a source gives nothing at all."""
    if source.startswith(("command:", "library:")) and choices.chance(60):
        return draw_failure(choices, source)
    return Gone(source=source) if choices.chance(50) else Unheard(source=source)
