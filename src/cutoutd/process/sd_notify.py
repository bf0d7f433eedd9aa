"""Notifies the service manager that started us, by sd_notify(3): ready, status, stopping, reloading, watchdog.

Only this module may import ``socket``, for AF_UNIX alone; the supervisor's filter allows no other. Without a service manager
nothing happens. It must not decide whether the daemon is well, which is up to `cutoutd.daemon.heartbeat`, and must never
wait, since the main thread calls it.
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
"""Watchdog notifications per period: the main loop may be held up for nearly all of it."""

_MAX_STATUS: Final = 400  # characters; `systemctl status` shows one line


class ServiceManager:
    """The connection to the service manager (sd_notify protocol).

    Args:
        address: path of the socket, or ``@`` and an abstract name; None: there is no service manager.
        watchdog_s: watchdog period in seconds; None: there is no watchdog.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = None if address is None else _socket_name(address)
        self.feed_every_s = None if watchdog_s is None else watchdog_s / FEEDS_PER_PERIOD
        self._status = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ServiceManager:
        """Return the service manager that the environment names.

        Args:
            environ: may have ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``.
        """
        address = environ.get("NOTIFY_SOCKET")
        if not address or address[0] not in "/@":  # vsock: is for virtual machines, and reaches a network
            return cls()
        period = environ.get("WATCHDOG_USEC", "")
        for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = for_us and period.isascii() and period.isdigit() and int(period) > 0
        return cls(address, int(period) / 1_000_000 if watched else None)

    @property
    def listens(self) -> bool:
        """Whether there is a service manager."""
        return self._address is not None

    def ready(self) -> None:
        """Report that the start, or a reload, is complete."""
        self._notify("READY=1")

    def reloading(self) -> None:
        """Report that a reload has begun; `ready` ends it. Managers with ``notify-reload`` need the time as well."""
        self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the shutdown has begun."""
        self._notify("STOPPING=1")

    def status(self, text: str) -> None:
        """Set the status line. It is sent when it has changed."""
        line = "".join(one if one.isprintable() else " " for one in text)[:_MAX_STATUS]
        if line != self._status:
            self._status = line
            self._notify(f"STATUS={line}")

    def feed(self) -> None:
        """Feed the watchdog."""
        self._notify("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for more time to shut down: so many seconds from now."""
        self._notify(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def _notify(self, *lines: str) -> None:
        if self._address is None:
            return
        # A manager that is gone or too busy to read must not end or hold up the work; later notifications follow.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.sendto("\n".join(lines).encode("utf-8", "backslashreplace"), self._address)


def _socket_name(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address
