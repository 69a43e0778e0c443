"""Writable local file systems as disk tiers."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from sage_infer_contracts.devices import MemoryTierSpec

from .asking import Asker
from .parsing import number

_LOCAL = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "overlay"}
)
_LEAST_BYTES = 2**30
_MOST = 64
_ROW = re.compile(r"\s([0-9]{1,15})\s+([0-9]{1,15})\s+([0-9]{1,15})\s+(?:[0-9]{1,3}%|-)\s+(/.*)$", re.ASCII)


@attrs.frozen(slots=True)
class Mount:
    """One line of /proc/mounts."""

    device: str
    path: str


def read_disks(ask: Asker) -> tuple[MemoryTierSpec, ...]:
    """Read file systems of at least 1 GiB; those whose size ``df`` does not tell are left out."""
    mounts = _mounts(ask.file("/proc/mounts"))
    # One df for each, so that one that hangs (a dead disk) hides no other.
    sizes = {mount.path: _size(ask.output("df", "-Pk", mount.path), mount.path) for mount in mounts}
    blocks = ask.folder("/sys/block") if mounts else ()
    tiers = [_tier(ask, mount, sizes[mount.path], blocks) for mount in mounts]
    found = tuple(tier for tier in tiers if tier is not None)
    ask.step("/proc/mounts, df and /sys/block", bool(found))
    return found


def _mounts(text: str | None) -> list[Mount]:
    """Return writable local mounts, each device once, at its shortest path."""
    shortest: dict[str, Mount] = {}
    for line in (text or "").splitlines():
        parts = line.split(" ")
        if len(parts) < 4 or parts[2] not in _LOCAL or "rw" not in parts[3].split(","):
            continue
        mount = Mount(_unescaped(parts[0]), _unescaped(parts[1]))
        known = shortest.get(mount.device)
        if mount.path.startswith("/") and (known is None or len(mount.path) < len(known.path)):
            shortest[mount.device] = mount
    return sorted(shortest.values(), key=lambda mount: mount.path)[:_MOST]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-3][0-7]{2})", lambda match: chr(int(match[1], 8)), text)


def _size(output: str | None, path: str) -> tuple[int, int] | None:
    """Read one row of ``df -Pk``: capacity and what is available, in bytes."""
    for line in (output or "").splitlines():
        match = _ROW.search(line)
        if match and match[4].rstrip() == path:
            return int(match[1]) * 1024, int(match[3]) * 1024
    return None


def _tier(
    ask: Asker, mount: Mount, size: tuple[int, int] | None, blocks: Sequence[str]
) -> MemoryTierSpec | None:
    if size is None or size[0] < _LEAST_BYTES:
        return None
    return MemoryTierSpec(
        name="ssd" if _does_not_rotate(ask, mount.device, blocks) else "disk",
        capacity_bytes=size[0],
        available_bytes=min(size[1], size[0]),
        persistent=True,
        path=mount.path,
    )


def _does_not_rotate(ask: Asker, device: str, blocks: Sequence[str]) -> bool:
    name = device.removeprefix("/dev/")
    owners = [block for block in blocks if re.fullmatch(rf"{re.escape(block)}(p?[0-9]+)?", name, re.ASCII)]
    if not owners:
        return False
    return number(ask.file(f"/sys/block/{max(owners, key=len)}/queue/rotational")) == 0
