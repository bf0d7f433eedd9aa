"""Steps of the start that the disk of the state directory may refuse."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from cutoutd.errors import JournalError
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_S: Final = 2.0
"""Seconds between two tries of a start step that the disk refuses."""

Made = TypeVar("Made")


class StartAbandonedError(Exception):
    """A signal asked to end while the start waited for the disk of the state directory."""


def retry_until_writable(step: Callable[[], Made], *, is_ending: Callable[[], bool] = lambda: False) -> Made:
    """Try a step of the start again and again while the state directory's disk refuses, such as because it is full.

    Only before any work is started: after that each part waits by itself.

    Args:
        step: step that may be repeated after a refusal.
        is_ending: whether a signal has asked to end; by default the signals still end the process themselves.

    Raises:
        StartAbandonedError: the disk refuses, and a signal has asked to end.
    """
    last_error = ""
    while True:
        try:
            return step()
        except JournalError as error:
            if str(error) != last_error:
                last_error = str(error)
                get().error("daemon.waits", why=last_error)
            if is_ending():
                raise StartAbandonedError from None
        time.sleep(RETRY_S)


def at_once(step: Callable[[], Made]) -> Made:
    """Run a step once; an error is raised, as where nothing waits for a disk."""
    return step()
