"""Notices on the owner's desktop, where ``[hooks] notify`` asks for them: what needs a person, and not each cutout.

A shoot in which everything fails must not bury the screen: of the results one notice in a while is shown, and after a pause
the number of those since. They are run as hooks are, and nobody waits for them: by libnotify's ``notify-send``, or on a Mac by ``osascript``.
The words come from file names, and reach the program as arguments that no shell, no markup and no script interprets.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Final

from cutoutd.hooks.runner import HookCommand
from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.events import JobEnded
    from cutoutd.hooks.runner import HookRunner
    from cutoutd.settings.schema import CommonHooks

PAUSE_S: Final = 15.0
"""Between two notices of results."""

TITLE: Final = "cutoutd"

_MAX_CHARACTERS: Final = 400
"""Notices show less; a longer one is only cut off elsewhere."""

_SCRIPT: Final = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)

_EVENT: Final = "notify"
_WORDS: Final = {JobState.REVIEW: "is to be looked at", JobState.FAILED: "could not be cut"}


def program(platform: str = sys.platform) -> str:
    """What shows notices here."""
    return "osascript" if platform == "darwin" else "notify-send"


def command(body: str, *, platform: str = sys.platform) -> tuple[str, ...]:
    """A command that shows a notice.

    Args:
        body: what it says, for a person; control characters become spaces.
        platform: as ``sys.platform``.
    """
    plain = "".join(one if one.isprintable() else " " for one in body)[:_MAX_CHARACTERS]
    text = plain.encode("utf-8", "replace").decode()
    if platform == "darwin":
        lines = [word for line in _SCRIPT for word in ("-e", line)]
        # The title is no option, so nothing behind it is taken for one.
        return (program(platform), *lines, TITLE, text)
    # Many desktops take the body for markup.
    return (program(platform), f"--app-name={TITLE}", "--", TITLE, escape(text, quote=False))


def _in_a_while(delay_s: float, action: Callable[[], None]) -> None:
    timer = threading.Timer(delay_s, action)
    timer.daemon = True
    timer.start()


class DesktopNotices:
    """What is shown.

    Args:
        runner: run the commands.
        hooks: the settings in force.
        monotonic: seconds.
        later: has something done after so many seconds, from any thread.
    """

    def __init__(
        self,
        runner: HookRunner,
        hooks: Callable[[], CommonHooks],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], None] = _in_a_while,
    ) -> None:
        self._runner = runner
        self._hooks = hooks
        self._monotonic = monotonic
        self._later = later
        self._lock = threading.Lock()
        self._last_s: float | None = None
        self._unsaid: Counter[str] = Counter()

    def result(self, folder: str, result: JobEnded) -> None:
        """A result that a person should know of."""
        if not self._hooks().notify:
            return
        with self._lock:
            now_s = self._monotonic()
            if self._last_s is not None and now_s - self._last_s < PAUSE_S:
                if not self._unsaid:
                    self._later(self._last_s + PAUSE_S - now_s, self.tell_rest)
                self._unsaid[folder] += 1
                return
            before = self._unsaid.total()
            self._last_s = now_s
            self._unsaid.clear()
        words = _WORDS.get(result.state, "is doubtful")
        why = f": {result.why}" if result.why else ""
        others = f" (and {before} more before it)" if before else ""
        self.say(f"{folder}: {result.path} {words}{why}{others}")

    def tell_rest(self) -> None:
        """Show how many there were since the last notice, if any; from any thread."""
        with self._lock:
            count, folders = self._unsaid.total(), list(self._unsaid)
            if not count:
                return
            self._last_s = self._monotonic()
            self._unsaid.clear()
        where = folders[0] if len(folders) == 1 else f"{len(folders)} folders"
        pictures = "1 more picture needs" if count == 1 else f"{count} more pictures need"
        self.say(f"{where}: {pictures} a look")

    def say(self, words: str) -> None:
        """Show words, if that is asked for."""
        hooks = self._hooks()
        if hooks.notify:
            self._runner.give(
                HookCommand(
                    event=_EVENT,
                    command=command(words),
                    facts={"HOOK_EVENT": _EVENT},
                    timeout_s=hooks.timeout_s,
                )
            )
