"""Asks Hygon's tools, each question once: ``hy-smi``, its older name ``rocm-smi``, and ``rocminfo``.

The tools are looked for on the path and where Hygon's driver and DTK put them. One that did not answer in time is not
asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from sage_infer_contracts.detecting.ladder import Ladder, Outcome, Reply, failure_of
from sage_infer_contracts.probe import CommandResult, Unknown

TIMEOUT_S = 8.0
SMI = ("hy-smi", "rocm-smi")
OWN_PROGRAMS = frozenset({"hy-smi", "hy-virtual"})
"""Those that show no other maker's cards."""
ROCMINFO = ("rocminfo",)
EVERYTHING = (
    "--showid",
    "--showproductname",
    "--showuniqueid",
    "--showbus",
    "--showuse",
    "--showtemp",
    "--showpower",
    "--showdriverversion",
    "--showmeminfo",
    "vram",
    "--json",
)
SINGLY = (
    ("--showid",),
    ("--showbus",),
    ("--showproductname",),
    ("--showuniqueid",),
    ("--showmeminfo", "vram"),
    ("--showdriverversion",),
)
"""What is asked one by one where the tool does not answer all of it in JSON."""
HEALTH = ("--healthcheck",)
VIRTUAL = (
    ("hy-virtual", "-show-device-info"),
    ("hy-virtual", "-show-vdevice-info"),
    ("hy-smi", "virtual", "-show-device-info"),
    ("hy-smi", "virtual", "-show-vdevice-info"),
)
"""What lists virtual DCUs: of the host. A container has its own in a file."""
IN_CAPTURES = (
    ("--showallinfo",),
    ("-a",),
    ("--showproductname", "--showid"),
    ("--showid", "--showproductname", "--showmeminfo", "all"),
    ("--showmeminfo", "all"),
    ("--showmeminfo", "vram", "--showproductname", "--json"),
    ("--showmeminfo", "vram", "--json"),
    ("--showproductname", "--json"),
    ("--showuniqueid", "--json"),
    ("--showbus", "--json"),
    ("--showid", "--json"),
    ("--showuse", "--json"),
    ("--showuse",),
    ("--showmemuse",),
    ("--showuse", "--showmemuse"),
    ("--showtoponuma",),
    ("--showtopotype",),
    ("--mig",),
    ("--showmemavailable", "--json"),
    ("--showmemavailable", "--csv"),
    ("--showtoponuma", "--json"),
    ("--showtopo", "--json"),
    ("--csv",),
)
"""What others ask the tool, from published scripts and captures. A machine answers what is above, so this is for a
recording in which nobody asked that."""
_FOLDERS = ("/opt/hyhal/bin", "/usr/local/hyhal/bin")
_BAD_OPTION = 2
_NO_OPTION = ("unrecognized argument", "invalid choice", "expected one argument", "usage:")
"""What Python's argparse says, and the status it ends with: the tools are Python scripts."""


@attrs.define(slots=True)
class Tools:
    """Keeps what was found missing or hanging, so that it is not asked again."""

    ladder: Ladder
    _missing: set[str] = attrs.field(factory=set)
    _hanging: set[str] = attrs.field(factory=set)
    _elsewhere: dict[str, list[str]] = attrs.field(factory=dict)

    def smi(self, *flags: str) -> Reply:
        """Ask ``hy-smi`` or ``rocm-smi``."""
        return self._ask(SMI, flags)

    def captured(self) -> Iterator[Reply]:
        """Yield what a recording holds of the tool besides; what it does not hold is no step worth keeping."""
        for command in (*((program, *flags) for program in SMI for flags in IN_CAPTURES), *VIRTUAL):
            result = self.ladder.probe.run(command, timeout_s=TIMEOUT_S)
            if not isinstance(result, Unknown) and not result.missing:
                yield self._judged(command[0], " ".join(command), result)

    def rocminfo(self) -> Reply:
        """Ask ``rocminfo``."""
        return self._ask(ROCMINFO, ())

    def _ask(self, programs: tuple[str, ...], flags: Sequence[str]) -> Reply:
        """Return the first answer; a program that is not there, or of which nobody knows, is no answer."""
        unknown = False
        for program in self._places(programs):
            reply = self._run(program, flags)
            if reply.outcome not in ("absent", "unknown"):
                return reply
            unknown |= reply.outcome == "unknown"
        return Reply(None, "unknown" if unknown else "absent")

    def _places(self, programs: tuple[str, ...]) -> Iterator[str]:
        """Yield each program by its name and, if that is not on the path, by where it is installed.

        So Hygon's own tool comes before a ``rocm-smi`` on the path, which may be AMD's.
        """
        for program in programs:
            if program not in self._missing:
                yield program
            if program in self._missing:
                if program not in self._elsewhere:
                    self._elsewhere[program] = self._installed(program)
                yield from self._elsewhere[program]

    def _installed(self, program: str) -> list[str]:
        """Look into the folders of the driver and of every DTK, newest name first."""
        toolkits = sorted(
            (name for name in self.ladder.folder("/opt") if name.startswith("dtk")), reverse=True
        )
        folders = (*_FOLDERS, *(f"/opt/{name}/bin" for name in toolkits))
        return [f"{folder}/{program}" for folder in folders if program in self.ladder.folder(folder)]

    def _run(self, program: str, flags: Sequence[str]) -> Reply:
        source = " ".join((program, *flags))
        if program in self._hanging:
            self.ladder.note(source, "skipped", "it did not answer in time before")
            return Reply(None, "skipped")
        result = self.ladder.probe.run((program, *flags), timeout_s=TIMEOUT_S)
        if isinstance(result, Unknown) or result.missing:
            outcome: Outcome = "unknown" if isinstance(result, Unknown) else "absent"
            if outcome == "absent":
                self._missing.add(program)
            self.ladder.note(source, outcome)
            return Reply(None, outcome)
        return self._judged(program, source, result)

    def _judged(self, program: str, source: str, result: CommandResult) -> Reply:
        if result.timed_out:
            self._hanging.add(program)
        said = f"{result.stdout}\n{result.stderr}".lower()
        if result.exit_status == _BAD_OPTION and any(word in said for word in _NO_OPTION):
            self.ladder.note(source, "skipped", "this release has no such option")
            return Reply(None, "skipped")
        why = failure_of(result)
        if why is None and not result.stdout.strip() and result.stderr.strip():
            # The tool says on its other channel that the driver is not there, and ends as if all were well.
            why = result.stderr.strip().splitlines()[-1][:300]
        return self.ladder.fail(source, why) if why is not None else Reply(result.stdout, "used", source)
