"""A pipe that ends a selector's wait, written to from any thread or signal handler."""

from __future__ import annotations

import os


class WakePipe:
    """The pipe. It is never closed: a thread that ends late may still write to it."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._out

    def wake(self) -> None:
        """Make it readable."""
        try:
            os.write(self._in, b"\0")
        except BlockingIOError:
            return  # it is full, so it is readable anyway

    def drain(self) -> None:
        """Read all that is in it."""
        try:
            while os.read(self._out, 4096):
                pass
        except BlockingIOError:
            return
