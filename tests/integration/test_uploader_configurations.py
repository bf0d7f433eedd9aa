"""Uploader and supervisor with configurations of different age: an unknown request waits, and nothing fails."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cutoutd.exchange import spool
from cutoutd.exchange.spool import UploadOutcome
from tests.hosted_server import HostedServer
from tests.integration.uploading import PATIENCE_S, Station, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OTHER = "0" * 64
"""The digest of a configuration that this uploader has not read."""


@pytest.fixture
def server() -> Iterator[HostedServer]:
    """A service."""
    with HostedServer() as made:
        yield made


@pytest.fixture
def station(tmp_path: Path, server: HostedServer) -> Iterator[Station]:
    """An uploader with two folders, the second of which is not tagged yet."""
    folders = {"tagged": 'route = "hosted"', "other": 'route = "local"'}
    with Station(tmp_path, server.url, folders=folders) as made:
        yield made


def tag_the_other(station: Station) -> None:
    """Tag the second folder in the file, as its owner would."""
    text = station.config.read_text("utf-8")
    station.config.write_text(text.replace('route = "local"', 'route = "hosted"'), encoding="utf-8")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, f"no {what}"
        time.sleep(0.02)


def test_folders_tagged_by_a_newer_configuration_wait_until_the_uploader_reads_it(
    station: Station, server: HostedServer
) -> None:
    """Twelve pictures of a folder that it does not know yet: none fails, and all are sent after its restart."""
    station.start()
    tag_the_other(station)
    waiting = [station.request(picture(number), folder="other") for number in range(12)]
    known = station.request(picture(99))
    assert station.reply(known).outcome is UploadOutcome.OK  # it has looked into the outbox
    assert all(station.is_waiting(request) for request in waiting)
    assert len(server.seen) == 1
    spool.announce(station.paths, station.settings())
    assert station.process is not None
    assert station.process.wait(PATIENCE_S) == 0
    station.start()
    assert {station.reply(request).outcome for request in waiting} == {UploadOutcome.OK}


def test_requests_by_an_older_configuration_wait_until_the_supervisor_has_read_the_newer(
    station: Station, server: HostedServer
) -> None:
    """The uploader has the newer configuration: the folder's status says that it waits, and the stamped request is answered."""
    station.start()
    request = station.request(picture(1), folder="other", settings=OTHER)
    until(lambda: station.status().get("waiting") == 1, "request that waits")
    assert station.is_waiting(request)
    assert server.seen == []
    until(lambda: "different configurations" in station.status()["folders"]["other"]["why"], "reason")
    # The supervisor has read the same configuration, and asks all the same: then it is wrong, and told so.
    spool.write_message(station.paths.outbox, replace(request, settings=station.settings()))
    assert station.reply(request).outcome is UploadOutcome.FAILED


def test_a_request_of_an_older_configuration_is_sent_where_both_allow_it(station: Station) -> None:
    """Differences in other settings delay nothing."""
    station.start()
    assert station.reply(station.request(picture(1), settings=OTHER)).outcome is UploadOutcome.OK


def test_an_announcement_of_the_same_configuration_changes_nothing(station: Station) -> None:
    """However often it is repeated.

    Another configuration restarts the uploader, but not again and again within moments.
    """
    station.start()
    assert station.process is not None
    started_s = time.monotonic()
    for _ in range(20):
        spool.announce(station.paths, station.settings())
        time.sleep(0.05)
    assert station.process.poll() is None
    while station.process.poll() is None:
        spool.announce(station.paths, OTHER)
        time.sleep(0.05)
        assert time.monotonic() < started_s + PATIENCE_S
    assert time.monotonic() > started_s + 2.0
    assert station.process.returncode == 0
