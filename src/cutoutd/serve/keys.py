"""API keys: each is bound to one hot folder, a rate and a size. Only the SHA-256 of a key is stored.

    serve/keys.json    in the state directory, this user's alone

It must not keep or log a key itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errnos import OUT_OF_RESOURCES
from cutoutd.errors import StorageError, UsageError
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.private_directory import OpenedNames, open_private, read_small
from cutoutd.sha256 import is_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX: Final = "cutoutd_"
"""Of each key: whoever finds one in a file sees what it is for."""

DEFAULT_PER_MINUTE: Final = 600
MAX_PER_MINUTE: Final = 60_000
MOST: Final = 1000
MAX_NAME: Final = 64

DIRECTORY: Final = "serve"
_FILE: Final = "keys.json"
_LOCK: Final = "keys.lock"
NAMES: Final = OpenedNames(
    files=("lock", "address", "address.new", _FILE, _LOCK, "keys.new"), directories=("uploads",)
)
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """The permissions of a key.

    Attributes:
        id: id in the journal; never reused.
        name: name for people.
        folder: name of the hot folder that its pictures go to.
        sha256: SHA-256 of the key, hex.
        per_minute: uploads per minute.
        max_mb: largest picture, MiB; 0: the limit of [serve].
        made_us: creation time, UTC microseconds.
    """

    id: str
    name: str
    folder: str
    sha256: str
    per_minute: int
    max_mb: int
    made_us: int


def digest(key: str) -> str:
    """Return the SHA-256 of a key, which is stored in its place."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class KeyFile:
    """The keys of a state directory; a change by another process is seen at the next access.

    Args:
        state_dir: of the daemon, which need not run.
    """

    def __init__(self, state_dir: Path) -> None:
        self._place = state_dir / DIRECTORY
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._known: dict[str, ApiKey] = {}

    def all(self) -> list[ApiKey]:
        """Return all keys, the oldest first.

        Raises:
            StorageError: they cannot be read.
        """
        with self._lock:
            self._look()
            return sorted(self._known.values(), key=lambda one: one.made_us)

    def find(self, sha256: str) -> ApiKey | None:
        """Return the key with a SHA-256; None where it is unknown or revoked. The time taken reveals nothing of the key.

        Raises:
            StorageError: they cannot be read.
            OSError: too many files are open.
        """
        with self._lock:
            self._look()
            return self._known.get(sha256)

    def add(self, name: str, folder: str, *, per_minute: int, max_mb: int, now_us: int) -> tuple[ApiKey, str]:
        """Create a key.

        Returns:
            Permissions, and the key itself, which cannot be read again.

        Raises:
            UsageError: the name is taken or impossible, or there are too many.
            NotPrivateError: the directory is not safe from others.
            StorageError: the disk refuses.
        """
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise UsageError(f"a key's name has 1 to {MAX_NAME} printable characters")
        secret = PREFIX + secrets.token_urlsafe(32)
        made = ApiKey(
            id=secrets.token_hex(6),
            name=name,
            folder=folder,
            sha256=digest(secret),
            per_minute=per_minute,
            max_mb=max_mb,
            made_us=now_us,
        )
        with self._changing() as known:
            if any(one.name == name for one in known):
                raise UsageError(
                    f"there is a key named {name!r} already",
                    advice="Give it another name, or revoke that one first.",
                )
            if len(known) >= MOST:
                raise UsageError(f"there are {MOST} keys already", advice="Revoke some of them.")
            known.append(made)
        return made, secret

    def revoke(self, name: str) -> bool:
        """Revoke a key, from its next request on; return whether a key had this name.

        Raises:
            NotPrivateError: the directory is not safe from others.
            StorageError: the disk refuses.
        """
        with self._changing() as known:
            rest = [one for one in known if one.name != name]
            was_there = len(rest) < len(known)
            known[:] = rest
        return was_there

    @contextmanager
    def _changing(self) -> Iterator[list[ApiKey]]:
        """Yield the keys to change in place; written at the end, under a lock between processes."""
        try:
            home, _ = open_private(self._place, NAMES)
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                lock = os.open(_LOCK, flags, 0o600, dir_fd=home)
            finally:
                os.close(home)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                known = self.all()
                yield known
                text = json.dumps({"keys": [asdict(one) for one in known]}, indent=1)
                atomic_write(self._place / _FILE, [text.encode()], synced=True)
            finally:
                os.close(lock)
        except OSError as error:
            raise _refused(self._place, error) from error

    def _look(self) -> None:
        """Read the file if it has changed."""
        path = self._place / _FILE
        try:
            status = path.lstat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                self._known = {one.sha256: one for one in _parsed(read_small(path, _MAX_BYTES))}
                self._seen = seen
        except FileNotFoundError:
            self._seen, self._known = None, {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            self._seen, self._known = None, {}  # whoever cannot be known is not let in
            if isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES:
                raise
            raise _refused(path, error) from error


def _parsed(text: bytes) -> Iterator[ApiKey]:
    for one in json.loads(text)["keys"]:
        yield ApiKey(
            **{name: _of(one, name, str) for name in ("id", "name", "folder", "sha256")},
            **{name: _of(one, name, int) for name in ("per_minute", "max_mb", "made_us")},
        )


def _of(one: dict[str, Any], name: str, kind: type) -> Any:  # noqa: ANN401 -- one of two
    value = one[name]
    if type(value) is not kind or (name == "sha256" and not is_sha256(value)):
        raise ValueError(f"{name} has the wrong type or length")
    return value


def _refused(path: Path, error: Exception) -> StorageError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return StorageError(
        f"the keys cannot be read or written: {why}",
        path=path,
        advice="Run the command as the user the daemon runs as.",
    )
