"""A file system that forgets: after a crash it holds what was synced, and of the rest nothing, some, or torn pages.

A file's bytes are on the disk only once the file was synced, a name only once its directory was: both as POSIX
has it, and harsher than most file systems are. After ALICE (Pillai et al., OSDI 2014) and LazyFS.

    python -m torture.forgetful MOUNTPOINT

obeys commands on standard input, each answered by a line: ``reset``, ``sync``, ``arm COUNT MODE SEED`` (power is cut
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
    """What becomes of what was not synced."""

    NONE = "none"  # all of it is lost
    SOME = "some"  # of each directory's changes the first few are kept, of each file all or nothing
    TORN = "torn"  # likewise, and of each file any of its pages


@dataclass(slots=True, eq=False)
class Node:
    """A file or a directory: as it is, and as it would be after a crash.

    Attributes:
        pending: changes of a directory since it was synced, in their order: a name, and what it stands for then.
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
        """Whether it has names instead of bytes."""
        return stat.S_ISDIR(self.mode)

    def set_name(self, name: str, node: Node | None) -> None:
        """Change a directory."""
        if node is None:
            del self.names[name]
        else:
            self.names[name] = node
        self.pending.append((name, node))
        self.mtime_ns = time.time_ns()

    def sync(self) -> None:
        """What is, stays."""
        self.durable = bytes(self.live)
        self.durable_names = dict(self.names)
        self.pending.clear()

    def after_crash(self, mode: Mode, chance: random.Random, known: dict[int, Node]) -> Node:
        """What is left of it, and of all beneath; a node with two names stays one."""
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
    """The file system's operations, one at a time."""

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

    # What the campaign says

    def obey(self, line: str) -> str:
        """Carry a command out; returns the answer."""
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
        """Count a change that is about to be made; once the power is cut there are none."""
        self._count += 1
        if self._left is None and self._cut_at and self._count >= self._cut_at:
            self._left = self._rest()
        if self._left is not None:
            raise mfusepy.FuseOSError(errno.EIO)

    # What the kernel says

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
        """Attributes."""
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
        """Names, with numbers: what has none is passed over."""
        node = self._find(path)
        there = {".": node, "..": node, **node.names}
        return [(name, {"st_mode": one.mode, "st_ino": one.ino}, 0) for name, one in there.items()]

    def statfs(self, path: str) -> dict[str, int]:  # noqa: ARG002
        """There is room."""
        return {
            "f_bsize": PAGE,
            "f_frsize": PAGE,
            "f_blocks": _FREE_BLOCKS,
            "f_bavail": _FREE_BLOCKS,
            "f_bfree": _FREE_BLOCKS,
        }

    def mkdir(self, path: str, mode: int) -> None:
        """A new directory."""
        parent, name = self._parent(path)
        self._change()
        parent.set_name(name, self._new(stat.S_IFDIR | mode))

    def create(self, path: str, mode: int, fi: Any = None) -> int:  # noqa: ANN401, ARG002
        """A new file."""
        parent, name = self._parent(path)
        self._change()
        node = self._new(stat.S_IFREG | mode)
        parent.set_name(name, node)
        return self._opened(node)

    def open(self, path: str, flags: int) -> int:
        """An open file; libfuse 3 leaves it to us to empty it where that was asked for."""
        node = self._find(path)
        if flags & os.O_TRUNC and node.live:
            self.truncate(path, 0)
        return self._opened(node)

    def _opened(self, node: Node) -> int:
        handle = next(self._handles)
        self._open[handle] = node
        return handle

    def release(self, path: str | None, fh: int) -> None:  # noqa: ARG002
        """Closed; nothing is synced by that."""
        self._open.pop(fh, None)

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002
        """Bytes."""
        return bytes(self._held(fh).live[offset : offset + size])

    def _held(self, fh: int) -> Node:
        if fh not in self._open:
            raise mfusepy.FuseOSError(errno.EIO)
        return self._open[fh]

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:  # noqa: ARG002
        """Bytes, not synced."""
        node = self._held(fh)
        self._change()
        node.live.extend(b"\0" * (offset - len(node.live)))
        node.live[offset : offset + len(data)] = data
        node.mtime_ns = time.time_ns()
        return len(data)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> None:
        """A new size, not synced."""
        node = self._held(fh) if fh is not None else self._find(path or "")
        self._change()
        del node.live[length:]
        node.live.extend(b"\0" * (length - len(node.live)))
        node.mtime_ns = time.time_ns()

    def fsync(self, path: str | None, datasync: int, fh: int) -> None:  # noqa: ARG002
        """A file's bytes are on the disk; its name need not be."""
        node = self._held(fh)
        self._change()
        node.sync()

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:  # noqa: ARG002
        """A directory's names are on the disk."""
        node = self._find(path)
        self._change()
        node.sync()

    def unlink(self, path: str) -> None:
        """A name less."""
        parent, name = self._parent(path)
        self._find(path)
        self._change()
        parent.set_name(name, None)

    def rmdir(self, path: str) -> None:
        """A directory less."""
        parent, name = self._parent(path)
        if self._find(path).names:
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        self._change()
        parent.set_name(name, None)

    def rename(self, old: str, new: str) -> None:
        """A change in each of two directories, which the disk may see one without the other."""
        before, name = self._parent(old)
        after, new_name = self._parent(new)
        node = self._find(old)
        self._change()
        after.set_name(new_name, node)
        before.set_name(name, None)

    def link(self, target: str, source: str) -> None:
        """A second name."""
        parent, name = self._parent(target)
        if name in parent.names:
            raise mfusepy.FuseOSError(errno.EEXIST)
        node = self._find(source)
        self._change()
        parent.set_name(name, node)

    def chmod(self, path: str, mode: int) -> None:
        """Permissions, which are not forgotten."""
        node = self._find(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Whose it is: always root's."""

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        """Times, which are not forgotten."""
        self._find(path).mtime_ns = times[1] if times else time.time_ns()

    def exists(self, path: str) -> bool:
        """Whether something has the name."""
        try:
            self._find(path)
        except mfusepy.FuseOSError:
            return False
        return True


class Mount(mfusepy.FUSE):  # type: ignore[misc]  # mfusepy ships no types
    """mfusepy passes over a rename's flags, by which the new name must be free; and the campaign speaks in between."""

    def _wrapper(self, func: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 -- as mfusepy calls it
        with self.operations.turn:
            return super()._wrapper(func, *arguments, **named)

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        """renameat2."""
        if flags & ~_NOREPLACE:
            return -errno.EINVAL
        if flags and self.operations.exists(new.decode(self.encoding, self.errors)):
            return -errno.EEXIST
        return int(self.rename_fuse_2(old, new) or 0)


def main(mountpoint: str) -> None:
    """Mount it, and obey."""
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
