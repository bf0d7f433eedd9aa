"""Which daemons of this user run, and which was started last: one small file for each state directory.

A daemon keeps its file locked as long as it lives, so the entry of a process that is gone is never taken for a running one,
however that process ended. The file stays when the daemon ends, and shows what was used last. The registry serves commands
without options: a daemon that cannot write it works all the same.

It must not open a state directory, nor anything that an entry names: that may be on a share that hangs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA: Final = "cutoutd.running/1"

KEPT: Final = 20
"""Greatest number of entries of daemons that have ended."""

_WAITING: Final = "first-run.lock"
_KEY_CHARACTERS: Final = 16
_MAX_BYTES: Final = 1 << 16
_DRAFT: Final = ".new"
_DRAFT_S: Final = 300.0
"""Age from which a draft counts as abandoned; a daemon needs it only for an instant."""
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, kw_only=True, slots=True)
class Invocation:
    """The target of a command or a daemon: a configuration file, or a pair of folders.

    Attributes:
        config: absolute path of the file; None for a pair.
        pair: absolute paths of input and output; None for a configuration.
    """

    config: Path | None = None
    pair: tuple[Path, Path] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredDaemon:
    """A registered daemon.

    Attributes:
        state_dir: its state directory, which no other daemon has.
        origin: its invocation.
        started_us: time of its start, UTC microseconds.
        is_running: whether it runs now.
    """

    state_dir: Path
    origin: Invocation
    started_us: int
    is_running: bool


@contextmanager
def registered(registry: Path, state_dir: Path, origin: Invocation, *, now_us: int) -> Iterator[None]:
    """Keep an entry in the registry. The caller must hold the lock of the state directory.

    A registry that cannot be written only lacks the entry.

    Args:
        registry: directory of the registry, created if it is missing.
        state_dir: absolute path of the daemon's state directory.
        origin: its invocation.
        now_us: UTC microseconds.
    """
    descriptor: int | None = None
    with suppress(OSError):
        make(registry)
        try:
            descriptor = _enter(registry, state_dir, origin, now_us)
        except (
            OSError
        ):  # such as from a daemon that starts at the same moment and briefly holds the lock of the draft
            descriptor = _enter(registry, state_dir, origin, now_us)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def waiting(registry: Path) -> Iterator[None]:
    """Keep a lock in the registry while this process waits for its first configuration, for `is_waiting`.

    A registry that cannot be written only lacks it, as it does if another process waits already.
    """
    descriptor: int | None = None
    with suppress(OSError):
        make(registry)
        with _opened(registry) as directory:
            # Not blocking: a FIFO in its place would wait for a reader for ever.
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(_WAITING, flags, 0o600, dir_fd=directory)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_waiting(registry: Path) -> bool:
    """Whether a process of this user waits for its first configuration."""
    with suppress(OSError), _opened(registry) as directory, _file(directory, _WAITING) as descriptor:
        return _has_holder(descriptor)
    return False


def make(directory: Path) -> None:
    """Create the registry for this user alone, and so its missing parents: the umask may give access to a group.

    Raises:
        OSError: it cannot be created.
    """
    missing = [one for one in (directory, *directory.parents) if not os.path.lexists(one)]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)


def entries(registry: Path) -> list[RegisteredDaemon]:
    """Return all entries, the one that was started last first.

    Links, files of other users, and invalid entries are skipped.

    Args:
        registry: directory of the registry, which may be missing.
    """
    with suppress(OSError), _opened(registry) as directory:
        read = [_read(directory, name) for name in os.listdir(directory) if name.endswith(".json")]  # noqa: PTH208 -- of a descriptor
        return sorted(filter(None, read), key=lambda one: one.started_us, reverse=True)
    return []


@contextmanager
def _opened(registry: Path) -> Iterator[int]:
    """Open the directory, if only this user can write to it.

    Raises:
        OSError: others can write to it, or it cannot be opened.
    """
    directory = os.open(registry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(directory)
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE:
            raise PermissionError("others may write here")
        yield directory
    finally:
        os.close(directory)


def _enter(registry: Path, state_dir: Path, origin: Invocation, now_us: int) -> int:
    """Create an entry that is locked before it gets its name. Returns the descriptor that holds the lock.

    Raises:
        OSError: it cannot be created.
    """
    name = f"{hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:_KEY_CHARACTERS]}.json"
    document = {
        "schema": SCHEMA,
        "state_dir": os.fspath(state_dir),
        "config": None if origin.config is None else os.fspath(origin.config),
        "pair": None if origin.pair is None else [os.fspath(one) for one in origin.pair],
        "started_us": now_us,
        "pid": os.getpid(),
    }
    with _opened(registry) as directory:
        _tidy(directory, but=name)
        draft = f"{name}.{os.getpid()}{_DRAFT}"
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=directory)
        # Not inheritable: a worker must not keep the lock of a daemon that died.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600, dir_fd=directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, json.dumps(document).encode("ascii"))
            os.replace(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            os.close(descriptor)
            with suppress(OSError):
                os.unlink(draft, dir_fd=directory)
            raise
        return descriptor


def _tidy(directory: int, *, but: str) -> None:
    """Remove abandoned drafts, and all but the newest entries of daemons that have ended."""
    ended = []
    for name in os.listdir(directory):
        if name.endswith(_DRAFT) and _is_abandoned(directory, name):
            with suppress(OSError):
                os.unlink(name, dir_fd=directory)
        elif name.endswith(".json") and name != but:
            entry = _read(directory, name)
            if entry is None or not entry.is_running:
                ended.append((0 if entry is None else entry.started_us, name))
    for _, name in sorted(ended, reverse=True)[KEPT - 1 :]:
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)


def _is_abandoned(directory: int, name: str) -> bool:
    """Whether a draft has no owner and is old enough: it is locked a moment after it was created."""
    with suppress(OSError), _file(directory, name) as descriptor:
        age_s = time.time() - os.fstat(descriptor).st_mtime
        return abs(age_s) > _DRAFT_S and not _has_holder(descriptor)
    return True


def _has_holder(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


@contextmanager
def _file(directory: int, name: str) -> Iterator[int]:
    """Open a regular file of this user, without following a link.

    Raises:
        OSError: it is something else, or cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError("no file of this user's")
        yield descriptor
    finally:
        os.close(descriptor)


def _read(directory: int, name: str) -> RegisteredDaemon | None:
    try:
        with _file(directory, name) as descriptor:
            is_running = _has_holder(descriptor)
            return _entry(json.loads(os.read(descriptor, _MAX_BYTES)), is_running=is_running)
    except (OSError, ValueError, RecursionError):
        return None


def _entry(document: object, *, is_running: bool) -> RegisteredDaemon | None:
    """Parse an entry; None if it is invalid."""
    match document:
        case {"schema": str(schema), "state_dir": str(state), "started_us": int(started)} if schema == SCHEMA:
            pass
        case _:
            return None
    match document:
        case {"config": str(config), "pair": None}:
            origin = Invocation(config=Path(config))
        case {"config": None, "pair": [str(watched), str(results)]}:
            origin = Invocation(pair=(Path(watched), Path(results)))
        case _:
            return None
    named = (Path(state), origin.config or Path("/"), *(origin.pair or ()))
    if not all(one.is_absolute() and "\0" not in os.fspath(one) for one in named):
        return None
    return RegisteredDaemon(state_dir=Path(state), origin=origin, started_us=started, is_running=is_running)
