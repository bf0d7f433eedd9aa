"""A restarted page uses its former port, also if a lower port is free now."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import StorageError
from cutoutd.fs.private_lock import LOCK_FILE
from cutoutd.page import announcement
from cutoutd.settings.page import PageSettings
from cutoutd.webserver.backend import listener, single_process

if TYPE_CHECKING:
    from pathlib import Path


def _free_ports() -> tuple[int, int]:
    """Return two ports of which the second is a little higher; both are free."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as one:
            port: int = one.getsockname()[1]
            try:
                with socket.create_server(("127.0.0.1", port + 3)):
                    return port, port + 3
            except OSError:
                continue


def test_the_port_of_the_last_time_is_tried_first() -> None:
    """Where it is taken or not configured, the first free port is used."""
    port, former = _free_ports()
    page = PageSettings.model_validate({"address": f"127.0.0.1:{port}"})
    with listener.listening(page, section="page", former=former) as again:
        assert again.getsockname()[1] == former
        with listener.listening(page, section="page", former=former) as beside:
            assert beside.getsockname()[1] not in (former, 0)
    with listener.listening(page, section="page", former=1) as first:
        assert first.getsockname()[1] >= port


def test_the_port_of_the_last_time_is_read_from_what_a_killed_page_left(tmp_path: Path) -> None:
    """If the file is missing or invalid, there is no former port."""
    place = tmp_path / "page"
    assert announcement.former_port(tmp_path) is None
    place.mkdir(mode=0o700)
    single_process.announce(place, "http://127.0.0.1:7981")
    assert single_process.former_port(place) == 7981
    single_process.announce(place, "nothing")
    assert single_process.former_port(place) is None


def test_an_address_that_cannot_be_written_is_a_fault_of_the_disk(tmp_path: Path) -> None:
    """It ended the first start on a full disk with a trace, and a request to report it."""
    (tmp_path / single_process.ADDRESS / "in the way").mkdir(parents=True)
    with pytest.raises(StorageError, match="the system says"):
        single_process.announce(tmp_path, "http://127.0.0.1:7981")


@pytest.mark.timeout(20)
def test_a_lock_that_is_a_fifo_is_no_service(tmp_path: Path) -> None:
    """It blocked whoever asked for the address, for ever."""
    os.mkfifo(tmp_path / LOCK_FILE)
    assert single_process.served_at(tmp_path) is None
