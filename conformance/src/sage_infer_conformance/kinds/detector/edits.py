"""What is done to a machine before a detector is shown it. Edits are data, so a history can be done again."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from sage_infer_contracts.probe import CommandResult, PciDevice
from sage_infer_contracts.wire import FrozenModel

from . import tables, texts
from .figures import change_numbers
from .shown import Shown, Source


class Edit(FrozenModel):
    """One change. ``clean`` ones take something away whole and damage nothing."""

    edit: str

    @property
    def clean(self) -> bool:
        """Whether what is left is undamaged."""
        return False

    @property
    def lossy(self) -> bool:
        """Whether words may end in the middle."""
        return False

    def touched(self) -> Source | None:
        """Return the one source that it changes; None for more than one, or none."""
        return getattr(self, "source", None)

    def apply(self, shown: Shown) -> Shown:
        """Return the machine with the change."""
        source = self.touched()
        text = shown.texts().get(source) if source is not None else None
        return shown if text is None or source is None else shown.with_text(source, self.rewrite(text))

    def rewrite(self, text: str) -> str:
        """Return the text of the source with the change."""
        return text

    def story(self) -> str:
        """Say what is done, in a few words."""
        facts = (f"{name} {value!r}" for name, value in self if name != "edit")
        return f"{self.edit} {', '.join(facts)}"


class Cut(Edit):
    """The text ends after some bytes."""

    edit: Literal["cut"] = "cut"
    source: Source
    at_byte: NonNegativeInt

    @property
    def lossy(self) -> bool:
        """Whether words may end in the middle: yes."""
        return True

    def rewrite(self, text: str) -> str:
        """Cut the text."""
        return texts.cut(text, self.at_byte)


class Insert(Edit):
    """A line more that is no part of what the tool reports."""

    edit: Literal["insert"] = "insert"
    source: Source
    line: NonNegativeInt
    text: str

    def rewrite(self, text: str) -> str:
        """Insert the line."""
        return texts.insert_line(text, self.line, self.text)


class RepeatHeading(Edit):
    """The heading of the table comes again further down."""

    edit: Literal["repeat heading"] = "repeat heading"
    source: Source
    line: NonNegativeInt

    def rewrite(self, text: str) -> str:
        """Repeat the heading."""
        table = tables.find_table(text)
        if table is None or table.heading is None:
            return text
        return texts.insert_line(text, self.line, table.lines[table.heading])


class Restyle(Edit):
    """The same words in other dress."""

    edit: Literal["restyle"] = "restyle"
    source: Source
    how: str
    at: NonNegativeInt = 0

    def rewrite(self, text: str) -> str:
        """Restyle the text."""
        return texts.restyle(text, self.how, self.at)


class Wrap(Edit):
    """Lines are broken at a width."""

    edit: Literal["wrap"] = "wrap"
    source: Source
    width: PositiveInt

    @property
    def lossy(self) -> bool:
        """Whether words may end in the middle: yes."""
        return True

    def rewrite(self, text: str) -> str:
        """Wrap the text."""
        return texts.wrap(text, self.width)


class Column(Edit):
    """A column becomes wider, gets another title, goes, comes, or changes its place."""

    edit: Literal["column"] = "column"
    source: Source
    how: Literal["widen", "rename", "remove", "add", "swap"]
    column: NonNegativeInt
    by: NonNegativeInt = 0
    title: str = ""

    def rewrite(self, text: str) -> str:
        """Change the column."""
        if self.how == "widen":
            return tables.widen(text, self.column, self.by)
        if self.how == "rename":
            return tables.rename(text, self.column, self.title)
        if self.how == "remove":
            return tables.without(text, self.column)
        if self.how == "add":
            return tables.with_column(text, self.column, self.title, "-")
        return tables.swapped(text, self.column, self.by)


class Localise(Edit):
    """Numbers as another place writes them."""

    edit: Literal["localise"] = "localise"
    source: Source
    how: Literal["thousands", "thousands point", "thousands space", "decimal comma", "digits"]
    spare: tuple[str, ...] = ()

    def rewrite(self, text: str) -> str:
        """Rewrite the numbers."""
        return texts.localise(text, self.how, self.spare)


class Swell(Edit):
    """Very much more text."""

    edit: Literal["swell"] = "swell"
    source: Source
    how: Literal["long line", "spaces", "digits", "many lines"]
    kib: PositiveInt

    def rewrite(self, text: str) -> str:
        """Add the text."""
        return texts.swell(text, self.how, self.kib)


class Double(Edit):
    """The tool prints everything twice."""

    edit: Literal["double"] = "double"
    source: Source

    def rewrite(self, text: str) -> str:
        """Repeat the text."""
        return text if text.endswith("\n") or not text else f"{text}\n"

    def apply(self, shown: Shown) -> Shown:
        """Repeat the text."""
        text = shown.texts().get(self.source)
        return shown if text is None else shown.with_text(self.source, self.rewrite(text) + text)


class Replace(Edit):
    """Something altogether different stands there."""

    edit: Literal["replace"] = "replace"
    source: Source
    text: str

    def rewrite(self, text: str) -> str:
        """Return the other text."""
        return self.text


class Fail(Edit):
    """The command, or the library, reports an error; it may have printed a part before."""

    edit: Literal["fail"] = "fail"
    source: Source
    message: str
    exit_status: int | None = 1
    timed_out: bool = False
    on_stdout: bool = False
    keep_percent: NonNegativeInt = 0

    @property
    def clean(self) -> bool:
        """Whether what is left is undamaged: yes, where nothing is left."""
        return not self.keep_percent and not self.on_stdout

    @property
    def lossy(self) -> bool:
        """Whether words may end in the middle."""
        return bool(self.keep_percent)

    def apply(self, shown: Shown) -> Shown:
        """Fail."""
        if self.source.startswith("library:"):
            return shown.with_text(self.source, json.dumps({"error": self.message}))
        text = shown.texts().get(self.source, "")
        kept = texts.cut(text, len(text.encode()) * self.keep_percent // 100)
        stdout = f"{kept}{self.message}\n" if self.on_stdout else kept
        stderr = "" if self.on_stdout else f"{self.message}\n"
        status = None if self.timed_out else self.exit_status
        result = CommandResult(stdout=stdout, stderr=stderr, exit_status=status, timed_out=self.timed_out)
        return shown.with_result(self.source, result)


class Gone(Edit):
    """The command is missing, the file or folder is not there or cannot be read."""

    edit: Literal["gone"] = "gone"
    source: Source

    @property
    def clean(self) -> bool:
        """Whether what is left is undamaged: yes."""
        return True

    def apply(self, shown: Shown) -> Shown:
        """Take the source away."""
        return shown.gone(self.source)


class Unheard(Edit):
    """The recording does not contain the source."""

    edit: Literal["unheard"] = "unheard"
    source: Source

    @property
    def clean(self) -> bool:
        """Whether what is left is undamaged: yes."""
        return True

    def apply(self, shown: Shown) -> Shown:
        """Forget the source."""
        return shown.unheard(self.source)


class Numbers(Edit):
    """Every number from 16 on is blanked in all texts, or made a fifth smaller. Names and ids are spared."""

    edit: Literal["numbers"] = "numbers"
    by: str | None = None
    spare: tuple[str, ...]

    def apply(self, shown: Shown) -> Shown:
        """Change the numbers."""
        for source, text in shown.texts().items():
            by = "null" if self.by is not None and source.startswith("library:") else self.by
            shown = shown.with_text(source, change_numbers(text, self.spare, by))
        return shown


class Nameless(Edit):
    """Names of products are blanked in all texts."""

    edit: Literal["nameless"] = "nameless"
    names: tuple[str, ...]
    by: str

    @property
    def clean(self) -> bool:
        """Whether what is left is undamaged: yes; it shows what a detector says for an unknown name."""
        return True

    def apply(self, shown: Shown) -> Shown:
        """Blank the names."""
        for source, text in shown.texts().items():
            shown = shown.with_text(source, texts.blank_words(text, self.names, self.by))
        return shown


class Beside(Edit):
    """More PCI functions, of others."""

    edit: Literal["beside"] = "beside"
    devices: tuple[PciDevice, ...]

    def apply(self, shown: Shown) -> Shown:
        """Add the functions, but where an address is taken."""
        taken = {device.bdf for device in shown.pci()}
        return shown.with_pci((*shown.pci(), *(one for one in self.devices if one.bdf not in taken)))


class Relabel(Edit):
    """The PCI functions of some vendors are another's; all else stays as it is."""

    edit: Literal["relabel"] = "relabel"
    owners: tuple[str, ...]
    vendor: str

    def apply(self, shown: Shown) -> Shown:
        """Relabel the functions."""
        update = {"vendor": self.vendor}
        return shown.with_pci(
            tuple(one.model_copy(update=update) if one.vendor in self.owners else one for one in shown.pci())
        )


class Remove(Edit):
    """A device is taken out: its PCI function, and every line that names it."""

    edit: Literal["remove"] = "remove"
    tokens: tuple[str, ...]
    bdf: str | None = None

    def apply(self, shown: Shown) -> Shown:
        """Take the device out."""
        for source, text in shown.texts().items():
            shown = shown.with_text(source, texts.drop_lines(text, self.tokens))
        if shown.recording.pci is None:
            return shown
        return shown.with_pci(tuple(device for device in shown.pci() if device.bdf != self.bdf))


class Variable(Edit):
    """An environment variable is set, or known not to be set."""

    edit: Literal["variable"] = "variable"
    name: str
    value: str | None = None

    @property
    def clean(self) -> bool:
        """Whether what is left is undamaged: yes."""
        return True

    def apply(self, shown: Shown) -> Shown:
        """Set the variable."""
        return shown.with_variable(self.name, self.value)


AnyEdit = Annotated[
    Cut
    | Insert
    | RepeatHeading
    | Restyle
    | Wrap
    | Column
    | Localise
    | Swell
    | Double
    | Replace
    | Fail
    | Gone
    | Unheard
    | Numbers
    | Nameless
    | Beside
    | Relabel
    | Remove
    | Variable,
    Field(discriminator="edit"),
]
Edits = tuple[AnyEdit, ...]


def apply_all(shown: Shown, edits: Edits) -> Shown:
    """Return the machine after all ``edits``, in order."""
    for edit in edits:
        shown = edit.apply(shown)
    return shown
