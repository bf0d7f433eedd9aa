"""Whose turn it is: round-robin over the folders, so that no folder waits for another's thousands.

It must not wait or work; it looks into the journal and says which job comes next.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cutoutd.clock import Clock
from cutoutd.fault_isolation import Guard
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cutoutd.jobs import Job
    from cutoutd.journal.queue import Queue


class Dispatcher:
    """Chooses the next job.

    Args:
        queue: the journal's jobs.
        newest_first: for each folder by name, whether its newest file comes first.
        clock: its monotonic side, for pauses; the machine's by default.
    """

    def __init__(self, queue: Queue, newest_first: Mapping[str, bool], clock: Clock | None = None) -> None:
        self._queue = queue
        self._guard = Guard(get(), clock or Clock())
        self._newest_first = newest_first
        self._turn = list(newest_first)

    def arrange(self, newest_first: Mapping[str, bool]) -> None:
        """These are the folders now; those that stay keep their turn."""
        self._newest_first = newest_first
        stay = [name for name in self._turn if name in newest_first]
        self._turn = stay + [name for name in newest_first if name not in stay]

    def next_job(
        self,
        ready: Collection[str],
        *,
        pool_is_empty: bool,
        answered_only: Collection[str] = (),
        refused: Collection[str] = (),
    ) -> Job | None:
        """The job to begin now, or None.

        Args:
            ready: names of the folders whose jobs may be begun.
            pool_is_empty: no worker is busy. A job that must run alone is begun only then, and until it
                is, nothing else is: otherwise it would wait for ever.
            answered_only: names of those of which only what a hosted service has answered may be begun.
            refused: names of those whose output has refused a result. One picture at a time is tried there, and one that
                was tried before gives way: else two whose workers say so, time after time, would hold up all others.
        """
        for name in list(self._turn):
            if name not in ready:
                continue
            look = partial(
                self._queue.next_in,
                name,
                newest_first=self._newest_first[name],
                answered_only=name in answered_only,
                untried_first=name in refused,
            )
            job = self._guard.run(f"the queue of {name}", look, None)
            if job is None:
                continue
            if job.alone and not pool_is_empty:
                return None
            self._turn.remove(name)
            self._turn.append(name)
            return job
        return None
