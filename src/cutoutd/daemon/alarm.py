"""Alarms for the owner: a folder that stands by or is paused, a queue that grows, a hosted route that is paused.

A condition is reported once when it has lasted for a while, and once when it has been over for a while: a share that comes and
goes every few seconds is one alarm. This module must not look at a folder; it is given the statuses.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from cutoutd.events import AlarmChanged
from cutoutd.exchange.spool import SpoolPaths
from cutoutd.folder.status import FolderState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.events import EventSink
    from cutoutd.folder.status import FolderStatus

HOLD_S: Final = 10.0
"""How long a condition must last, or be over, before it is reported."""

SAMPLE_S: Final = 300.0
"""Seconds between two samples of the number of waiting pictures."""

GROWTHS: Final = 3
"""A queue grows if this many samples in a row each have more pictures than the one before."""

LEAST: Final = 50
"""The least number of waiting pictures for an alarm."""

LOOK_S: Final = 5.0

_KINDS: Final = {FolderState.STANDING_BY: "standing-by", FolderState.PAUSED: "paused"}

Key = tuple[str, str]
"""The name of a folder, or empty for all folders, and the kind of condition."""


@dataclass(slots=True)
class _Concern:
    """A condition that holds, or held a moment ago.

    Attributes:
        message: text for a person.
        since_s: when it began, or when it was over, in monotonic seconds.
        is_reported: whether it was reported.
        present: whether it holds now.
    """

    message: str
    since_s: float
    is_reported: bool = False
    present: bool = True


class AlarmWatch:
    """Checks the conditions every `LOOK_S`.

    Args:
        emit: receives an event for each alarm.
        count_waiting: returns how many pictures wait in each folder.
        state_dir: the state directory, where a paused hosted route is marked.
        clock: clock for monotonic times.
    """

    def __init__(
        self,
        emit: EventSink,
        *,
        count_waiting: Callable[[], Mapping[str, int]],
        state_dir: Path,
        clock: Clock,
    ) -> None:
        self._emit = emit
        self._queues = Queues(count_waiting, clock)
        self._paused_mark = SpoolPaths.under(state_dir).paused
        self._clock = clock
        self._concerns: dict[Key, _Concern] = {}
        self._next_s = 0.0

    def check(self, statuses: Mapping[str, FolderStatus]) -> None:
        """Check the conditions, if it is time, and report those that have lasted.

        Args:
            statuses: statuses of the folders, by name.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        found = dict(self._current_concerns(statuses))
        for key, message in found.items():
            concern = self._concerns.setdefault(key, _Concern(message=message, since_s=now_s))
            concern.message = message
            if not concern.present:
                concern.present, concern.since_s = True, now_s
            if not concern.is_reported and now_s - concern.since_s >= HOLD_S:
                concern.is_reported = True
                self._emit(AlarmChanged(folder=key[0], kind=key[1], message=message))
        for key, concern in list(self._concerns.items()):
            if key not in found:
                self._end(key, concern, now_s)

    def _end(self, key: Key, concern: _Concern, now_s: float) -> None:
        if concern.present:
            concern.present, concern.since_s = False, now_s
        if not concern.is_reported:
            del self._concerns[key]  # it was too short to report
        elif now_s - concern.since_s >= HOLD_S:
            del self._concerns[key]
            folder, kind = key
            message = f"resolved: {concern.message}"
            self._emit(AlarmChanged(folder=folder, kind=kind, message=message, is_over=True))

    def _current_concerns(self, statuses: Mapping[str, FolderStatus]) -> Iterator[tuple[Key, str]]:
        for name, status in statuses.items():
            kind = _KINDS.get(status.watching)
            if kind is not None:
                yield (name, kind), f"{status.watching}: {status.why}"
        yield from self._queues.growing()
        if os.path.exists(self._paused_mark):  # noqa: PTH110 -- Path.exists raises where a disk fails
            yield ("", "hosted-paused"), "the hosted route is paused: nothing is uploaded"


class Queues:
    """The number of waiting pictures over the last quarter of an hour.

    Args:
        count_waiting: returns how many pictures wait in each folder.
        clock: clock for monotonic times.
    """

    def __init__(self, count_waiting: Callable[[], Mapping[str, int]], clock: Clock) -> None:
        self._count_waiting = count_waiting
        self._clock = clock
        self._samples: dict[str, list[int]] = {}
        self._alarmed: dict[str, int] = {}
        self._next_s = 0.0

    def growing(self) -> Iterator[tuple[Key, str]]:
        """Yield the queues that grew at each sample; each until it is down to half its length."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_s:
            self._next_s = now_s + SAMPLE_S
            self._sample(self._count_waiting())
        for name, length in self._alarmed.items():
            yield (name, "queue"), f"{length} pictures wait, and the queue is growing"

    def _sample(self, waiting: Mapping[str, int]) -> None:
        for name in {*waiting, *self._samples}:
            length = waiting.get(name, 0)
            samples = [*self._samples.get(name, []), length][-GROWTHS - 1 :]
            self._samples[name] = samples
            grows = len(samples) > GROWTHS and all(before < after for before, after in pairwise(samples))
            if grows and length >= LEAST:
                self._alarmed[name] = length
            elif length < self._alarmed.get(name, 0) / 2:
                del self._alarmed[name]
