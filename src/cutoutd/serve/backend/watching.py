"""Sends state changes of jobs to the web process: watched jobs are looked up when the journal has changed.

Jobs that a request waits for are looked at each time; those that were only handed in, some at a time, so that ten thousand
of them cost no more than a few.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.errors import CutoutdError, StorageError
from cutoutd.journal.listing import Listing
from cutoutd.journal.submissions import Submissions
from cutoutd.serve.backend.jobs import described, of, submission_key
from cutoutd.serve.backend.state import allowed
from cutoutd.webserver.backend import journal
from cutoutd.webserver.backend.method import RefusedError, Reply
from cutoutd.webserver.backend.parameters import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.journal.store import Store
    from cutoutd.serve.backend.state import Method, ServeBackend
    from cutoutd.webserver.backend.method import Parameters

SOON_S: Final = 0.02
"""Between two looks while a request waits."""

LATER_S: Final = 0.25
AT_ONCE: Final = 50
"""Jobs that nobody waits for are looked at, at a time."""

MOST: Final = 20_000
WAITED_S: Final = 330.0
"""So long a job counts as waited for, after it was asked about."""


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
    """All watched jobs, least recently looked up first."""

    def __init__(self, backend: ServeBackend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._watched: OrderedDict[str, JobWatch] = OrderedDict()
        self._is_any = threading.Event()
        self._version = -1
        self._store: Store | None = None
        self._is_round_due = False

    def add(self, key: str, number: str, *, waits: bool = False) -> None:
        """Watch a job until it is over."""
        with self._lock:
            watch = self._watched.setdefault(number, JobWatch(key=key))
            if waits:
                watch.waited_s = self._backend.clock.monotonic_s() + WAITED_S
                self._watched.move_to_end(number, last=False)
            while len(self._watched) > MOST:
                self._watched.popitem(last=False)
            self._version = -1
        self._is_any.set()

    def wait_for_any(self) -> float:
        """Wait until there is a watched job; return the seconds until the next lookup."""
        self._is_any.wait()
        now_s = self._backend.clock.monotonic_s()
        with self._lock:
            is_waited = any(one.waited_s > now_s for one in self._watched.values())
        return SOON_S if is_waited else LATER_S

    def look(self) -> None:
        """Send the changes.

        Raises:
            CutoutdError: the journal cannot be read.
            RefusedError: likewise.
        """
        with journal.journal(self._backend) as store:
            if store is None:
                return
            version = store.data_version()
            with self._lock:
                is_same = store is self._store and version == self._version
                self._store, self._version = store, version
                numbers = self._due(everything=not is_same)
            for number, watch in numbers:
                self._look_at(store, number, watch)

    def _due(self, *, everything: bool) -> list[tuple[str, JobWatch]]:
        """Return the jobs to look up now: those with waiting requests if the journal has changed, and some of the others."""
        now_s = self._backend.clock.monotonic_s()
        waited = [(number, one) for number, one in self._watched.items() if one.waited_s > now_s]
        others: list[tuple[str, JobWatch]] = []
        if everything or self._is_round_due:
            rest = (one for one in self._watched.items() if one[1].waited_s <= now_s)
            others = [one for _, one in zip(range(AT_ONCE), rest, strict=False)]
            for number, _ in others:
                self._watched.move_to_end(number)
            self._is_round_due = len(others) == AT_ONCE
        return [*(waited if everything else []), *others]

    def _look_at(self, store: Store, number: str, watch: JobWatch) -> None:
        submission = Submissions(store, self._backend.clock).find(submission_key(watch.key, number))
        if submission is None:  # not handed in yet, or forgotten
            if watch.state:
                self._forget(number)
            return
        listing = Listing(store)
        job = None if submission.job is None else next(iter(listing.jobs([submission.job])), None)
        outputs = [] if job is None else listing.outputs([job.id]).get(job.id, [])
        data = of(number, submission, job, outputs)
        if data["state"] != watch.state:
            watch.state = str(data["state"])
            told = {"key": watch.key, "job": data, "revoked": not self._is_good(watch.key)}
            self._backend.tell("job", told)
        if data["over"]:
            self._forget(number)

    def _is_good(self, key: str) -> bool:
        """Whether a key is valid; events are withheld from a key that cannot be looked up."""
        try:
            return any(one.id == key for one in self._backend.keys.all())
        except StorageError:
            return False

    def _forget(self, number: str) -> None:
        with self._lock:
            self._watched.pop(number, None)
            if not self._watched:
                self._is_any.clear()


def watches(backend: ServeBackend) -> Watches:
    """Return the watched jobs of a backend."""
    kept: Watches = backend.parts["watches"]
    return kept


def start(backend: ServeBackend) -> None:
    """Start the thread that watches jobs."""
    threading.Thread(target=_run, args=(backend,), name="serve-watching", daemon=True).start()


def _run(backend: ServeBackend) -> None:
    told = ""
    while True:
        pause_s = watches(backend).wait_for_any()
        try:
            watches(backend).look()
            told = ""
        except (CutoutdError, RefusedError) as error:
            # Programs are told by the answers to what they ask; a journal that stays away is one line in the log.
            if str(error) != told:
                told = str(error)
                logs.get().warning("serve.no_news", why=told)
        time.sleep(pause_s)


def _watch(backend: ServeBackend, params: Parameters) -> Reply:
    """``job`` -> what became of it until now; what becomes of it is told by events ``job``."""
    key = allowed(backend, params)
    number = text(params, "job", longest=32)
    watches(backend).add(key.id, number, waits=True)
    return Reply(data=described(backend, key, number))


METHODS: Final[Mapping[str, Method]] = {"watch": _watch}
