"""The overview: folders, waiting and finished pictures, speed, and the throughput of the last hour by minute."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import rfc3339
from cutoutd.daemon import status_file
from cutoutd.failure import to_valid_utf8
from cutoutd.jobs import JobState
from cutoutd.journal.commands import Commands
from cutoutd.journal.listing import Listing
from cutoutd.journal.reader import Reader
from cutoutd.journal.rebuild import rebuilt
from cutoutd.journal.state import running
from cutoutd.overview.overview import PACE_OF, RATE_WINDOW_S, midnight_us, per_minute, room_of
from cutoutd.page.backend.counts import counts
from cutoutd.page.backend.folder_condition import condition_of
from cutoutd.page.backend.job_view import FILTERS, is_meant
from cutoutd.page.backend.method import read
from cutoutd.webserver.backend.journal import journal
from cutoutd.webserver.backend.method import Reply
from cutoutd.webserver.backend.parameters import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cutoutd.journal.listing import JobGroup
    from cutoutd.journal.store import Store
    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.settings.schema import Folder, Settings
    from cutoutd.webserver.backend.method import Parameters

MINUTES: Final = 60
_MINUTE_US: Final = 60_000_000
_ROOM_EVERY_S: Final = 20.0


class Room:
    """Free space of the outputs, polled by a separate process, since any of them may hang."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Mapping[str, int | None] = {}
        self._due_s = 0.0
        self._is_measuring = False

    def of(self, places: tuple[str, ...], now_s: float) -> Mapping[str, int | None]:
        """Return the known values; start a new poll if they are old."""
        with self._lock:
            is_due = not self._is_measuring and (
                now_s >= self._due_s or not set(places) <= self._known.keys()
            )
            self._is_measuring = self._is_measuring or is_due
            known = self._known
        if is_due:
            self._begin(places, now_s)
        return known

    def _begin(self, places: tuple[str, ...], now_s: float) -> None:
        thread = threading.Thread(target=self._measure, args=(places, now_s), name="page-room", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: it is tried again with the next overview
            with self._lock:
                self._is_measuring = False

    def _measure(self, places: tuple[str, ...], now_s: float) -> None:
        found: Mapping[str, int | None] = {}
        try:
            found = room_of(places)
        finally:
            with self._lock:
                self._known = dict.fromkeys(places) | dict(found)
                self._due_s, self._is_measuring = now_s + _ROOM_EVERY_S, False


class DaemonStatus:
    """The status file of the running daemon, read again when it has changed."""

    def __init__(self) -> None:
        self._seen: tuple[str, int, int] | None = None
        self._said: dict[str, Any] = {}

    def of(self, state_dir: Path) -> tuple[bool, Mapping[str, Any]]:
        """Return whether a daemon runs, and its status."""
        session = _session_in(state_dir)
        if session is None:
            return False, {}
        try:
            status = (state_dir / status_file.FILE_NAME).stat()
        except OSError:
            return True, {}
        seen = (session, status.st_mtime_ns, status.st_ino)
        if seen != self._seen:
            said = status_file.read(state_dir)
            # One that has just begun has not said anything yet: the file is that of the daemon before it.
            self._seen, self._said = seen, said if said.get("run") == session else {}
        return True, self._said


def daemon_status(backend: Backend) -> tuple[bool, Mapping[str, Any]]:
    """Return whether a daemon runs on the state directory, and its status."""
    if backend.settings is None:
        return False, {}
    return backend.shared.get(DaemonStatus, DaemonStatus).of(backend.settings.service.state_dir)


def overview_data(backend: Backend, status: tuple[bool, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """Return the data of the method and event `overview`.

    Args:
        backend: the backend.
        status: the daemon's, as from `daemon_status`; None: it is read.

    Raises:
        RefusedError: 503; the journal cannot be read.
    """
    settings, now_us = backend.settings, backend.clock.now_us()
    is_running, live = daemon_status(backend) if status is None else status
    if settings is None:
        return _nothing(now_us)
    room = backend.shared.get(Room, Room)
    free = room.of(tuple(os.fspath(one.output) for one in settings.folder), backend.clock.monotonic_s())
    said = live.get("folders", {})
    with journal(backend) as store:
        kinds = counts(backend, store) if store is not None else {}
        note = rebuilt(store) if store is not None else None
        return {
            "at": rfc3339(now_us),
            "running": is_running,
            "paused": store is not None and Commands(store, backend.clock).is_paused(),
            "configured": bool(settings.folder),
            "state_dir": str(settings.service.state_dir),
            "rebuilt": None
            if note is None
            else {"at": rfc3339(note.at_us), "set_aside": note.aside, "why": note.cause},
            "refused_configuration": str(live.get("refused_configuration") or ""),
            "workers": live.get("workers"),
            "folders": [
                {
                    **_folder_state(one, settings, said.get(one.name), running=is_running),
                    "free_bytes": free.get(os.fspath(one.output)),
                    **_count(one.name, kinds),
                    **_pace(one.name, store, kinds, now_us),
                }
                for one in settings.folder
            ],
        }


def _nothing(now_us: int) -> dict[str, Any]:
    return {
        "at": rfc3339(now_us),
        "running": False,
        "paused": False,
        "configured": False,
        "state_dir": "",
        "rebuilt": None,
        "refused_configuration": "",
        "workers": None,
        "folders": [],
    }


def _folder_state(
    folder: Folder, settings: Settings, said: Mapping[str, Any] | None, *, running: bool
) -> dict[str, Any]:
    """Return the state of a folder from the configuration and the running daemon."""
    found = condition_of(said, running=running)
    live = said or {}
    return {
        "name": folder.name,
        "input": os.fspath(folder.input),
        "output": os.fspath(folder.output),
        "tagged": folder in (*settings.tagged, *settings.clustered),
        "watching": found.watching,
        "trouble": found.trouble,
        "why": found.why,
        "advice": found.advice,
        "note": live.get("note", ""),
        "settling": live.get("settling", 0),
        "unreadable": live.get("unreadable", 0),
        "held_up": live.get("held_up", []),
    }


def _count(folder: str, kinds: Mapping[JobGroup, int]) -> dict[str, int]:
    own = {kind: number for kind, number in kinds.items() if kind.folder == folder}
    return {
        word: sum(number for kind, number in own.items() if is_meant(word, kind.state, kind.mark))
        for word in FILTERS
    }


def _pace(folder: str, store: Store | None, kinds: Mapping[JobGroup, int], now_us: int) -> dict[str, Any]:
    """Return the number cut today, the rate, and the remaining time at that rate."""
    if store is None:
        return {"done_today": 0, "per_minute": 0.0, "eta_s": None}
    reader = Reader(store)
    rate = per_minute(reader.work_since(folder, now_us - RATE_WINDOW_S * 1_000_000, PACE_OF))
    ahead = (JobState.QUEUED, JobState.WORKING, JobState.PUBLISHING, JobState.UPLOADING)
    left = sum(kinds.get(one, 0) for one in kinds if one.folder == folder and one.state in ahead)
    return {
        "done_today": reader.done_since(folder, midnight_us(now_us)),
        "per_minute": round(rate, 2),
        "eta_s": round(60 * left / rate) if left and rate else None,
    }


def overview(backend: Backend, _: Parameters) -> Reply:
    """Return the overview."""
    return Reply(data=overview_data(backend))


def throughput(backend: Backend, params: Parameters) -> Reply:
    """Return the numbers of cut and failed pictures in each of the last 60 minutes, the oldest first."""
    asked = to_valid_utf8(text(params, "folder", ""))
    since_us = backend.clock.now_us() - MINUTES * _MINUTE_US
    done, failed = [0] * MINUTES, [0] * MINUTES
    with journal(backend) as store:
        if store is not None:
            names = {asked} if asked else {kind.folder for kind in counts(backend, store)}
            listing = Listing(store)
            for name in names:
                _add(done, listing.minutes(name, since_us, failed=False).items())
                _add(failed, listing.minutes(name, since_us, failed=True).items())
    return Reply(data={"minutes": done, "failed": failed})


def _add(sums: list[int], found: Iterable[tuple[int, int]]) -> None:
    for minute, number in found:
        sums[min(minute, MINUTES - 1)] += number  # a clock that was put back


def _session_in(state_dir: Path) -> str | None:
    try:
        return running(state_dir)
    except OSError:
        return None


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "overview": read(overview),
    "throughput": read(throughput, "folder"),
}
