"""The command that shows a notice on this desktop: libnotify's ``notify-send``, or on a Mac ``osascript``.

A function of words; it must not run anything. The words come from file names, and reach the program as arguments that
no shell, no markup and no script interprets.
"""

from __future__ import annotations

import sys
from html import escape
from typing import Final

TITLE: Final = "cutoutd"

_MAX_CHARACTERS: Final = 400
"""Notices show less; a longer one is only cut off elsewhere."""

_SCRIPT: Final = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)


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
