"""What a person at a terminal sees while pictures are cut: a bar, and a line for each result.

It draws; it decides nothing. Where there is no terminal, `Quiet` leaves the telling to the log.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from cutoutd.cli.printing import printable
from cutoutd.daemon.standing import WATCHED
from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from cutoutd.daemon.listener import Result

_MARKS: Final = {
    JobState.DONE: "[green]✓[/]",
    JobState.REVIEW: "[yellow]?[/]",
    JobState.FAILED: "[red]✗[/]",
    JobState.RETRY: "[yellow]…[/]",
    JobState.UNCHANGED: "[dim]=[/]",
    JobState.GONE: "[dim]-[/]",
}
_ENDED: Final = frozenset(_MARKS) - {JobState.RETRY}


class Quiet:
    """A listener for where nobody looks; the log tells everything."""

    def started(self, folders: int, workers: int) -> None:
        """Nothing to draw."""

    def accepted(self, count: int) -> None:
        """Nothing to draw."""

    def result(self, result: Result) -> None:
        """Nothing to draw."""

    def attention(self, folder: str, message: str) -> None:
        """Nothing to draw."""

    def close(self) -> None:
        """Nothing to end."""


class Live:
    """A listener that draws on a terminal.

    Args:
        waiting: what is said while there is nothing to do.
    """

    def __init__(self, waiting: str) -> None:
        # 0.1 s of imports that only a person at a terminal pays for.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

        self._console = Console(highlight=False)
        self._waiting = waiting
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._console,
            transient=True,
            auto_refresh=False,  # drawn when something happens: an idle daemon costs nothing
        )
        self._bar = self._progress.add_task("starting", total=None)
        self._lock = threading.Lock()
        self._total = 0
        self._ended = 0
        self._again: dict[tuple[str, str], str] = {}  # what is tried again, and why
        self._resting: dict[str, str] = {}  # folders that are not watched just now
        self._progress.start()

    def started(self, folders: int, workers: int) -> None:
        """The workers are loading the model."""
        where = f"{folders} folder{'s' * (folders != 1)}, " if folders else ""
        self._console.print(f"[dim]{where}{workers} worker{'s' * (workers != 1)}[/]")
        self._draw()

    def accepted(self, count: int) -> None:
        """More to do."""
        with self._lock:
            self._total += count
        self._draw()

    def result(self, result: Result) -> None:
        """One line for each end."""
        from rich.markup import escape  # noqa: PLC0415 -- see above

        if self._is_told(result):
            return
        with self._lock:
            self._ended += result.state in _ENDED
            # What an earlier run had accepted is done in this one.
            self._total = max(self._total, self._ended)
        mark = _MARKS[JobState.REVIEW] if result.doubtful else _MARKS.get(result.state, " ")
        line = f"{mark} {escape(printable(result.path))}"
        if result.outputs:
            line += f" [dim]→[/] {escape(printable(result.outputs[0]))}"
        if result.seconds:
            line += f" [dim]{result.seconds:.1f} s[/]"
        if result.state is not JobState.DONE or result.why:
            again = "; it is tried again" if result.state is JobState.RETRY else ""
            line += f" [dim]({escape(printable(result.why or result.state.value))}{again})[/]"
        self._console.print(line, soft_wrap=True)
        self._draw()

    def attention(self, folder: str, message: str) -> None:
        """A folder's standing changed."""
        from rich.markup import escape  # noqa: PLC0415 -- see above

        mark = "[yellow]![/]"
        if message.startswith(WATCHED):
            mark = "[green]+[/]"
            self._resting.pop(folder, None)
        else:
            self._resting[folder] = message
        self._console.print(f"{mark} {escape(folder)}: {escape(printable(message))}", soft_wrap=True)
        self._draw()

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()

    def _is_told(self, result: Result) -> bool:
        """Whether a person has read already that a picture is tried again, and why."""
        which = (result.folder, result.path)
        if result.state is not JobState.RETRY:
            self._again.pop(which, None)
            return False
        told = self._again.get(which) == result.why
        self._again[which] = result.why
        return told

    def _draw(self) -> None:
        with self._lock:
            ended, total, again = self._ended, self._total, len(self._again)
        idle = ended + again >= total
        waiting = f"{self._waiting}, {again} to be tried again" if again else self._waiting
        if self._resting:
            waiting = f"waiting for {printable(', '.join(self._resting))} (Ctrl-C ends)"
        self._progress.update(
            self._bar,
            description=waiting if idle else "cutting",
            completed=ended,
            total=total or None,
            refresh=True,
        )
