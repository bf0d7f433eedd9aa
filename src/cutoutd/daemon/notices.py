"""Notices on the owner's desktop, where ``[hooks] notify`` asks for them: what needs a person, and not each cutout.

A shoot in which everything fails must not bury the screen: of the results one notice in a while is shown, with the number
of those since. They are run as hooks are, and nobody waits for them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cutoutd import notification
from cutoutd.daemon.errands import Errand
from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.daemon.errands import Errands
    from cutoutd.daemon.listener import Result
    from cutoutd.settings.hooks import CommonHooks

PAUSE_S: Final = 15.0
"""Between two notices of results."""

_EVENT: Final = "notify"
_WORDS: Final = {JobState.REVIEW: "is to be looked at", JobState.FAILED: "could not be cut"}


class Notices:
    """What is shown.

    Args:
        errands: run the commands.
        hooks: the settings in force.
        monotonic: seconds.
    """

    def __init__(
        self,
        errands: Errands,
        hooks: Callable[[], CommonHooks],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._errands = errands
        self._hooks = hooks
        self._monotonic = monotonic
        self._last_s: float | None = None
        self._unsaid = 0

    def result(self, folder: str, result: Result) -> None:
        """A result that a person should know of."""
        now_s = self._monotonic()
        if self._last_s is not None and now_s - self._last_s < PAUSE_S:
            self._unsaid += 1
            return
        words = _WORDS.get(result.state, "is doubtful")
        why = f": {result.why}" if result.why else ""
        others = f" (and {self._unsaid} more before it)" if self._unsaid else ""
        self._last_s, self._unsaid = now_s, 0
        self.say(f"{folder}: {result.path} {words}{why}{others}")

    def say(self, words: str) -> None:
        """Show words, if that is asked for."""
        hooks = self._hooks()
        if hooks.notify:
            self._errands.give(
                Errand(
                    event=_EVENT,
                    command=notification.command(words),
                    facts={"HOOK_EVENT": _EVENT},
                    timeout_s=hooks.timeout_s,
                )
            )
