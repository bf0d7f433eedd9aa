"""What an unforeseen exception may cost: one file, one command or one record, and never the daemon.

An exception that its caller does not expect is a fault of ours. It is logged in one line with its traceback, what it was
met over fails or is held up with the reason, and everything else goes on. Two kinds are no such faults: a disk
that refuses (StorageError), which is tried again where it was met, and what concerns the whole run
(``CutoutdError.ends_daemon``): damage to the journal, an altered model, workers that never start.

It must not decide what becomes of a job or a folder; whoever holds that does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from cutoutd.errors import CutoutdError, StorageError, UnforeseenError
from cutoutd.faults.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from cutoutd.clock import Clock

MAX_TOLD: Final = 500
"""Characters of an exception's own words that are shown; the log has all of them."""

_REPORT: Final = "a fault of ours; please report this line"

Value = TypeVar("Value")
Item = TypeVar("Item")


def is_expected(error: BaseException) -> bool:
    """Whether an error is to go on to whoever handles it, since it is no fault of ours over one thing."""
    if isinstance(error, CutoutdError):
        return isinstance(error, StorageError) or error.ends_daemon
    return not isinstance(error, Exception)


def told(error: BaseException) -> str:
    """An unforeseen exception in a few words, for people; valid UTF-8."""
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return words[:MAX_TOLD].encode("utf-8", "backslashreplace").decode()


def unforeseen(error: BaseException) -> UnforeseenError:
    """An exception as an error of the tree."""
    return UnforeseenError(f"a fault of ours, please report it ({told(error)})")


def report(log: FilteringBoundLogger, error: BaseException, *, over: str, **bound: Any) -> None:  # noqa: ANN401 -- a log's values
    """Log an unforeseen exception in one line.

    Args:
        log: the part's own logger.
        error: with its traceback.
        over: what it was met over.
        bound: further values for the line, such as ``job``.
    """
    log.error("fault", over=over, why=told(error), note=_REPORT, exc_info=error, **bound)


def one_by_one(
    items: Iterable[Item], action: Callable[[Item], object], failed: Callable[[Item, Exception], object]
) -> None:
    """Do to each of some things what failed for all of them at once, so that one alone pays for it.

    Args:
        items: the things.
        action: done to each.
        failed: told of those over which it raised what nobody foresaw.

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
    """Runs parts of a loop, each of which may fail without ending the loop or the other parts.

    Args:
        log: the loop's logger.
        clock: its monotonic side.
    """

    def __init__(self, log: FilteringBoundLogger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._backoffs: dict[str, Backoff] = {}

    def has_failed(self, part: str) -> bool:
        """Whether a part failed when it was last run."""
        return part in self._backoffs

    def run(
        self,
        part: str,
        action: Callable[[], Value],
        default: Value,
        *,
        passes: tuple[type[CutoutdError], ...] = (),
    ) -> Value:
        """Run a part, unless it failed a moment ago.

        Args:
            part: its name; each has pauses of its own.
            action: what it does.
            default: the answer where it fails or pauses.
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
