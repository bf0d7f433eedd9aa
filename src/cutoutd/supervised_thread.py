"""A thread of one folder that may die by a fault of ours, and is started again.

It keeps why it died; whoever owns the folder (`cutoutd.folder.hot_folder`) sees that, logs it, lets the folder stand by,
and starts it again after a pause. It must not know what the thread does.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class SupervisedThread:
    """Runs a body in a thread of its own, again after it has died.

    Args:
        name: of the thread.
        body: returns when it was told to end; what it raises is its death. It begins anew when it is called again.
        died: called from the dying thread, to wake whoever looks after it.

    Attributes:
        failure: why it died; None while it lives, and after an orderly end.
    """

    def __init__(self, name: str, body: Callable[[], None], died: Callable[[], object]) -> None:
        self._name = name
        self._body = body
        self._died = died
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin, also after a death.

        Raises:
            RuntimeError: the system has no more threads; why it died before still stands.
        """
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        before, self.failure = self.failure, None
        try:
            thread.start()
        except BaseException:
            self.failure = before
            raise
        self._thread = thread

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end, but not for long; one that was never started has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    @property
    def has_ended(self) -> bool:
        """There is no thread."""
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._body()
        except BaseException as error:  # noqa: BLE001 -- a side thread's death must be heard: its owner sees to it
            self.failure = error
            self._died()
