"""What is told to the service manager that started us, by sd_notify(3): ready, status, stopping, reloading, alive.

The one module that may import ``socket``, for AF_UNIX alone; the supervisor's filter lets through no other.
Where no service manager listens, nothing happens. It must not decide when the daemon is well: that is
`cutoutd.daemon.heartbeat`'s, and nothing here ever waits, since the main thread calls it.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FEEDS_PER_PERIOD: Final = 10
"""How often the watchdog is fed within its period: the main loop may be held up for nearly all of it."""

_MAX_STATUS: Final = 400  # characters; `systemctl status` shows one line


class ServiceManager:
    """The service manager's ear.

    Args:
        address: of its socket, a path or ``@`` and an abstract name; None: nobody listens.
        watchdog_s: the period within which it wants to hear that we are alive; None: it does not ask.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = None if address is None else _socket_name(address)
        self.feed_every_s = None if watchdog_s is None else watchdog_s / FEEDS_PER_PERIOD
        self._status = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ServiceManager:
        """Whoever the environment names.

        Args:
            environ: with ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``, or without.
        """
        address = environ.get("NOTIFY_SOCKET")
        if not address or address[0] not in "/@":  # vsock: is for virtual machines; it reaches a network
            return cls()
        period = environ.get("WATCHDOG_USEC", "")
        for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = for_us and period.isascii() and period.isdigit() and int(period) > 0
        return cls(address, int(period) / 1_000_000 if watched else None)

    @property
    def listens(self) -> bool:
        """Whether there is one."""
        return self._address is not None

    def ready(self) -> None:
        """The start, or a reload, is over."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it. Managers that know ``notify-reload`` want the time with it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for people; told when it is another than before."""
        line = "".join(one if one.isprintable() else " " for one in text)[:_MAX_STATUS]
        if line != self._status:
            self._status = line
            self._tell(f"STATUS={line}")

    def feed(self) -> None:
        """We are alive."""
        self._tell("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """The end takes longer: do not kill us before so many seconds from now."""
        self._tell(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        # A manager that is gone or too busy to read must not end or hold up the work; it is told again.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.setblocking(False)
            way.sendto("\n".join(lines).encode("utf-8", "backslashreplace"), self._address)


def _socket_name(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address
