"""The state directory: its owner, and the one process that uses it.

The lock is a kernel lock on a file, so it ends with the process however that ends. The session id in the file distinguishes
the rows of the running session from those of an ended one. The file also has the last session that the journal recorded: a
journal that does not have it is an earlier one that was put back, or another one.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
import uuid
from typing import TYPE_CHECKING, Final, Self

from cutoutd.errors import AlreadyRunningError, JournalError, UsageError
from cutoutd.fs.private_directory import (
    NotPrivateError,
    OpenedNames,
    check_place,
    check_private,
    open_private,
)
from cutoutd.journal.rebuild import put_back_within
from cutoutd.journal.store import FILE_NAME, SQL
from cutoutd.logs import get

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store

_LOCK_FILE = "lock"
_SESSION_CHARACTERS = 32
_SESSION = re.compile(rb"[0-9a-f]{32}")
_LOCK_BYTES = 1024
_RECORDED = 2  # the line with the last session that the journal recorded
_LOCK_ATTEMPTS = 10
_LOCK_PAUSE_S = 0.03

KEPT_SESSIONS: Final = 1000
"""Number of sessions kept. Older ones are forgotten; every start since has removed what they staged."""

_NAMES: Final = OpenedNames(
    files=(
        _LOCK_FILE,
        "status.json",
        "status.new",
        *(f"{FILE_NAME}{end}" for end in ("-journal", ".new", ".new-journal")),
    ),
    directories=("hosted",),
    odd=(FILE_NAME,),  # a path that is not a journal is set aside, and a new one made
)
"""The names that are opened in a state directory."""


def has_run(directory: Path) -> bool:
    """Whether a daemon has run on a state directory so far that it had a journal: a start that is refused has none yet.

    Raises:
        OSError: the lock file cannot be read.
    """
    try:
        descriptor = _open_lock(directory, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return _sessions(descriptor)[1] is not None
    finally:
        os.close(descriptor)


def unreachable(directory: Path) -> UsageError:
    """Return the error for a state directory that this user may not enter."""
    return UsageError(
        "this state directory cannot be entered: permission denied",
        path=directory,
        advice="Run the command as the user the daemon runs as, or set [service] state_dir.",
    )


def check_state(directory: Path) -> None:
    """Refuse a state directory that belongs to another user, or in which others could have put something.

    For one that does not exist yet, the directories above it are checked.

    Raises:
        NotPrivateError: the directory is refused.
        PermissionError: the directory cannot be looked at.
    """
    if os.path.lexists(directory):
        check_private(directory, _NAMES)
    else:
        check_place(directory)


def running(directory: Path) -> str | None:
    """Return the session id of the daemon that uses the state directory now; None if none does."""
    try:
        descriptor = _open_lock(directory, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, _SESSION_CHARACTERS, 0).decode("ascii", "replace")
    finally:
        os.close(descriptor)
    return None


def _open_lock(directory: Path, flags: int) -> int:
    """Open the lock file, which must be a regular file; a FIFO of that name does not block.

    Raises:
        NotPrivateError: it is not a regular file.
        OSError: it cannot be opened.
    """
    path = directory / _LOCK_FILE
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotPrivateError("this is not a regular file", path=path, advice="Move it away.")
    return descriptor


def _sessions(lock: int) -> tuple[str | None, str | None]:
    """Return the last session, and the last one that the journal recorded."""
    lines = os.pread(lock, _LOCK_BYTES, 0).split(b"\n")
    previous = lines[0].decode() if _SESSION.fullmatch(lines[0]) else None
    if len(lines) <= _RECORDED + 1:  # what follows the last line is empty; earlier versions write two lines
        return previous, previous
    # A start that fails before the journal is open records nothing.
    return previous, lines[_RECORDED].decode() if _SESSION.fullmatch(lines[_RECORDED]) else None


def _refusal(directory: Path, error: OSError) -> JournalError:
    return JournalError(f"the state directory cannot be used: {error.strerror}", path=directory)


class StateDirectory:
    """The state directory, locked by this process for as long as the object is open.

    Attributes:
        path: path of the directory.
        session: id of this session of the daemon, 32 hex digits.
        previous_session: id of the last session before it, which has ended; None at the first start.
        recorded_session: id of the last session that the journal recorded; None at the first start.

    Raises:
        AlreadyRunningError: another process has the lock.
        NotPrivateError: the directory belongs to another user, or others could put something in it.
        JournalError: the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = uuid.uuid4().hex
        try:
            directory, was_open = open_private(path, _NAMES)
            os.close(directory)
            if was_open:
                get().info("state.closed-to-others", state_dir=str(path))
            # Not inheritable: a worker must not keep the lock of a supervisor that died.
            self._descriptor = _open_lock(path, os.O_RDWR | os.O_CREAT)
        except PermissionError as error:
            raise unreachable(path) from error
        except OSError as error:
            raise _refusal(path, error) from error
        self._lock()
        try:
            self.previous_session, self.recorded_session = _sessions(self._descriptor)
            self._write()
        except OSError as error:
            os.close(self._descriptor)
            raise _refusal(path, error) from error

    @property
    def lock(self) -> Path:
        """The locked file: without its name, another process could lock the directory as well."""
        return self.path / _LOCK_FILE

    def note_recorded(self) -> None:
        """Write into the lock file that the journal has recorded this session.

        Raises:
            JournalError: the disk refuses.
        """
        self.recorded_session = self.session
        try:
            self._write()
        except OSError as error:
            raise _refusal(self.path, error) from error

    def _write(self) -> None:
        lines = (self.session, str(os.getpid()), self.recorded_session or "")
        text = "".join(f"{line}\n" for line in lines).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def _lock(self) -> None:
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # `running` locks it for an instant.
                if attempt < _LOCK_ATTEMPTS - 1:
                    time.sleep(_LOCK_PAUSE_S)
            else:
                return
        os.close(self._descriptor)
        raise AlreadyRunningError(
            f"another cutoutd is working on these folders already; its journal is in {self.path}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


class DaemonSessions:
    """The sessions of the daemon on this state directory, by which leftovers of ended ones are recognised.

    A share may also have staging directories of another machine's running daemon: only a session that is in this journal and
    is not the current one has ended.
    """

    def __init__(self, store: Store, clock: Clock, session: str) -> None:
        self._store = store
        self._clock = clock
        self._session = session

    def begin(self, previous: str | None = None, recorded: str | None = None) -> frozenset[str]:
        """Record this session; returns the ended ones.

        Args:
            previous: the session before this one, which the state directory knows even if the journal was lost.
            recorded: the last session that the journal recorded, as the state directory knows it. If this journal does not have it,
                each of its folders has to adopt the results that only the other journal knew.
        """
        is_other = recorded is not None and self._store.row(SQL.session, session=recorded) is None
        with self._store.transaction():
            if is_other:
                put_back_within(self._store, self._clock.now_us())
            for session in (previous, self._session):
                if session is not None:
                    self._store.write(SQL.begin_session, session=session, now_us=self._clock.now_us())
            self._store.write(SQL.forget_sessions, kept=KEPT_SESSIONS, session=self._session)
        rows = self._store.rows(SQL.other_sessions, session=self._session)
        return frozenset(row["id"] for row in rows)

    def is_dead(self, session: str) -> bool:
        """Whether a session was an earlier one on this state directory, which only one process can use at a time."""
        return session != self._session and self._store.row(SQL.session, session=session) is not None
