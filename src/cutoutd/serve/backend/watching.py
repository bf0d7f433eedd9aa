"""Sends state changes of jobs to the web process: watched jobs are looked up when the journal has changed.

Jobs that a request waits for are looked up each time; those that were only handed in, some at a time. One statement finds the
states of all that are due, and only jobs whose state has changed are read whole. The longer a lookup takes, the longer is the
pause after it, so that ten thousand watched jobs take no more of a core than a few.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.errors import CutoutdError, StorageError
from cutoutd.faults.isolation import Guard
from cutoutd.journal.listing import Listing
from cutoutd.journal.state import running
from cutoutd.journal.submissions import Submissions
from cutoutd.serve.backend.jobs import described, of, state_of, submission_key
from cutoutd.serve.backend.state import allowed, trouble_in
from cutoutd.webserver.backend import journal
from cutoutd.webserver.backend.method import RefusedError, Reply
from cutoutd.webserver.backend.parameters import text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cutoutd.journal.store import Store
    from cutoutd.serve.backend.state import Method, ServeBackend
    from cutoutd.webserver.backend.method import Parameters

SOON_S: Final = 0.02
"""Between two lookups while a request waits."""

LATER_S: Final = 0.25
AT_ONCE: Final = 200
"""Jobs that nobody waits for are looked up, at a time."""

SHARE: Final = 0.1
"""Of a core, for lookups."""

MOST: Final = 20_000
WAITED_S: Final = 330.0
"""So long a job counts as waited for, after it was asked about."""


_EXPECTED: Final = (CutoutdError, RefusedError, OSError)
"""Of a journal that cannot be read."""


@dataclass(kw_only=True, slots=True)
class JobWatch:
    """A watched job.

    Attributes:
        key: id of its key.
        state: state that was sent last.
        waited_s: end of the longest waiting request, by the monotonic clock.
    """

    key: str
    state: str = ""
    waited_s: float = 0.0


class Watches:
    """All watched jobs."""

    def __init__(self, backend: ServeBackend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._waited: dict[str, JobWatch] = {}
        self._others: OrderedDict[str, JobWatch] = OrderedDict()  # least recently looked up first
        self._is_any = threading.Event()
        self._is_waited = threading.Event()
        self._version = -1
        self._version_due_s = 0.0
        self._seen: tuple[int, int] | None = None
        self._store: Store | None = None
        self._is_round_due = False

    def add(self, key: str, number: str, *, waits: bool = False) -> None:
        """Watch a job until it is over."""
        with self._lock:
            watch = self._waited.get(number) or self._others.get(number) or JobWatch(key=key)
            if waits:
                self._others.pop(number, None)
                watch.waited_s = self._backend.clock.monotonic_s() + WAITED_S
                self._waited[number] = watch
                self._is_waited.set()
            elif number not in self._waited:
                self._others[number] = watch
            while len(self._waited) + len(self._others) > MOST:
                if self._others:
                    self._others.popitem(last=False)
                else:
                    del self._waited[next(iter(self._waited))]
            self._version = -1
        self._is_any.set()

    def wait(self, cost_s: float) -> None:
        """Wait until the next lookup is due.

        Args:
            cost_s: CPU time of the last one, in seconds.
        """
        self._is_any.wait()
        pause_s = cost_s / SHARE
        if not self._is_waited.is_set():
            self._is_waited.wait(max(0.0, LATER_S - SOON_S - pause_s))
        time.sleep(max(SOON_S, pause_s))

    def poll(self) -> None:
        """Send the changes.

        Raises:
            CutoutdError: the journal cannot be read.
            RefusedError: likewise.
        """
        with journal.journal(self._backend) as store:
            if store is None:
                return
            if not self._may_have_changed(store):
                return
            version = store.data_version()
            with self._lock:
                is_same = store is self._store and version == self._version
                self._store, self._version = store, version
                due = self._due(everything=not is_same)
            if due:
                self._look_up(store, due)

    def _may_have_changed(self, store: Store) -> bool:
        """Whether the journal's version is to be read.

        Each commit changes the time of the file, which takes a tenth of the time to read. But two commits in one tick of the
        system's clock have the same, so the version is read now and then in any case.
        """
        now_s, seen = self._backend.clock.monotonic_s(), _change_of(store)
        with self._lock:
            is_asked = store is not self._store or self._version < 0 or self._is_round_due
        if not is_asked and seen == self._seen and now_s < self._version_due_s:
            return False
        self._seen, self._version_due_s = seen, now_s + LATER_S
        return True

    def _due(self, *, everything: bool) -> dict[str, JobWatch]:
        """Return the jobs to look up now: those with waiting requests if the journal has changed, and some of the others."""
        now_s = self._backend.clock.monotonic_s()
        for number in [number for number, one in self._waited.items() if one.waited_s <= now_s]:
            self._others[number] = self._waited.pop(number)
        if not self._waited:
            self._is_waited.clear()
        due = dict(self._waited) if everything else {}
        if everything or self._is_round_due:
            some = [one for one, _ in zip(self._others, range(AT_ONCE), strict=False)]
            for number in some:
                self._others.move_to_end(number)
                due[number] = self._others[number]
            self._is_round_due = len(some) == AT_ONCE
        return due

    def _look_up(self, store: Store, due: Mapping[str, JobWatch]) -> None:
        submissions = Submissions(store, self._backend.clock)
        keys = {number: submission_key(watch.key, number) for number, watch in due.items()}
        found = submissions.states(keys.values())
        changed: dict[str, JobWatch] = {}
        for number, watch in due.items():
            state = found.get(keys[number])
            if state is None:  # not handed in yet, or forgotten
                if watch.state:
                    self._forget(number)
            elif state_of(state.job, is_refused=state.is_refused) != watch.state:
                changed[number] = watch
        if changed:
            self._send(store, {number: keys[number] for number in changed}, changed)

    def _send(self, store: Store, keys: Mapping[str, str], changed: Mapping[str, JobWatch]) -> None:
        """Send what has become of some jobs.

        Args:
            store: the journal.
            keys: keys of their submissions, by their numbers.
            changed: the jobs, by their numbers.
        """
        found = Submissions(store, self._backend.clock).of_keys(keys.values())
        listing = Listing(store)
        rows = {
            one.id: one for one in listing.jobs([one.job for one in found.values() if one.job is not None])
        }
        outputs = listing.outputs(rows)
        valid, is_running = self._valid_keys(), running(self._backend.state_dir) is not None
        troubles = {
            folder: trouble_in(self._backend, folder) for folder in {one.folder for one in found.values()}
        }
        for number, watch in changed.items():
            if (submission := found.get(keys[number])) is None:
                continue
            job = None if submission.job is None else rows.get(submission.job)
            data = of(number, submission, job, [] if job is None else outputs.get(job.id, []))
            if data["state"] != watch.state:
                watch.state = str(data["state"])
                trouble = "" if data["over"] else troubles[submission.folder]
                event = {"key": watch.key, "job": {**data, "running": is_running, "trouble": trouble}}
                self._backend.tell("job", {**event, "revoked": watch.key not in valid})
            if data["over"]:
                self._forget(number)

    def _valid_keys(self) -> Collection[str]:
        """Return the ids of the valid keys; none if they cannot be read, since events are withheld from a key then."""
        try:
            return {one.id for one in self._backend.keys.all()}
        except (StorageError, OSError):
            return ()

    def _forget(self, number: str) -> None:
        with self._lock:
            self._waited.pop(number, None)
            self._others.pop(number, None)
            if not self._waited:
                self._is_waited.clear()
                if not self._others:
                    self._is_any.clear()


def _change_of(store: Store) -> tuple[int, int] | None:
    """Return time and size of the journal's file; None: it cannot be looked at."""
    try:
        status = None if store.path is None else store.path.lstat()
    except OSError:
        return None  # reading it says why
    return None if status is None else (status.st_mtime_ns, status.st_size)


def watches(backend: ServeBackend) -> Watches:
    """Return the watched jobs of a backend."""
    return backend.shared.get(Watches, partial(Watches, backend))


def start(backend: ServeBackend) -> None:
    """Start the thread that watches jobs."""
    threading.Thread(target=_run, args=(backend,), name="serve-watching", daemon=True).start()


def _run(backend: ServeBackend) -> None:
    last_error, cost_s = "", 0.0
    guard = Guard(logs.get(), backend.clock)
    while True:
        watches(backend).wait(cost_s)
        started_s = time.thread_time()
        try:
            guard.run("news of jobs", watches(backend).poll, None, passes=_EXPECTED)
            last_error = ""
        except _EXPECTED as error:
            # Programs are told by the answers to what they ask; a journal that stays away is one line in the log.
            if str(error) != last_error:
                last_error = str(error)
                logs.get().warning("serve.no_news", why=last_error)
        cost_s = time.thread_time() - started_s


def _watch(backend: ServeBackend, params: Parameters) -> Reply:
    """``job`` -> what became of it until now; what becomes of it is told by events ``job``."""
    key = allowed(backend, params)
    number = text(params, "job", longest=32)
    watches(backend).add(key.id, number, waits=True)
    return Reply(data=described(backend, key, number))


METHODS: Final[Mapping[str, Method]] = {"watch": _watch}
