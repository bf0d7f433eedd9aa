"""What a folder's delivery waits for, and how often it has tried: so that one file's trouble stays one file's.

Used by the folder's delivery thread alone. It keeps counts; it must not publish, nor write anything down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.errors import StorageError
from cutoutd.logs import get
from cutoutd.publish.faults import TargetHeldError

if TYPE_CHECKING:
    from cutoutd.circuit_breaker import CircuitBreaker
    from cutoutd.errors import TemporaryError
    from cutoutd.jobs import Job

HELD_TRIES: Final = 30
"""So often is it tried to replace a file that another program holds: five minutes. Then that picture fails alone."""


class PendingRetries:
    """The jobs whose plans wait for a disk, a share, or another program.

    Args:
        folder: its name.
        breaker: the folder's circuit breaker.
    """

    def __init__(self, folder: str, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._log = get(folder=folder)
        self._told: dict[int, str] = {}
        self._held: dict[int, int] = {}

    def add(self, job: Job, error: TemporaryError) -> None:
        """A job waits, or waits again: only the first time counts as a failure, or the circuit breaker would never close."""
        why = str(error)
        if isinstance(error, StorageError) and job.id not in self._told:
            self._breaker.record_failure(why, error.cause)
        if self._told.get(job.id) != why:
            self._log.warning("job.half-published", job=job.id, path=job.path, why=why)
        self._told[job.id] = why

    def has_run_out(self, job: Job, error: TemporaryError) -> bool:
        """Whether a file that is to be replaced was held for so long that the job is to be given up."""
        if not isinstance(error, TargetHeldError):
            return False
        self._held[job.id] = self._held.get(job.id, 0) + 1
        return self._held[job.id] > HELD_TRIES

    def forget(self, job: Job) -> None:
        """It waits no more."""
        self._told.pop(job.id, None)
        self._held.pop(job.id, None)
