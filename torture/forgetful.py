"""A file system that forgets: after a crash it holds what was synced, and of the rest nothing, some, or torn pages.

The bytes of a file are durable only once the file was synced, a name only once its directory was: as in POSIX, and stricter
than most file systems. After ALICE (Pillai et al., OSDI 2014) and LazyFS.

    python -m torture.forgetful MOUNTPOINT

reads commands from standard input and answers each with a line: ``reset``, ``sync``, ``arm COUNT MODE SEED`` (the power is cut
before the COUNT-th change from now on; 0: never), ``state``, ``crash``. It holds everything in memory, and judges nothing.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import stat
import sys
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import mfusepy

PAGE = 4096
_NOREPLACE = 1
_FREE_BLOCKS = 1 << 22


class Mode(StrEnum):
    """What becomes of data that was not synced."""

    NONE = "none"  # it is lost
    SOME = "some"  # of each directory's changes the first few are kept, of each file all or nothing
    TORN = "torn"  # likewise, and of each file any of its pages


@dataclass(slots=True, eq=False)
class Node:
    """A file or a directory: its current state, and its state after a crash.

    Attributes:
        pending: changes of a directory since it was synced, in order: a name, and its new node.
    """

    mode: int
    ino: int
    mtime_ns: int
    live: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    names: dict[str, Node] = field(default_factory=dict)
    durable_names: dict[str, Node] = field(default_factory=dict)
    pending: list[tuple[str, Node | None]] = field(default_factory=list)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    def set_name(self, name: str, node: Node | None) -> None:
        """Set or remove a name of a directory."""
        if node is None:
            del self.names[name]
        else:
            self.names[name] = node
        self.pending.append((name, node))
        self.mtime_ns = time.time_ns()

    def sync(self) -> None:
        """Make the current state durable."""
        self.durable = bytes(self.live)
        self.durable_names = dict(self.names)
        self.pending.clear()

    def after_crash(self, mode: Mode, chance: random.Random, known: dict[int, Node]) -> Node:
        """Return what is left of it and of everything below; a node with two names stays one."""
        if self.ino in known:
            return known[self.ino]
        left = Node(mode=self.mode, ino=self.ino, mtime_ns=self.mtime_ns)
        known[self.ino] = left
        names = dict(self.durable_names)
        kept = 0 if mode is Mode.NONE else chance.randint(0, len(self.pending))
        for name, node in self.pending[:kept]:
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node
        left.live = bytearray(self._bytes(mode, chance))
        left.names = {name: node.after_crash(mode, chance, known) for name, node in names.items()}
        left.sync()
        return left

    def _bytes(self, mode: Mode, chance: random.Random) -> bytes:
        live = bytes(self.live)
        if mode is Mode.NONE or live == self.durable:
            return self.durable
        if mode is Mode.SOME:
            return chance.choice((live, self.durable))
        size = chance.choice((len(live), len(self.durable)))
        pages = (
            chance.choice((live, self.durable))[start : start + PAGE].ljust(PAGE, b"\0")
            for start in range(0, size, PAGE)
        )
        return b"".join(pages)[:size]


class Forgetful(mfusepy.Operations):  # type: ignore[misc]  # mfusepy ships no types
    """The operations of the file system, one at a time."""

    use_ns = True

    def __init__(self) -> None:
        self._inos = itertools.count(1)
        self._root = self._new(stat.S_IFDIR | 0o755)
        self._open: dict[int, Node] = {}
        self._handles = itertools.count(1)
        self.turn = threading.RLock()
        self._count = 0
        self._cut_at = 0
        self._mode, self._chance = Mode.NONE, random.Random(0)
        self._left: Node | None = None

    def _new(self, mode: int) -> Node:
        return Node(mode=mode, ino=next(self._inos), mtime_ns=time.time_ns())

    # Commands of the campaign

    def obey(self, line: str) -> str:
        """Carry a command out. Returns the answer."""
        verb, *words = line.split()
        with self.turn:
            match verb:
                case "reset":
                    self._root, self._left = self._new(stat.S_IFDIR | 0o755), None
                    self._cut_at = 0
                    self._open.clear()
                case "sync":
                    self._sync_all(self._root)
                case "arm":
                    self._cut_at, self._count = int(words[0]), 0
                    self._mode, self._chance = Mode(words[1]), random.Random(int(words[2]))
                case "crash":
                    self._root = self._left or self._rest()
                    self._left, self._cut_at = None, 0
                    self._open.clear()
                case "state":
                    return f"{self._count} {'cut' if self._left else 'on'}"
        return "ok"

    def _rest(self) -> Node:
        return self._root.after_crash(self._mode, self._chance, {})

    def _sync_all(self, node: Node) -> None:
        node.sync()
        for one in node.names.values():
            self._sync_all(one)

    def _change(self) -> None:
        """Count a change before it is made; once the power is cut there are none."""
        self._count += 1
        if self._left is None and self._cut_at and self._count >= self._cut_at:
            self._left = self._rest()
        if self._left is not None:
            raise mfusepy.FuseOSError(errno.EIO)

    # Operations of the kernel

    def _find(self, path: str) -> Node:
        node = self._root
        for part in path.split("/"):
            if part:
                if not node.is_directory or part not in node.names:
                    raise mfusepy.FuseOSError(errno.ENOENT)
                node = node.names[part]
        return node

    def _parent(self, path: str) -> tuple[Node, str]:
        parent, _, name = path.rpartition("/")
        return self._find(parent), name

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        """Return attributes."""
        node = self._open[fh] if fh is not None and fh in self._open else self._find(path or "")
        return {
            "st_mode": node.mode,
            "st_ino": node.ino,
            "st_nlink": 1,
            "st_size": len(node.live),
            "st_mtime": node.mtime_ns,
            "st_ctime": node.mtime_ns,
            "st_atime": node.mtime_ns,
            "st_uid": 0,
            "st_gid": 0,
        }

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:  # noqa: ARG002 -- mfusepy's
        """List names, with numbers, without which an entry is skipped."""
        node = self._find(path)
        there = {".": node, "..": node, **node.names}
        return [(name, {"st_mode": one.mode, "st_ino": one.ino}, 0) for name, one in there.items()]

    def statfs(self, path: str) -> dict[str, int]:  # noqa: ARG002
        """Report free space."""
        return {
            "f_bsize": PAGE,
            "f_frsize": PAGE,
            "f_blocks": _FREE_BLOCKS,
            "f_bavail": _FREE_BLOCKS,
            "f_bfree": _FREE_BLOCKS,
        }

    def mkdir(self, path: str, mode: int) -> None:
        """Create a directory."""
        parent, name = self._parent(path)
        self._change()
        parent.set_name(name, self._new(stat.S_IFDIR | mode))

    def create(self, path: str, mode: int, fi: Any = None) -> int:  # noqa: ANN401, ARG002
        """Create a file."""
        parent, name = self._parent(path)
        self._change()
        node = self._new(stat.S_IFREG | mode)
        parent.set_name(name, node)
        return self._opened(node)

    def open(self, path: str, flags: int) -> int:
        """Open a file; with libfuse 3, truncation on opening is up to us."""
        node = self._find(path)
        if flags & os.O_TRUNC and node.live:
            self.truncate(path, 0)
        return self._opened(node)

    def _opened(self, node: Node) -> int:
        handle = next(self._handles)
        self._open[handle] = node
        return handle

    def release(self, path: str | None, fh: int) -> None:  # noqa: ARG002
        """Close a file; this syncs nothing."""
        self._open.pop(fh, None)

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002
        """Read bytes."""
        return bytes(self._held(fh).live[offset : offset + size])

    def _held(self, fh: int) -> Node:
        if fh not in self._open:
            raise mfusepy.FuseOSError(errno.EIO)
        return self._open[fh]

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:  # noqa: ARG002
        """Write bytes, without syncing them."""
        node = self._held(fh)
        self._change()
        node.live.extend(b"\0" * (offset - len(node.live)))
        node.live[offset : offset + len(data)] = data
        node.mtime_ns = time.time_ns()
        return len(data)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> None:
        """Set the size, without syncing it."""
        node = self._held(fh) if fh is not None else self._find(path or "")
        self._change()
        del node.live[length:]
        node.live.extend(b"\0" * (length - len(node.live)))
        node.mtime_ns = time.time_ns()

    def fsync(self, path: str | None, datasync: int, fh: int) -> None:  # noqa: ARG002
        """Make the bytes of a file durable; its name need not be."""
        node = self._held(fh)
        self._change()
        node.sync()

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:  # noqa: ARG002
        """Make the names of a directory durable."""
        node = self._find(path)
        self._change()
        node.sync()

    def unlink(self, path: str) -> None:
        """Remove a name."""
        parent, name = self._parent(path)
        self._find(path)
        self._change()
        parent.set_name(name, None)

    def rmdir(self, path: str) -> None:
        """Remove a directory."""
        parent, name = self._parent(path)
        if self._find(path).names:
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        self._change()
        parent.set_name(name, None)

    def rename(self, old: str, new: str) -> None:
        """Rename: a change in each of two directories, of which the disk may have one without the other."""
        before, name = self._parent(old)
        after, new_name = self._parent(new)
        node = self._find(old)
        self._change()
        after.set_name(new_name, node)
        before.set_name(name, None)

    def link(self, target: str, source: str) -> None:
        """Add a second name."""
        parent, name = self._parent(target)
        if name in parent.names:
            raise mfusepy.FuseOSError(errno.EEXIST)
        node = self._find(source)
        self._change()
        parent.set_name(name, node)

    def chmod(self, path: str, mode: int) -> None:
        """Set permissions, which are always durable."""
        node = self._find(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Ignore the owner, which is always root."""

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        """Set times, which are always durable."""
        self._find(path).mtime_ns = times[1] if times else time.time_ns()

    def exists(self, path: str) -> bool:
        """Whether a name exists."""
        try:
            self._find(path)
        except mfusepy.FuseOSError:
            return False
        return True


class Mount(mfusepy.FUSE):  # type: ignore[misc]  # mfusepy ships no types
    """Adds what mfusepy lacks: the flags of a rename, which may require a free name; and the commands of the campaign."""

    def _wrapper(self, func: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 -- as mfusepy calls it
        with self.operations.turn:
            return super()._wrapper(func, *arguments, **named)

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        """Handle renameat2."""
        if flags & ~_NOREPLACE:
            return -errno.EINVAL
        if flags and self.operations.exists(new.decode(self.encoding, self.errors)):
            return -errno.EEXIST
        return int(self.rename_fuse_2(old, new) or 0)


def main(mountpoint: str) -> None:
    """Mount the file system, and carry commands out."""
    system = Forgetful()

    def listen() -> None:
        for line in sys.stdin:
            sys.stdout.write(f"{system.obey(line)}\n")
            sys.stdout.flush()

    threading.Thread(target=listen, daemon=True).start()
    Mount(
        system,
        mountpoint,
        foreground=True,
        nothreads=True,
        hard_remove=True,
        use_ino=True,
        direct_io=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        encoding="utf-8",
    )


if __name__ == "__main__":
    main(sys.argv[1])
