"""A recording without what names a machine: serial numbers, UUIDs, host and user names, MAC and IP addresses.

The same value has the same mask everywhere: in files, in commands' words and output, in variables and replies. A mask
keeps its value's form (length, separators, digits for digits, hex for hex), so that detectors read it as they read the
value.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator

import attrs

from sage_infer_contracts.probe import ProbeRecording

_HEX = frozenset("0123456789abcdefABCDEF")
_EDGE = r"(?<![A-Za-z0-9]){}(?![A-Za-z0-9])"
_UUID = re.compile(_EDGE.format(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), re.I)
_MAC = re.compile(
    r"(?<![A-Za-z0-9:])[0-9a-f]{2}(?::[0-9a-f]{2}){5}(?:(?::[0-9a-f]{2}){2}|(?::[0-9a-f]{2}){14})?(?![A-Za-z0-9:])",
    re.I,
)
_GUID = re.compile(r"(?<![A-Za-z0-9:])[0-9a-f]{4}(?::[0-9a-f]{4}){3}(?![A-Za-z0-9:])", re.I)
_IPV4 = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.]*\d)")
_IPV6 = re.compile(
    r"(?<![A-Za-z0-9:])(?:fe80|fd[0-9a-f]{2}|2[0-9a-f]{3})(?::{1,2}[0-9a-f]{1,4}){1,7}(?![A-Za-z0-9:])", re.I
)
_HOME = re.compile(r"/(?:home|Users)/([^/\s:\"']+)")
_VERSION = re.compile(
    r"version|driver|firmware|release|runtime|\brev|\bsmi\b|-smi|vbios|build|toolkit|\bver\b", re.I
)
_NO_HOST = re.compile(r"127\.|0\.0\.0\.0|255\.")
_SECRET_LABEL = (
    r"(?:serial(?:[ _-]*(?:number|num|no\.?))?|\bs/?n|unique[ _-]*id|v?die[ _-]*id|asset[ _-]*tag|"
    r"(?:gpu|board|device|card|node|system|sys|product)?[ _-]*(?:uuid|guid)|"
    r"(?:machine|boot)[ _-]*id|(?:host|node)[ _-]*name|序列号|主机名)"
)
_SPACE_OF_IDS = re.compile(r"^(?:[A-Za-z]{2,6}-)+(?=[0-9a-f])", re.I)
_LABELLED = re.compile(
    rf"(?<![\w]){_SECRET_LABEL}[\"']?(?:\s*\([^)\n]*\))?[ \t]*[:=][ \t]*[\"']?"
    r"(?P<value>[^\s\"',;|<>(){}\[\]]+(?:[ ][0-9A-Fa-f]{6,})*)",
    re.I,
)
_TAGGED = re.compile(rf"<(?P<tag>[\w.-]*{_SECRET_LABEL}[\w.-]*)>\s*(?P<value>[^<\s]+)\s*</", re.I)
_COLUMN = re.compile(rf"[\w. -]*{_SECRET_LABEL}[\w. -]*", re.I)
_PRIVATE_FILE = re.compile(r"serial|uuid|guid|machine-id|hostname|asset_tag|boot_id|/address$", re.I)
_HOST_SOURCES = ("/etc/hostname", "/proc/sys/kernel/hostname")
_HOST_VARIABLES = ("HOSTNAME", "HOST", "COMPUTERNAME", "NODE_NAME", "POD_NAME")
_COMMON_WORDS = frozenset(
    ("localhost", "localdomain", "none", "null", "unknown", "default", "disabled", "linux")
)


def masked(
    recording: ProbeRecording, *, hostnames: Iterable[str] = (), key: bytes | None = None
) -> ProbeRecording:
    """Return ``recording`` with every such value replaced.

    ``hostnames`` are masked besides those the recording names. Without ``key`` the masks are drawn anew, so that nobody
    can try values against them; with one, recordings of several machines have masks in common where values are.
    """
    masks = Masks(key or secrets.token_bytes(32))
    for text in _texts(recording):
        masks.learn(text)
    for path, content in recording.files.items():
        if content is not None and _PRIVATE_FILE.search(path):
            for word in content.split():
                masks.add(word)
    for name in (*_named_hosts(recording), *hostnames):
        masks.add_host(name)
    # Through JSON, so that no field, key or nested text is forgotten.
    return ProbeRecording.model_validate(_replaced(recording.model_dump(mode="json"), masks.replace))


def _texts(recording: ProbeRecording) -> Iterator[str]:
    for path, content in recording.files.items():
        yield f"{path}: {content}" if content is not None and "\n" not in content.strip() else content or ""
        yield path
    for names in recording.directories.values():
        yield from names or ()
    for name, value in recording.environment.items():
        yield f"{name}={value}"
    for command, result in recording.commands.items():
        yield command
        yield result.stdout
        yield result.stderr
    for reply in recording.libraries.values():
        yield reply or ""
    yield recording.note


def _named_hosts(recording: ProbeRecording) -> Iterator[str]:
    for path in _HOST_SOURCES:
        yield (recording.files.get(path) or "").strip()
    for name in _HOST_VARIABLES:
        yield (recording.environment.get(name) or "").strip()


def _replaced(value: object, replace: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, dict):
        return {replace(name): _replaced(one, replace) for name, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, replace) for one in value]
    return value


@attrs.define(slots=True)
class Masks:
    """Values found so far and what stands for each."""

    key: bytes
    _masks: dict[str, str] = attrs.field(factory=dict)
    _pattern: re.Pattern[str] | None = None

    def learn(self, text: str) -> None:
        """Find what is to be masked in a text."""
        for pattern in (_UUID, _MAC, _GUID, _IPV6):
            for match in pattern.finditer(text):
                self.add(match[0])
        for pattern in (_LABELLED, _TAGGED):
            for match in pattern.finditer(text):
                self.add(match["value"].strip())
        for match in _HOME.finditer(text):
            self.add_host(match[1])
        for line in text.splitlines():
            if not _VERSION.search(line):  # driver versions of four parts look like addresses
                for match in _IPV4.finditer(line):
                    if not _NO_HOST.match(match[0]):
                        self.add(match[0], octets=True)
        for value in _in_columns(text):
            self.add(value)

    def add(self, value: str, *, octets: bool = False) -> None:
        """Mask a value, unless it says nothing: too short, without a digit, or all zeros."""
        said = _SPACE_OF_IDS.sub("", value.strip())  # GPU- and MIG- say what sort of identity follows
        core = re.sub(r"[^0-9A-Za-z]", "", said)
        if (
            len(core) < 4
            or said.lower() in self._masks
            or not any(one.isdigit() for one in core)
            or not core.strip("0xXfF")
        ):
            return
        self._keep(said, octets=octets)

    def add_host(self, name: str) -> None:
        """Mask a host's or a user's name, and its first part where it is a full one."""
        for one in {name.strip(), name.strip().split(".")[0]}:
            if (
                len(one) >= 3
                and one.lower() not in _COMMON_WORDS
                and one.lower() not in self._masks
                and not one.isdigit()
            ):
                self._keep(one)

    def replace(self, text: str) -> str:
        """Return ``text`` with the values masked, and the beginnings of values that variables may hold."""
        if not self._masks:
            return text
        if self._pattern is None:
            longest_first = sorted(self._masks, key=len, reverse=True)
            self._pattern = re.compile(_EDGE.format(f"(?:{'|'.join(map(re.escape, longest_first))})"), re.I)
        whole = self._pattern.sub(lambda match: self._mask(match[0]), text)
        return _PREFIX.sub(self._mask_prefix, whole)

    def _keep(self, value: str, *, octets: bool = False) -> None:
        taken = {mask.lower() for mask in self._masks.values()}
        for attempt in range(100):
            mask = _octets(self._draw(value, attempt)) if octets else _like(value, self._draw(value, attempt))
            if mask.lower() not in taken and mask.lower() != value.lower():
                break
        self._masks[value.lower()] = mask
        self._pattern = None

    def _draw(self, value: str, attempt: int) -> bytes:
        drawn = b""
        while len(drawn) < len(value):
            text = json.dumps([value.lower(), attempt, len(drawn)])
            drawn += hmac.new(self.key, text.encode(), hashlib.sha256).digest()
        return drawn

    def _mask(self, value: str) -> str:
        mask = self._masks[value.lower()]
        if value.isupper():
            return mask.upper()
        return mask.lower() if value.islower() else mask

    def _mask_prefix(self, match: re.Match[str]) -> str:
        begun = match[2].lower()
        for value, mask in self._masks.items():
            if _UUID.fullmatch(value) and value.startswith(begun):
                return match[1] + mask[: len(begun)].lower()
        return match[0]


_PREFIX = re.compile(
    r"(?<![A-Za-z0-9])((?:[A-Z]{2,5}-)+)([0-9a-f]{4,8}(?:-[0-9a-f]{0,4}){0,3}(?:-[0-9a-f]{0,11})?)(?![A-Za-z0-9-])"
)


def _in_columns(text: str) -> Iterator[str]:
    """Yield the cells below a title such as ``SN`` or ``uuid``, in tables with bars and in comma-separated values."""
    places: list[int] = []
    width = 0
    bar = ""
    for line in text.splitlines():
        for mark in ("|", ","):
            cells = [cell.strip() for cell in line.split(mark)]
            titles = [at for at, cell in enumerate(cells) if len(cell) <= 40 and _COLUMN.fullmatch(cell)]
            if len(cells) > 2 and titles:
                places, width, bar = titles, len(cells), mark
                break
        else:
            cells = [cell.strip() for cell in line.split(bar)] if bar else []
            if len(cells) == width:
                yield from (cells[at] for at in places if " " not in cells[at])


def _like(value: str, drawn: bytes) -> str:
    """Draw a character of the same sort for each; a word of hex digits stays one, and a number a number."""
    out = list(value)
    for word in re.finditer(r"(0x)?([0-9A-Za-z]+)", value):
        digits = word[2]
        is_hex = set(digits) <= _HEX and (bool(word[1] or _UUID.fullmatch(value)) or not digits.isdigit())
        for at in range(word.start(2), word.end(2)):
            out[at] = "0123456789abcdef"[drawn[at] % 16] if is_hex else _same_sort(value[at], drawn[at])
    text = "".join(out)
    return text.upper() if value.isupper() else text


def _same_sort(old: str, byte: int) -> str:
    if old.isdigit():
        return str(byte % 10)
    if old.isalpha() and old.isascii():
        new = "abcdefghijklmnopqrstuvwxyz"[byte % 26]
        return new.upper() if old.isupper() else new
    return old


def _octets(drawn: bytes) -> str:
    """An address out of 198.18.0.0/15, which is kept for tests (RFC 2544) and belongs to nobody."""
    return f"198.{18 + drawn[0] % 2}.{drawn[1]}.{1 + drawn[2] % 254}"
