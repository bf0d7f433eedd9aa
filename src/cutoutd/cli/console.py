"""What a person sees on a terminal while pictures are cut: a progress bar, and a line for each result.

It only draws.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Final

from cutoutd.cli.closing import rate, time_left
from cutoutd.cli.printing import printable, shortest
from cutoutd.events import Accepted, FolderChanged, JobEnded, QueueCounts, Started
from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.events import Event

_MARKS: Final = {
    JobState.DONE: "[green]✓[/]",
    JobState.REVIEW: "[yellow]?[/]",
    JobState.FAILED: "[red]✗[/]",
    JobState.RETRY: "[yellow]…[/]",
    JobState.UNCHANGED: "[dim]=[/]",
    JobState.GONE: "[dim]-[/]",
}
_WHAT_NOW: Final = {JobState.RETRY: "; it is tried again", JobState.REVIEW: "; held back for review"}
"""Added to the reason."""

_ENDED: Final = frozenset(_MARKS) - {JobState.RETRY}

_MEASURED: Final = 3
"""Finished pictures in a row from which a rate is meaningful."""

_INDENT: Final = "  "
_WORD: Final = re.compile(r"\S+\s*")

_KNOWN_ANYHOW: Final = "The original is untouched. "
"""Beginning of most advice, which is dropped in a list."""

_BAR_WIDTH: Final = 16
"""Columns: the text beside it then fits on a terminal of 80."""


class Pace:
    """Rate and remaining time, measured over one period of work.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends = 0
        self._first_s = self._last_s = 0.0

    def ended(self) -> None:
        """Count a finished picture."""
        self._last_s = self._clock()
        if not self._ends:
            self._first_s = self._last_s
        self._ends += 1

    def stretch_over(self) -> None:
        """End the period: the queue is empty."""
        self._ends = 0

    def words(self, left: int) -> str:
        """Return rate and remaining time, such as ``, 26 a minute, about 3 min left``; empty while unknown.

        Args:
            left: number of pictures that are left.
        """
        taken_s = self._last_s - self._first_s
        if self._ends < _MEASURED or taken_s <= 0 or not left:
            return ""
        per_s = (self._ends - 1) / taken_s
        return f", {rate(60 * per_s)} a minute, about {time_left(left / per_s)} left"


class Live:
    """Draws on a terminal; an `EventSink`.

    Args:
        waiting: text while there is nothing to do.
        clock: monotonic seconds.
    """

    def __init__(self, waiting: str, clock: Callable[[], float] = time.monotonic) -> None:
        # 0.1 s of imports, needed only on a terminal.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import Progress as Drawing  # noqa: PLC0415
        from rich.progress import TextColumn  # noqa: PLC0415
        from rich.table import Column  # noqa: PLC0415

        self._console = Console(highlight=False)
        self._waiting = waiting
        self._progress = Drawing(
            TextColumn("{task.fields[bar]}", markup=False),
            TextColumn(
                "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
            ),
            console=self._console,
            transient=True,
            auto_refresh=False,  # drawn on events only: an idle daemon costs nothing
        )
        self._bar = self._progress.add_task("starting", total=None, bar="")
        self._lock = threading.Lock()
        self._pace = Pace(clock)
        self._ended = 0
        self._open = 0  # number of pictures to do, counted from events
        self._known: QueueCounts | None = None  # the same from the journal
        self._again: dict[tuple[str, str], str] = {}  # pictures that are tried again, with the reason
        self._resting: dict[str, str] = {}  # folders that are not watched now
        self._progress.start()

    def __call__(self, event: Event) -> None:
        """Draw an event."""
        match event:
            case Started():
                self._started(event.folders, event.workers)
            case Accepted():
                self._accepted(event.count)
            case QueueCounts():
                self._queue_changed(event)
            case JobEnded():
                self._ended_job(event)
            case FolderChanged():
                self._folder_changed(event)

    def _started(self, folders: int, workers: int) -> None:
        where = f"{folders} folder{'s' * (folders != 1)}, " if folders else ""
        self._console.print(f"[dim]{where}{workers} worker{'s' * (workers != 1)}[/]")
        self._draw()

    def _accepted(self, count: int) -> None:
        with self._lock:
            self._open += count
        self._draw()

    def _queue_changed(self, progress: QueueCounts) -> None:
        """Draw the number of remaining pictures, if it has changed."""
        with self._lock:
            count = progress.waiting + progress.in_work + progress.resting
            is_news = progress != self._known or count != self._open
            self._known, self._open = progress, count
        if is_news:
            self._draw()

    def _ended_job(self, result: JobEnded) -> None:
        """Print one line for each finished picture."""
        from rich.markup import escape  # noqa: PLC0415 -- see above

        if self._was_printed(result):
            return
        with self._lock:
            if result.state in _ENDED:
                self._ended += 1
                self._open = max(0, self._open - 1)
                self._pace.ended()
        mark = _MARKS[JobState.REVIEW] if result.doubtful else _MARKS.get(result.state, " ")
        line = f"{mark} {escape(printable(result.path))}"
        if result.outputs:
            line += f" [dim]→[/] {escape(printable(shortest(result.outputs[0])))}"
            more = len(result.outputs) - 1
            line += f" [dim]and {more} more[/]" if more else ""
        if result.seconds:
            line += f" [dim]{result.seconds:.1f} s[/]"
        if result.note:
            line += f" [dim]({escape(printable(result.note))})[/]"
        if result.state is not JobState.DONE or result.why:
            why = result.why or result.state.value
            says_so = why.startswith("doubtful")
            what = _WHAT_NOW.get(result.state, "; doubtful" if result.doubtful and not says_so else "")
            line += f" [dim]({escape(printable(why))}{what})[/]"
        if result.advice:
            line += f" [dim]{escape(printable(result.advice.removeprefix(_KNOWN_ANYHOW)))}[/]"
        self._print(line)
        self._draw()

    def _folder_changed(self, event: FolderChanged) -> None:
        """Print a folder's new status."""
        from rich.markup import escape  # noqa: PLC0415 -- see above

        mark = "[yellow]![/]"
        if event.is_open:
            mark = "[green]+[/]"
            self._resting.pop(event.folder, None)
        else:
            self._resting[event.folder] = event.message
        self._print(f"{mark} {escape(event.folder)}: {escape(printable(event.message))}")
        self._draw()

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()

    def _print(self, markup: str) -> None:
        """Print with lines broken at words and indented. Paths are not broken, so that they can be copied."""
        from rich.cells import cell_len  # noqa: PLC0415 -- see above
        from rich.text import Text  # noqa: PLC0415

        text = Text.from_markup(markup)
        cuts, column = [], 0
        for word in _WORD.finditer(text.plain):
            if column > len(_INDENT) and column + cell_len(word[0].rstrip()) > self._console.width:
                cuts.append(word.start())
                column = len(_INDENT)
            column += cell_len(word[0])
        lines = text.divide(cuts)
        for line in lines:
            line.rstrip()
        self._console.print(Text(f"\n{_INDENT}").join(lines), soft_wrap=True)

    def _was_printed(self, result: JobEnded) -> bool:
        """Whether it was printed already that a picture is tried again for this reason."""
        which = (result.folder, result.path)
        if result.state is not JobState.RETRY:
            self._again.pop(which, None)
            return False
        told = self._again.get(which) == result.why
        self._again[which] = result.why
        return told

    def _draw(self) -> None:
        with self._lock:
            ended, count, known = self._ended, self._open, self._known
            again = max(len(self._again), 0 if known is None else known.resting)
            left = max(0, count - again)
            if not left:
                self._pace.stretch_over()
            pace = self._pace.words(left)
        paused = known is not None and known.is_paused
        if paused and not (known is not None and known.in_work):
            words = f"PAUSED, {left} waiting; `cutoutd resume` continues"
        elif self._resting and not left:
            words = f"waiting for {printable(', '.join(self._resting))} (Ctrl-C ends)"
        elif not left:
            words = f"{self._waiting}, {again} to be tried again" if again else self._waiting
        else:
            words = f"cutting{pace}{', then paused' if paused else ''}"
        total = ended + left
        shown = bool(left) and not paused
        self._progress.update(
            self._bar,
            description=words,
            completed=ended,
            total=total or None,
            bar=_bar(ended, total) if shown else "",
            refresh=True,
        )


def _bar(ended: int, total: int) -> str:
    """Return the progress bar."""
    filled = round(_BAR_WIDTH * ended / total)
    return f"{'━' * filled}{'╌' * (_BAR_WIDTH - filled)} {ended}/{total}"
