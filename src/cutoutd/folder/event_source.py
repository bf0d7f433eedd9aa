"""The system's events of one folder: whether they come, why not, and what they told since the last look.

Owned by the folder's monitor thread. It must not look at files: events are hints alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.intake import filesystems
from cutoutd.intake.watch import UnwatchableError, Watch
from cutoutd.settings.types import Watch as WatchChoice

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock
    from cutoutd.intake.filesystems import Mode
    from cutoutd.intake.hints import Hints
    from cutoutd.intake.rules import Rules

REARM_S: Final = 300.0
"""Events that the system refused are asked for again after this: somebody may have raised its limits."""


class EventSource:
    """The events of one folder.

    Args:
        root: its input.
        rules: which names it takes.
        wanted: what its owner chose.
        clock: its monotonic side.
        tell: called, from another thread, when something has happened.
        once: nothing is waited for.

    Attributes:
        again_s: when they are to be asked for again, in monotonic seconds; None: not at all.
    """

    def __init__(
        self,
        root: str,
        rules: Rules,
        wanted: WatchChoice,
        *,
        clock: Clock,
        tell: Callable[[], None],
        once: bool,
    ) -> None:
        self._root = root
        self._rules = rules
        self._wanted = wanted
        self._clock = clock
        self._tell = tell
        self._once = once
        self._watch: Watch | None = None
        self.again_s: float | None = None

    @property
    def come(self) -> bool:
        """Whether events are told."""
        return self._watch is not None

    @property
    def broken(self) -> str | None:
        """Why they do not come any more although they were armed; None: they do, or never did."""
        return self._watch.healthy() if self._watch is not None else None

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to ask for them again where the system had refused them."""
        return self.again_s is not None and now_s >= self.again_s

    def take(self) -> Hints | None:
        """What was told since this was last asked; None where nothing is."""
        return self._watch.take() if self._watch is not None else None

    def arm(self, mode: Mode | None) -> str:
        """Begin to hear them; returns why not, where it is not to be.

        Args:
            mode: how the folder can be watched by its file system, where that is known.
        """
        self.disarm()
        if self._once or self._wanted is WatchChoice.POLL:
            return "" if self._once else "as configured"
        if (
            self._wanted is WatchChoice.AUTO
            and mode is not None
            and mode.watching is filesystems.WatchMethod.POLL
        ):
            return mode.reason
        watch = Watch(self._root, self._rules, self._tell)
        try:
            watch.start()
        except UnwatchableError as error:
            self.again_s = self._clock.monotonic_s() + REARM_S
            return f"{error.cause}. {error.advice}"
        self._watch = watch
        return ""

    def disarm(self) -> None:
        """Hear no more of them."""
        self.again_s = None
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
