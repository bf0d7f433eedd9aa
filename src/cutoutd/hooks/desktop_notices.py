"""Notices on the owner's desktop, where ``[hooks] notify`` is on: for what needs a person, not for each cutout.

Many failures in a row must not flood the screen: one notice is shown, and after a pause the number of further results. They
run as hooks do, and nothing waits for them: by ``notify-send`` of libnotify, or ``osascript`` on a Mac. The text comes from
file names and is passed as arguments that no shell, markup or script interprets.
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
"""Pause between two notices of results."""

TITLE: Final = "cutoutd"

_MAX_CHARACTERS: Final = 400
"""Notices show less; a longer text would be cut off anyway."""

_SCRIPT: Final = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)

_EVENT: Final = "notify"
_WORDS: Final = {JobState.REVIEW: "needs a look", JobState.FAILED: "could not be cut"}


def program(platform: str = sys.platform) -> str:
    """Return the program that shows notices on a platform."""
    return "osascript" if platform == "darwin" else "notify-send"


def command(body: str, *, platform: str = sys.platform) -> tuple[str, ...]:
    """Return a command that shows a notice.

    Args:
        body: text for a person; control characters become spaces.
        platform: platform, as in ``sys.platform``.
    """
    plain = "".join(one if one.isprintable() else " " for one in body)[:_MAX_CHARACTERS]
    text = plain.encode("utf-8", "replace").decode()
    if platform == "darwin":
        lines = [word for line in _SCRIPT for word in ("-e", line)]
        # The title is not an option, so no argument after it is taken for one.
        return (program(platform), *lines, TITLE, text)
    # Many desktops interpret the body as markup.
    return (program(platform), f"--app-name={TITLE}", "--", TITLE, escape(text, quote=False))


def _in_a_while(delay_s: float, action: Callable[[], None]) -> None:
    timer = threading.Timer(delay_s, action)
    timer.daemon = True
    timer.start()


class DesktopNotices:
    """Shows notices at a limited rate.

    Args:
        runner: runs the commands.
        hooks: returns the settings in force.
        monotonic: returns monotonic seconds.
        later: runs a function after so many seconds, in any thread.
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
        """Show a result that needs a person, or count it until the pause is over."""
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
        """Show the number of results since the last notice, if any. Callable from any thread."""
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
        """Show a text if notices are on."""
        hooks = self._hooks()
        if hooks.notify:
            self._runner.enqueue(
                HookCommand(
                    event=_EVENT,
                    command=command(words),
                    facts={"HOOK_EVENT": _EVENT},
                    timeout_s=hooks.timeout_s,
                )
            )
