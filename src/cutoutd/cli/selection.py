"""Selects jobs by state, folder, time, reason and model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.errors import UsageError
from cutoutd.job_detail import JobResult, failure_in
from cutoutd.jobs import RELEASED, JobState
from cutoutd.overview.overview import midnight_us

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from cutoutd.jobs import Job
    from cutoutd.journal.reader import Reader
    from cutoutd.settings.schema import Folder, Settings

_DIGITS: Final = re.compile(r"([0-9]{1,18})")
_AGO: Final = re.compile(r"(\d{1,9})\s*(m|min|h|d|w)")
_SECONDS: Final = {"m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """Conditions that a job must meet; those that are empty or None are ignored.

    Attributes:
        states: its state is one of these.
        folder: its folder.
        since_us: it ended, or was accepted if it has not ended, at this time or later; UTC microseconds.
        reason: text in the reason of a failure or a doubt, ignoring case.
        model: name of the model that cut it.
        doubtful: its cutout is published and doubtful, and it is the newest version of its picture.
    """

    states: Collection[JobState] = ()
    folder: str | None = None
    since_us: int | None = None
    reason: str = ""
    model: str = ""
    doubtful: bool = False

    def of(self, reader: Reader) -> Iterator[Job]:
        """Yield the selected jobs, oldest first."""
        only = next(iter(self.states)) if len(self.states) == 1 else None
        jobs = reader.newest_jobs() if self.doubtful else reader.jobs(state=only, folder=self.folder)
        return (job for job in jobs if self._matches(job))

    def _matches(self, job: Job) -> bool:
        if self.folder is not None and job.folder != self.folder:
            return False
        if self.doubtful and not is_doubtful(job):
            return False
        if self.states and job.state not in self.states:
            return False
        if self.since_us is not None and (job.finished_us or job.accepted_us) < self.since_us:
            return False
        if self.model and JobResult.of(job).model != self.model:
            return False
        return self.reason.casefold() in reason_of(job).casefold()


class JobOrder(StrEnum):
    """The order of listed jobs."""

    TIME = "time"  # in the order of arrival
    NAME = "name"  # by folder and path; numbers in them count as numbers
    SCORE = "score"  # the lowest first; those without a score last


def in_order(jobs: Iterable[Job], sort: JobOrder) -> Iterable[Job]:
    """Return jobs in an order; any order but that of time reads all of them first."""
    if sort is JobOrder.TIME:
        return jobs
    return sorted(jobs, key=_by_score if sort is JobOrder.SCORE else _by_name)


def is_doubtful(job: Job) -> bool:
    """Whether the cutout is published and doubtful."""
    return job.state in RELEASED and JobResult.of(job).doubtful


def _by_score(job: Job) -> tuple[bool, float]:
    score = score_of(job)
    return score is None, score or 0.0


def _by_name(job: Job) -> tuple[tuple[tuple[int, int, str], ...], str, int]:
    """Return a sort key: ``IMG_2`` before ``IMG_10``, by folder, and an earlier version before a later one."""
    path = f"{job.folder}/{job.path}"
    parts = (part for part in _DIGITS.split(path.casefold()) if part)
    key = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)
    return key, path, job.id


def score_of(job: Job) -> float | None:
    """Return the calibrated probability that the cutout is right; None if there is none, or an earlier version made it."""
    return JobResult.of(job).score


def require_folder(name: str | None, chosen: Settings, reader: Reader) -> None:
    """Check that a folder of this name exists in the configuration or, from earlier, in the journal.

    Raises:
        UsageError: there is none.
    """
    configured = [folder.name for folder in chosen.folder]
    if name is not None and name not in configured and name not in reader.counts():
        raise UsageError(f"there is no folder {name!r}", advice=f"Name one of: {', '.join(configured)}.")


def find_folder(name: str | None, chosen: Settings) -> Folder:
    """Return the folder of this name; without a name, the only one.

    Raises:
        UsageError: there is none of this name, or there are several.
    """
    if name is None and len(chosen.folder) == 1:
        return chosen.folder[0]
    found = next((one for one in chosen.folder if one.name == name), None)
    if found is None:
        what = "say which folder" if name is None else f"there is no folder {name!r}"
        raise UsageError(what, advice=f"Name one of: {', '.join(one.name for one in chosen.folder)}.")
    return found


def reason_of(job: Job) -> str:
    """Return why a job failed, is doubtful or is held back, with the title and code of the error."""
    failure = failure_in(job)
    words = () if failure is None else (failure.cause, failure.title, failure.code)
    return "; ".join(word for word in (*words, JobResult.of(job).why) if word)


def since(text: str, now_us: int) -> int:
    """Parse a time: ``30m``, ``2h``, ``3d``, ``1w``, ``today``, or a date with or without a time.

    Args:
        text: the text.
        now_us: UTC microseconds.

    Returns:
        UTC microseconds.

    Raises:
        UsageError: it is no time.
    """
    written = text.strip().lower()
    if written == "today":
        return midnight_us(now_us)
    if (match := _AGO.fullmatch(written)) is not None:
        return now_us - int(match[1]) * _SECONDS[match[2]] * 1_000_000
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"{text!r} is no time", advice="Write 30m, 2h, 3d, 1w, today, or a date such as 2026-11-24."
        ) from None
    try:
        here = when.astimezone() if when.tzinfo is None else when
        return int(here.astimezone(UTC).timestamp() * 1_000_000)
    except (OverflowError, ValueError, OSError):  # a date near the ends of the calendar
        return int(when.replace(tzinfo=UTC).timestamp() * 1_000_000)
