"""A ledger that is removed, renamed, replaced or emptied: nothing is sent into the void, and `audit` says what is missing."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.daemon.postroom import PostRoom
from cutoutd.egress import Outcome
from cutoutd.journal.journal import Journal
from cutoutd.journal.uploads import note_upload
from cutoutd.uploaded import Known, write_known
from tests.hosted_server import HostedServer
from tests.integration.uploading import PATIENCE_S, Station, picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def removed(path: Path) -> None:
    """As by rm."""
    path.unlink()


def renamed(path: Path) -> None:
    """As by mv."""
    path.rename(path.with_name("old"))


def replaced(path: Path) -> None:
    """As by a restored backup."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def emptied(path: Path) -> None:
    """As by > ledger.sqlite."""
    os.truncate(path, 0)


HOW = [removed, renamed, replaced, emptied]


def audit(station: Station) -> subprocess.CompletedProcess[str]:
    """What `cutoutd audit` says."""
    return subprocess.run(station.command("audit"), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", HOW, ids=lambda one: one.__name__)
def test_a_ledger_that_goes_while_it_is_written_stops_all_sending(
    tmp_path: Path, how: Callable[[Path], None]
) -> None:
    """SQLite would write on into a file that nobody finds again; the uploader ends, and says so."""
    with HostedServer() as server, Station(tmp_path, server.url) as station:
        station.start()
        assert station.reply(station.request(picture(1))).outcome is Outcome.OK
        how(station.places.root / "ledger.sqlite")
        assert station.process is not None
        assert station.process.wait(PATIENCE_S) == 5
        assert "The ledger of uploads is damaged" in station.log.read_text()
        assert len(server.seen) == 1


@pytest.mark.parametrize("how", [removed, renamed, emptied], ids=lambda one: one.__name__)
def test_audit_says_what_the_journal_knows_and_the_ledger_does_not(
    tmp_path: Path, how: Callable[[Path], None]
) -> None:
    """Before: "Nothing ever left this machine". Also when a new ledger was begun since."""
    with HostedServer() as server, Station(tmp_path, server.url) as station:
        station.start()
        reply = station.reply(station.request(picture(1)))
        assert station.stop() == 0
        journal = Journal(station.state, run="0" * 32, clock=Clock())
        note_upload(journal.store, reply.id, reply.at)
        note_upload(journal.store, reply.id, reply.at)
        journal.close()
        whole = audit(station)
        assert (whole.returncode, whole.stderr) == (0, "")
        how(station.places.root / "ledger.sqlite")
        said = audit(station)
        assert said.returncode != 0
        assert "Nothing ever left" not in said.stdout
        if how is not emptied:
            assert "the journal knows of 1 pictures that were sent" in said.stderr
        (station.places.root / "ledger.sqlite").unlink(missing_ok=True)
        station.start()
        assert station.reply(station.request(picture(2))).outcome is Outcome.OK
        later = audit(station)
        assert later.returncode == 1
        assert "IS NOT WHOLE" in later.stderr


@pytest.mark.parametrize("how", [removed, emptied], ids=lambda one: one.__name__)
def test_a_ledger_that_went_while_stopped_does_not_begin_the_days_limit_anew(
    tmp_path: Path, how: Callable[[Path], None]
) -> None:
    """Before: it was made anew without a word, and the limit spent a second time; now a person has to resume."""
    with (
        HostedServer() as server,
        Station(tmp_path, server.url, hosted={"max_credits_per_day": "0.25"}) as station,
    ):
        journal = Journal(station.state, run="0" * 32, clock=Clock())
        post = PostRoom(
            station.state, journal, Clock(), max_upload_px=0, once=False, in_force=station.settings
        )
        post.open()
        station.start()
        reply = station.reply(station.request(picture(1)))
        note_upload(journal.store, reply.id, reply.at)
        assert station.stop() == 0
        how(station.places.root / "ledger.sqlite")
        post.open()
        waiting = station.request(picture(2))
        station.start()
        told = station.wait_for_route("paused")
        assert "the journal knows of 1 pictures that were sent" in told["why"]
        assert "`cutoutd resume --hosted`" in told["why"]
        assert "hosted.ledger-not-whole" in station.log.read_text()
        assert station.stop() == 0
        station.start()  # a new ledger is there by now, and lacks it still
        station.wait_for_route("paused")
        assert station.is_waiting(waiting)
        assert len(server.seen) == 1
        station.resume()
        reply = station.reply(waiting)
        assert reply.outcome is Outcome.OK
        note_upload(journal.store, reply.id, reply.at)
        post.tell_uploaded()
        assert station.stop() == 0
        station.start()  # what was accepted once is not asked for again
        assert station.wait_for_route("open")["why"] == ""
        journal.close()


def test_a_whole_ledger_is_not_held_up_by_what_the_journal_knows(tmp_path: Path) -> None:
    """Nor by one that knows less, as after it was rebuilt."""
    with HostedServer() as server, Station(tmp_path, server.url) as station:
        station.start()
        for number in range(2):
            reply = station.reply(station.request(picture(number)))
        write_known(station.places.uploaded, Known(count=1, last=reply.id, at=reply.at))
        assert station.reply(station.request(picture(3))).outcome is Outcome.OK
        assert station.told()["route"] == "open"
