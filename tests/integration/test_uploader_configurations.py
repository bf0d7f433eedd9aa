"""Uploader and supervisor with configurations of different age: an unknown request waits, and nothing fails."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cutoutd.exchange import spool
from cutoutd.exchange.spool import UploadOutcome
from tests.hosted_server import HostedServer
from tests.integration.uploading import PATIENCE_S, UploaderSetup, picture

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
def uploader_setup(tmp_path: Path, server: HostedServer) -> Iterator[UploaderSetup]:
    """An uploader with two folders, the second of which is not tagged yet."""
    folders = {"tagged": 'route = "hosted"', "other": 'route = "local"'}
    with UploaderSetup(tmp_path, server.url, folders=folders) as made:
        yield made


def tag_the_other(uploader_setup: UploaderSetup) -> None:
    """Tag the second folder in the file, as its owner would."""
    text = uploader_setup.config.read_text("utf-8")
    uploader_setup.config.write_text(text.replace('route = "local"', 'route = "hosted"'), encoding="utf-8")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, f"no {what}"
        time.sleep(0.02)


def test_folders_tagged_by_a_newer_configuration_wait_until_the_uploader_reads_it(
    uploader_setup: UploaderSetup, server: HostedServer
) -> None:
    """Twelve pictures of a folder that it does not know yet: none fails, and all are sent after its restart."""
    uploader_setup.start()
    tag_the_other(uploader_setup)
    waiting = [uploader_setup.request(picture(number), folder="other") for number in range(12)]
    known = uploader_setup.request(picture(99))
    assert uploader_setup.reply(known).outcome is UploadOutcome.OK  # it has looked into the outbox
    assert all(uploader_setup.is_waiting(request) for request in waiting)
    assert len(server.seen) == 1
    spool.announce(uploader_setup.paths, uploader_setup.settings())
    assert uploader_setup.process is not None
    assert uploader_setup.process.wait(PATIENCE_S) == 0
    uploader_setup.start()
    assert {uploader_setup.reply(request).outcome for request in waiting} == {UploadOutcome.OK}


def test_requests_by_an_older_configuration_wait_until_the_supervisor_has_read_the_newer(
    uploader_setup: UploaderSetup, server: HostedServer
) -> None:
    """The uploader has the newer configuration: the folder's status says that it waits, and the stamped request is answered."""
    uploader_setup.start()
    request = uploader_setup.request(picture(1), folder="other", settings=OTHER)
    until(lambda: uploader_setup.status().get("waiting") == 1, "request that waits")
    assert uploader_setup.is_waiting(request)
    assert server.seen == []
    until(lambda: "different configurations" in uploader_setup.status()["folders"]["other"]["why"], "reason")
    # The supervisor has read the same configuration, and asks all the same: then it is wrong, and told so.
    spool.write_message(uploader_setup.paths.outbox, replace(request, settings=uploader_setup.settings()))
    assert uploader_setup.reply(request).outcome is UploadOutcome.FAILED


def test_a_request_of_an_older_configuration_is_sent_where_both_allow_it(
    uploader_setup: UploaderSetup,
) -> None:
    """Differences in other settings delay nothing."""
    uploader_setup.start()
    assert (
        uploader_setup.reply(uploader_setup.request(picture(1), settings=OTHER)).outcome is UploadOutcome.OK
    )


def test_an_announcement_of_the_same_configuration_changes_nothing(uploader_setup: UploaderSetup) -> None:
    """However often it is repeated.

    Another configuration restarts the uploader, but not again and again within moments.
    """
    uploader_setup.start()
    assert uploader_setup.process is not None
    started_s = time.monotonic()
    for _ in range(20):
        spool.announce(uploader_setup.paths, uploader_setup.settings())
        time.sleep(0.05)
    assert uploader_setup.process.poll() is None
    while uploader_setup.process.poll() is None:
        spool.announce(uploader_setup.paths, OTHER)
        time.sleep(0.05)
        assert time.monotonic() < started_s + PATIENCE_S
    assert time.monotonic() > started_s + 2.0
    assert uploader_setup.process.returncode == 0
