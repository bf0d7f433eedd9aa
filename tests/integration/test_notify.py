"""Messages to the service manager: by a real socket, and never at the expense of the work."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from cutoutd.process.sd_notify import FEEDS_PER_PERIOD, ServiceManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class NotifySocket:
    """A service manager's socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.setblocking(False)

    def messages(self) -> list[str]:
        """Return all messages since the last call."""
        received = []
        while True:
            try:
                received.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return received

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[NotifySocket]:
    """A listening socket."""
    created = NotifySocket(str(tmp_path / "notify"))
    yield created
    created.close()


def test_each_message_follows_the_protocol(ear: NotifySocket) -> None:
    """The protocol is that of sd_notify(3)."""
    manager = ServiceManager.from_environment({"NOTIFY_SOCKET": ear.address})
    manager.ready()
    manager.status("2 waiting\nREADY=1")
    manager.feed()
    manager.extend(2.5)
    manager.stopping()
    assert ear.messages() == [
        "READY=1",
        "STATUS=2 waiting READY=1",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=2500000",
        "STOPPING=1",
    ]


def test_a_reload_carries_its_time(ear: NotifySocket) -> None:
    """As Type=notify-reload requires."""
    ServiceManager.from_environment({"NOTIFY_SOCKET": ear.address}).reloading()
    (message,) = ear.messages()
    word, time = message.split("\n")
    assert word == "RELOADING=1"
    assert int(time.removeprefix("MONOTONIC_USEC=")) > 0


def test_the_same_status_is_not_sent_twice(ear: NotifySocket) -> None:
    """Each message wakes the service manager."""
    manager = ServiceManager.from_environment({"NOTIFY_SOCKET": ear.address})
    for text in ("a", "a", "b"):
        manager.status(text)
    assert ear.messages() == ["STATUS=a", "STATUS=b"]


def test_an_abstract_name_is_reached() -> None:
    """Containers use such names."""
    ear = NotifySocket(f"@cutoutd-test-{os.getpid()}")
    ServiceManager.from_environment({"NOTIFY_SOCKET": ear.address}).ready()
    assert ear.messages() == ["READY=1"]
    ear.close()


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_where_nobody_listens_nothing_is_sent(environ: dict[str, str]) -> None:
    """A vsock: address leads out of this machine, and is no AF_UNIX socket."""
    manager = ServiceManager.from_environment(environ)
    assert not manager.listens
    manager.ready()


def test_a_manager_that_is_gone_or_does_not_read_holds_up_nothing(ear: NotifySocket, tmp_path: Path) -> None:
    """Its socket's queue is limited; what does not fit in is lost, and sent again later."""
    ServiceManager.from_environment({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    manager = ServiceManager.from_environment({"NOTIFY_SOCKET": ear.address})
    for _ in range(5000):
        manager.feed()
    assert 0 < len(ear.messages()) < 5000


@pytest.mark.parametrize(
    ("environ", "every_s"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 20 / FEEDS_PER_PERIOD),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 20 / FEEDS_PER_PERIOD),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_keep_alives_are_sent_only_to_our_own_watchdog(
    environ: dict[str, str], every_s: float | None
) -> None:
    """Not if the variable was meant for a parent."""
    manager = ServiceManager.from_environment({"NOTIFY_SOCKET": "/n", **environ})
    assert manager.feed_every_s == every_s
