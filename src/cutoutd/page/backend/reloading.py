"""Apply a changed configuration: methods use it, browsers get an event, and the daemon reloads it.

The daemon may be another process's child, or a service: it is asked by a command in the journal, and answers there. Whoever
changes the file by hand is heard as well. It must not change the file.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cutoutd import logs
from cutoutd.errors import CutoutdError
from cutoutd.faults.isolation import Guard
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.state import running
from cutoutd.journal.store import FILE_NAME, Store
from cutoutd.page.backend.configuration import read
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from cutoutd.page.backend.configuration import ReadConfiguration
    from cutoutd.page.backend.method import Backend

ANSWER_S: Final = 3.0
"""How long a browser waits for the daemon's answer, which comes within a second unless changes follow fast."""

_LOOK_S: Final = 0.05
_CHANGES_S: Final = 2.0
"""Between two looks at the file's name, size and time."""


class _ConfigurationLock:
    """The lock that is held while the configuration changes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def lock_of(backend: Backend) -> threading.Lock:
    """Return the lock that is held while the configuration changes."""
    return backend.shared.get(_ConfigurationLock, _ConfigurationLock).lock


def apply_configuration(backend: Backend, seen: ReadConfiguration) -> dict[str, Any]:
    """Have the daemon reload a configuration that was just written.

    Returns:
        ``taken_over``: ``now``, ``soon`` (the daemon is busy), ``refused`` (with ``why``, also where it could not be asked; it goes on with the earlier one),
        or ``at_start``, since no daemon runs.
    """
    backend.settings = seen.settings
    backend.tell("settings", {})
    state_dir = seen.settings.service.state_dir
    try:
        if running(state_dir) is None:
            return {"taken_over": "at_start"}
        with closing(Store(state_dir / FILE_NAME)) as store:
            commands = Commands(store, backend.clock)
            why = _answer(commands, commands.post(Verb.RELOAD))
    except (CutoutdError, OSError) as error:
        # Nobody asks again by itself: it must not be said that it happens soon.
        logs.get().warning("page.reload-not-asked", why=str(error))
        return {"taken_over": "refused", "why": str(error)}
    if why is None:
        return {"taken_over": "soon"}
    return {"taken_over": "refused", "why": why} if why else {"taken_over": "now"}


def follow(backend: Backend) -> None:
    """Start the thread that reloads the backend's settings when the file changes, while a browser is connected."""
    if backend.config is not None:
        threading.Thread(target=_follow, args=(backend,), name="page-configuration", daemon=True).start()


def _answer(commands: Commands, request: int) -> str | None:
    end_s = time.monotonic() + ANSWER_S
    while (why := commands.answer(request)) is None and time.monotonic() < end_s:
        time.sleep(_LOOK_S)
    return why


def _follow(backend: Backend) -> None:
    guard = Guard(logs.get(), backend.clock)
    known: tuple[int, ...] | None = None  # it may have changed since this process has read it
    while True:
        backend.watched.wait()  # an idle page wakes nobody up
        now = _state(backend)
        is_new = now is not None and now != known
        if is_new and guard.run("the changed configuration", partial(_read_again, backend), default=False):
            known = now
        time.sleep(_CHANGES_S)


def _read_again(backend: Backend) -> bool:
    """Read the configuration again; a wrong one is passed over. Returns that this is done."""
    assert backend.config is not None  # noqa: S101 -- `follow` saw to it
    with suppress(RefusedError), lock_of(backend):
        settings = read(backend.config, os.environ).settings
        if settings != backend.settings:
            backend.settings = settings
            backend.tell("settings", {})
    return True


def _state(backend: Backend) -> tuple[int, ...] | None:
    assert backend.config is not None  # noqa: S101 -- as above
    try:
        status = backend.config.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
