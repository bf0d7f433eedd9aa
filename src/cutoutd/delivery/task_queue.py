"""The deeds of one folder's delivery: done in order by a thread of their own, and again later where a disk refused.

It knows nothing of pictures or names. A deed can be done again from its beginning at any time. One that fails by a fault
of ours is logged and not done again; what becomes of its job is for whoever gave it to see to.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from cutoutd.errors import StorageError
from cutoutd.fault_isolation import is_expected, report
from cutoutd.logs import get
from cutoutd.supervised_thread import SupervisedThread

if TYPE_CHECKING:
    from cutoutd.clock import Clock

Deed = Callable[[], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Resting:
    """A deed that is done again.

    Attributes:
        until_s: when, in monotonic seconds.
        needs_staged: what is staged is needed for it.
    """

    until_s: float
    deed: Deed
    needs_staged: bool


class Deeds:
    """A thread, what it has to do, and what rests.

    Args:
        folder: its name.
        clock: its monotonic side.
        wake: called after each deed, and when the thread has died.
        refused: told why a disk or share refused a deed, the first time that it did.
        worked: told that a deed is done that was refused before.

    Attributes:
        busy_since_s: when the deed under way was begun, in monotonic seconds; None: there is none.
    """

    def __init__(
        self,
        folder: str,
        clock: Clock,
        wake: Callable[[], None],
        *,
        refused: Callable[[StorageError], None] = lambda _: None,
        worked: Callable[[], object] = lambda: None,
    ) -> None:
        self._clock = clock
        self._wake = wake
        self._refused = refused
        self._worked = worked
        self._log = get(folder=folder)
        self._work: queue.SimpleQueue[Deed | None] = queue.SimpleQueue()
        self._resting: list[_Resting] = []
        self._given = 0
        self._finished = 0
        self._last: Sequence[Callable[[], object]] = ()
        self._under_way = False
        self._wants_end = False
        self.busy_since_s: float | None = None
        self._thread = SupervisedThread(f"deliver {folder}", self._run, wake)

    @property
    def backlog(self) -> int:
        """Deeds that wait for their turn, or are under way; what rests is not counted."""
        return self._given - self._finished

    @property
    def needs_staged(self) -> bool:
        """Whether something that rests needs what is staged."""
        return any(resting.needs_staged for resting in self._resting)

    @property
    def failure(self) -> BaseException | None:
        """Why the thread died, if it did."""
        return self._thread.failure

    @property
    def has_ended(self) -> bool:
        """Its thread is gone."""
        return self._thread.has_ended

    def start(self) -> None:
        """Begin; or go on after a death, without the deed that was under way."""
        self._thread.start()

    def stop(self, last: Sequence[Callable[[], object]]) -> None:
        """End once what was given is done, and ``last`` after all of it, one after the other."""
        self._last = last
        self._work.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end, but not for long; whether it has ended."""
        self._thread.join(timeout_s)
        return self.has_ended

    def give(self, deed: Deed) -> None:
        """Have something done after what was given before."""
        self._given += 1
        self._work.put(deed)

    def hurry(self) -> None:
        """Do at once what rests."""
        self.give(self._end_rests)

    def attempt(self, deed: Deed) -> None:
        """Do something now, from the thread itself, and again later if a disk refuses.

        A deed that goes on with another one attempts that one: what was done and written down already is then
        not done again, whatever has become of the files in between.
        """
        self._attempt(deed, is_again=False)

    def _attempt(self, deed: Deed, *, is_again: bool) -> None:
        try:
            deed()
        except StorageError as error:
            if not is_again:
                # A retried deed is no news, nor does it lengthen anybody's rest.
                self._refused(error)
            self.rest(partial(self._attempt, deed, is_again=True), error.delay_s)
        else:
            if is_again:
                self._worked()

    def rest(self, deed: Deed, delay_s: float, *, needs_staged: bool = True) -> None:
        """Have something done after ``delay_s`` seconds; from the thread itself."""
        until_s = self._clock.monotonic_s() + delay_s
        self._resting.append(_Resting(until_s=until_s, deed=deed, needs_staged=needs_staged))

    def _run(self) -> None:
        if self._under_way:
            self._is_over()
        while not self._wants_end and (deed := self._next()) is not None:
            self._under_way, self.busy_since_s = True, self._clock.monotonic_s()
            self._contained(partial(self.attempt, deed))
            # Not after a death: the folder must not look idle before that is known.
            self._is_over()
        self._wants_end = True
        for last in self._last:
            self._contained(last)

    def _contained(self, deed: Callable[[], object]) -> None:
        """Do something, and log what nobody foresaw."""
        try:
            deed()
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a step of the delivery")

    def _is_over(self) -> None:
        self._finished += 1
        self._under_way, self.busy_since_s = False, None
        self._wake()

    def _next(self) -> Deed | None:
        """The next deed: one whose rest is over, or the next that is given."""
        while True:
            now_s = self._clock.monotonic_s()
            for resting in [resting for resting in self._resting if resting.until_s <= now_s]:
                self._resting.remove(resting)
                self._given += 1
                return resting.deed
            ends = [resting.until_s for resting in self._resting]
            try:
                return self._work.get(timeout=max(0.0, min(ends) - now_s) if ends else None)
            except queue.Empty:
                continue

    def _end_rests(self) -> None:
        now_s = self._clock.monotonic_s()
        self._resting = [replace(resting, until_s=now_s) for resting in self._resting]
