"""Tells the service manager how the daemon is: ready, its queue and rate, alive, still ending.

The watchdog is fed from the main loop, after a whole turn, and so only while three things hold:

- The journal responds. Each turn reads it; a disk that hangs, or a thread that keeps the journal's lock, delays the turn. A
  journal that *refuses*, on a full disk, is not a reason to stop feeding: the work waits for the disk, and a restart would meet
  the same disk.
- The dispatcher starts jobs: it is part of the turn.
- Every folder is looked at when that is due. A look in progress may hang on a share: then that folder stands by, and a restart
  would not help. But a monitor that is not looking, and has not been for longer than any pause, has failed.

This module must not touch folders or the journal.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import CUT, JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cutoutd.clock import Clock
    from cutoutd.folder.hot_folder import HotFolder
    from cutoutd.folder.status import FolderStatus
    from cutoutd.process.sd_notify import ServiceManager

OVERSLEPT_S: Final = 90.0
"""How long a monitor may go without looking; its longest pause is a minute."""

STATUS_EVERY_S: Final = 2.0
RATE_WINDOW_S: Final = 60.0

EXTEND_EVERY_S: Final = 1.0
EXTEND_S: Final = 10.0
"""Each extension grants an orderly end this much more time; an end that hangs is killed after it."""


class Heartbeat:
    """The daemon's reports to the service manager.

    Args:
        manager: the connection to the service manager.
        clock: clock for monotonic times.
    """

    def __init__(self, manager: ServiceManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock
        self._is_up = False
        self._is_stopping = False
        self._next_feed_s = 0.0
        self._next_extension_s = 0.0
        self._next_status_s = 0.0
        self._ends_s: deque[float] = deque()
        self._looks: dict[str, tuple[int, float]] = {}
        self._notice = ""

    @property
    def wants_status(self) -> bool:
        """Whether a status is due."""
        return self._manager.listens and self._clock.monotonic_s() >= self._next_status_s

    def mark_ready(self) -> None:
        """Report the daemon as ready, once the first worker is up."""
        if not self._is_up:
            self._is_up = True
            self._manager.ready()

    def reloading(self) -> None:
        """Report that a reload has begun."""
        if self._is_up:
            self._manager.reloading()

    def reloaded(self) -> None:
        """Report that a reload is over, whether it was taken over or refused."""
        if self._is_up:
            self._manager.ready()

    def notice(self, text: str) -> None:
        """Set the text that the status begins with until the next call; empty: none."""
        self._notice = text
        self._next_status_s = 0.0

    def ended(self, state: JobState) -> None:
        """Count an ended job for the rate."""
        if state in CUT:
            now_s = self._clock.monotonic_s()
            self._ends_s.append(now_s)
            self._drop_ends(now_s)  # here too: without a service manager the rate is never computed

    def _drop_ends(self, now_s: float) -> None:
        """Forget ends that are older than `RATE_WINDOW_S`."""
        while self._ends_s and self._ends_s[0] < now_s - RATE_WINDOW_S:
            self._ends_s.popleft()

    def status(self, folders: Collection[FolderStatus], *, queue: int, paused: bool) -> None:
        """Report the status, in one line.

        Args:
            folders: statuses of the folders.
            queue: number of waiting pictures.
            paused: whether a person has paused new work.
        """
        standing_by = sum(not status.is_open for status in folders)
        now_s = self._clock.monotonic_s()
        self._next_status_s = now_s + STATUS_EVERY_S
        self._drop_ends(now_s)
        parts = [
            f"{queue} waiting, {len(self._ends_s)} in the last minute",
            f"{len(folders)} folder{'s' * (len(folders) != 1)}",
        ]
        if standing_by:
            parts[-1] += f", {standing_by} standing by: see cutoutd status"
        if paused:
            parts.insert(0, "paused")
        if self._is_stopping:
            parts.insert(0, "ending what is in work")
        if self._notice:
            parts.insert(0, self._notice)
        self._manager.status("; ".join(parts))

    def beat(self, folders: Iterable[HotFolder]) -> None:
        """Feed the watchdog after a turn of the main loop, unless a monitor has failed.

        Args:
            folders: the folders that are to be looked at.
        """
        every_s = self._manager.feed_every_s
        now_s = self._clock.monotonic_s()
        if every_s is not None and now_s >= self._next_feed_s and not self._overslept(folders, now_s):
            self._next_feed_s = now_s + every_s
            self._manager.feed()

    def draining(self) -> None:
        """Report that the end is in progress, and extend its time limit."""
        now_s = self._clock.monotonic_s()
        if not self._is_stopping:
            self._is_stopping = True
            self._manager.stopping()
        if now_s >= self._next_extension_s:
            self._next_extension_s = now_s + EXTEND_EVERY_S
            self._manager.extend(EXTEND_S)

    def _overslept(self, folders: Iterable[HotFolder], now_s: float) -> bool:
        overslept = False
        seen: dict[str, tuple[int, float]] = {}
        for folder in folders:
            looks, since_s = self._looks.get(folder.folder.name, (-1, now_s))
            now = folder.snapshot
            if now.looking_since_s is not None or now.looks != looks:
                looks, since_s = now.looks, now_s
            seen[folder.folder.name] = (looks, since_s)
            overslept = overslept or now_s - since_s > OVERSLEPT_S
        self._looks = seen
        return overslept
