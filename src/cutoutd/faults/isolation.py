"""Limits the effect of an unforeseen exception to one file, one command or one record; the daemon lives on.

An exception that its caller does not expect is an internal error. It is logged in one line with its traceback, the file or
record concerned fails or is held back with the reason, and everything else goes on. Two kinds are not treated so: a disk
that refuses (StorageError), which its caller tries again, and what concerns the whole run (``CutoutdError.ends_daemon``):
damage to the journal, an altered model, workers that never start.

It must not decide what becomes of a job or a folder; its owner does.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cutoutd.errors import CutoutdError, StorageError, UnforeseenError
from cutoutd.faults.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from cutoutd.clock import Clock

MAX_DESCRIPTION: Final = 500
"""Characters of an exception's message that are shown; the log has all of it."""

_REPORT: Final = "internal error; please report this line"
_LIMITS: Final = (
    "this system refuses more memory, threads, processes or open files: raise the limit that is reached "
    "(ulimit; for a service MemoryMax, TasksMax or LimitNOFILE)"
)
_SCARCE: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

Value = TypeVar("Value")
Item = TypeVar("Item")


def is_expected(error: BaseException) -> bool:
    """Whether an error is to be raised further, since it is not an internal error with one item."""
    if isinstance(error, CutoutdError):
        return isinstance(error, StorageError) or error.ends_daemon
    return not isinstance(error, Exception)


def describe(error: BaseException) -> str:
    """Return an unforeseen exception in a few words, for people; valid UTF-8."""
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return words[:MAX_DESCRIPTION].encode("utf-8", "backslashreplace").decode()


def lacks_resources(error: BaseException) -> bool:
    """Whether an exception says that a limit of the process or the system is reached, which is no internal error."""
    if isinstance(error, OSError):
        return error.errno in _SCARCE
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and "start new thread" in str(error)
    )


def note_on(error: BaseException) -> str:
    """Return what a person is to do about an unforeseen exception."""
    return _LIMITS if lacks_resources(error) else _REPORT


def unforeseen(error: BaseException) -> UnforeseenError:
    """Return an exception as an error of the tree."""
    if lacks_resources(error):
        return UnforeseenError(f"{_LIMITS} ({describe(error)})", advice="`cutoutd retry` tries it again.")
    return UnforeseenError(f"internal error, please report it ({describe(error)})")


def report(log: FilteringBoundLogger, error: BaseException, *, over: str, **bound: Any) -> None:  # noqa: ANN401 -- a log's values
    """Log an unforeseen exception in one line.

    Args:
        log: logger of the part.
        error: exception, with its traceback.
        over: what was being done.
        bound: further values for the line, such as ``job``.
    """
    log.error("fault", over=over, why=describe(error), note=note_on(error), exc_info=error, **bound)


def one_by_one(
    items: Iterable[Item], action: Callable[[Item], object], failed: Callable[[Item, Exception], object]
) -> None:
    """Repeat for each item by itself what failed for all of them together, so that a fault affects one item only.

    Args:
        items: the items.
        action: function of an item.
        failed: called with each item for which the action raised an unforeseen exception.

    Raises:
        CutoutdError: an error that is expected.
    """
    for item in items:
        try:
            action(item)
        except Exception as error:
            if is_expected(error):
                raise
            failed(item, error)


class Guard:
    """Runs the parts of a loop. A part may fail without ending the loop or the other parts.

    Args:
        log: logger of the loop.
        clock: source of monotonic time.
    """

    def __init__(self, log: FilteringBoundLogger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._backoffs: dict[str, Backoff] = {}

    def has_failed(self, part: str) -> bool:
        """Whether a part failed in its last run."""
        return part in self._backoffs

    def run(
        self,
        part: str,
        action: Callable[[], Value],
        default: Value,
        *,
        passes: tuple[type[Exception], ...] = (),
    ) -> Value:
        """Run a part, unless its back-off has not passed yet.

        Args:
            part: name of the part; each has its own back-off.
            action: function of the part.
            default: result if it fails or pauses.
            passes: further errors that are expected.

        Raises:
            CutoutdError: an error that is expected.
        """
        backoff = self._backoffs.get(part)
        if backoff is not None and self._clock.monotonic_s() < backoff.until_s:
            return default
        try:
            value = action()
        except Exception as error:
            if is_expected(error) or isinstance(error, passes):
                raise
            report(self._log, error, over=part)
            self._backoffs.setdefault(part, Backoff()).failed(self._clock.monotonic_s())
            return default
        self._backoffs.pop(part, None)
        return value
