"""``cnmon topo -m`` and ``cnmon mlulink -c N -s``: how cards reach each other.

Codes of the matrix are reported as printed. Those known from publications: MLK (MLU-Link), MUL (through several PCIe
switches and no host bridge) and CPU (through one CPU); no capture of a whole matrix was found, so none is required.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.text import lines

_DEVICE = re.compile(r"(?<![\w-])(?:MLU|Card)\s?([0-9]{1,4})(?![\w-])", re.ASCII | re.IGNORECASE)
_CELL = re.compile(r"[A-Za-z][A-Za-z0-9/,+&]{0,31}(?: [A-Za-z][A-Za-z0-9/,+&]{0,31}){0,2}|-", re.ASCII)
_CODE = re.compile(r"[A-Z][A-Z0-9]{0,7}(?:[/,+& ][A-Z][A-Z0-9]{0,7}){0,3}", re.ASCII)
_REST = re.compile(r"[\s|]*(?:(?:[A-Z][A-Z0-9/,+&]{0,31}|-|[0-9][0-9,-]{0,400})(?:[\s|]+|$)){1,64}", re.ASCII)
"""What may follow in the next line when a terminal broke a row: codes, and CPUs."""
_CPUS = re.compile(r"[0-9]{1,4}(?:-[0-9]{1,4})?(?:,[0-9]{1,4}(?:-[0-9]{1,4})?){0,255}", re.ASCII)
_NO_CODE = ("X", "SELF", "SLF", "NA", "N/A")
_PORT = re.compile(r"\s{0,16}([^:]{1,60}?)\s*:\s*(Enabled?|Disabled?)\s*", re.ASCII | re.IGNORECASE)
_LONGEST = 8000


@attrs.frozen(slots=True)
class Matrix:
    """Codes by the numbers of two cards, both ways where both are printed, and the CPUs near each card."""

    codes: Mapping[tuple[int, int], str] = attrs.field(factory=dict)
    cpus: Mapping[int, str] = attrs.field(factory=dict)

    @property
    def cards(self) -> tuple[int, ...]:
        """The numbers of the cards that are named in pairs or with CPUs."""
        return tuple(sorted({*self.cpus, *(number for pair in self.codes for number in pair)}))

    def links(self) -> tuple[dict[tuple[int, int], str], list[str]]:
        """Return the code of each pair once, smaller number first, and in words the pairs that disagree."""
        found: dict[tuple[int, int], str] = {}
        disagreements = []
        for (one, other), code in self.codes.items():
            if one >= other and (other, one) in self.codes:
                continue
            back = self.codes.get((other, one), code)
            low, high = sorted((one, other))
            if back == code:
                found[low, high] = code
            else:
                disagreements.append(
                    f"cards {low} and {high} are linked by {code} one way and {back} the other"
                )
        return dict(sorted(found.items())), sorted(disagreements)


def parse_topology(text: str) -> Matrix:
    """Read the matrix of ``cnmon topo -m``, broken by a terminal or not. A row that is not whole says nothing."""
    columns: list[int] = []
    rows: list[tuple[int, list[str], list[int]]] = []
    last = ""
    for line in lines(text):
        numbers = [int(match[1]) for match in _DEVICE.finditer(line)] if len(line) <= _LONGEST else []
        if len(numbers) > 1 or (numbers and "affinity" in line.lower()):
            goes_on = last == "titles" and not set(numbers) & set(columns)
            columns, last = ([*columns, *numbers] if goes_on else numbers), "titles"
        elif columns and numbers and _DEVICE.match(line.lstrip(" |")):
            rows.append((numbers[0], _cells(line, len(columns)), columns))
            last = "row"
        elif last == "row" and len(rows[-1][1]) <= len(columns) and _REST.fullmatch(line):
            rows[-1][1].extend(line.replace("|", " ").split())
        elif last != "titles":
            last = ""
    codes: dict[tuple[int, int], str] = {}
    cpus: dict[int, str] = {}
    for number, cells, titles in rows:
        if len(set(titles)) == len(titles):
            _read_row(number, cells, titles, codes, cpus)
    return Matrix(codes, cpus)


def parse_ports(text: str) -> tuple[int, int] | None:
    """Return how many MLU-Link ports of a card are enabled, and how many there are; None where none is shown."""
    states = [match[2].lower() for line in lines(text) if (match := _PORT.fullmatch(line[:200]))]
    return (sum(state.startswith("enable") for state in states), len(states)) if states else None


def _read_row(
    number: int,
    cells: Sequence[str],
    columns: Sequence[int],
    codes: dict[tuple[int, int], str],
    cpus: dict[int, str],
) -> None:
    if len(cells) < len(columns):
        return
    for other, code in zip(columns, cells[: len(columns)], strict=True):
        if other != number and _CODE.fullmatch(code) and code.upper() not in _NO_CODE:
            codes.setdefault((number, other), code)
    near = next((cell for cell in cells[len(columns) :] if _CPUS.fullmatch(cell)), None)
    if near is not None:
        cpus.setdefault(number, near)


def _cells(line: str, columns: int) -> list[str]:
    """Return the cells behind a row's name, split at wide gaps, rules and tabs, or else at every gap."""
    rest = _DEVICE.sub("", line.strip(" |"), count=1)
    wide = [part.strip(" |") for part in re.split(r"\s{2,}|\t|\|", rest)]
    cells = [part for part in wide if part]
    if len(cells) < columns or not all(_CELL.fullmatch(cell) for cell in cells[:columns]):
        return rest.replace("|", " ").split()
    return cells
