"""Changes what lies in a tier's folder, as bad disks, torn writes and careless people do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs

from .contents import content_of
from .steps import Damage

_PROBE_BYTES = 64
_ZEROED_BYTES = 64
_TAIL = b"\x00\xff torn tail " * 40


@attrs.frozen(slots=True)
class _Place:
    """Where something lies: a file, and where in it."""

    path: Path
    offset: int


def do_damage(home: str, command: Damage) -> bool:
    """Do it; False where there is nothing to damage."""
    if command.kind == "folder":
        shutil.rmtree(home)
        return True
    files = sorted(path for path in Path(home).rglob("*") if path.is_file() and path.stat().st_size)
    if not files:
        return False
    _KINDS[command.kind](files, command)
    return True


def _find(files: list[Path], command: Damage, number: int) -> _Place:
    """Return where the bytes of a block lie; any place, where they are not found as they are."""
    if number < len(command.keys):
        data = content_of(command.namespace, command.keys[number], command.version, command.nbytes)
        for path in files:
            at = path.read_bytes().find(data[:_PROBE_BYTES])
            if at >= 0:
                return _Place(path, at)
    path = files[(command.pick + number) % len(files)]
    return _Place(path, command.pick * 7919 % path.stat().st_size)


def _write(place: _Place, data: bytes) -> None:
    with place.path.open("r+b") as file:
        file.seek(place.offset)
        file.write(data)


def _read(place: _Place, nbytes: int) -> bytes:
    with place.path.open("rb") as file:
        file.seek(place.offset)
        return file.read(nbytes)


def _flip_at(place: _Place, bit: int) -> None:
    byte = _read(place, 1)
    if byte:
        _write(place, bytes([byte[0] ^ (1 << bit % 8)]))


def _flip(files: list[Path], command: Damage) -> None:
    place = _find(files, command, 0)
    _flip_at(_Place(place.path, place.offset + command.pick % command.nbytes), command.pick)


def _zero(files: list[Path], command: Damage) -> None:
    place = _find(files, command, 0)
    _write(place, bytes(min(_ZEROED_BYTES, command.nbytes)))


def _swap(files: list[Path], command: Damage) -> None:
    one, other = _find(files, command, 0), _find(files, command, 1)
    first, second = _read(one, command.nbytes), _read(other, command.nbytes)
    _write(one, second)
    _write(other, first)


def _swap_files(files: list[Path], command: Damage) -> None:
    one, other = _find(files, command, 0).path, _find(files, command, 1).path
    if one != other:
        aside = one.with_name(one.name + ".aside")
        os.rename(one, aside)
        os.rename(other, one)
        os.rename(aside, other)


def _header(files: list[Path], command: Damage) -> None:
    path = _find(files, command, 0).path
    _flip_at(_Place(path, command.pick % min(16, path.stat().st_size)), command.pick)


def _anywhere(files: list[Path], command: Damage) -> None:
    path = files[command.pick % len(files)]
    _flip_at(_Place(path, command.pick * 7919 % path.stat().st_size), command.pick)


def _truncate(files: list[Path], command: Damage) -> None:
    place = _find(files, command, 0)
    os.truncate(place.path, place.offset + command.pick % command.nbytes)


def _tail(files: list[Path], command: Damage) -> None:
    path = _find(files, command, 0).path
    with path.open("ab") as file:
        file.write(_TAIL[: 1 + command.pick % len(_TAIL)])


def _delete(files: list[Path], command: Damage) -> None:
    _find(files, command, 0).path.unlink()


_KINDS: dict[str, Callable[[list[Path], Damage], None]] = {
    "flip": _flip,
    "zero": _zero,
    "swap": _swap,
    "swap_files": _swap_files,
    "header": _header,
    "anywhere": _anywhere,
    "truncate": _truncate,
    "tail": _tail,
    "delete": _delete,
}
