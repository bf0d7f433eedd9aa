"""A ledger that is removed, renamed, replaced or emptied: no upload goes unrecorded, and `audit` says what is missing."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest
import typer

from cutoutd.cli import hosted as cli
from cutoutd.clock import Clock, rfc3339
from cutoutd.doctor import state
from cutoutd.exchange import spool
from cutoutd.exchange.spool import SpoolPaths, UploadOutcome
from cutoutd.exchange.upload_records import (
    KnownUploads,
    LedgerStart,
    read_known,
    traces,
    write_begun,
    write_known,
)
from cutoutd.hosted.ledger import FILE_NAME, Ledger, LedgerDamagedError
from cutoutd.hosted.ledger_recovery import LedgerOpener, opened
from cutoutd.hosted.status import UploaderStatus
from cutoutd.journal.journal import Journal
from cutoutd.journal.uploads import note_upload
from cutoutd.offload.outbox import Outbox
from cutoutd.process.stop_flag import StopFlag
from cutoutd.settings.loader import load
from tests.hosted_server import HostedServer
from tests.integration.uploader_parts import answer, close, context, request, settings_for
from tests.integration.uploading import PATIENCE_S, UploaderSetup, picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


NOW: Final = "2026-01-31T10:00:00.000Z"


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def removed(path: Path) -> None:
    """Remove the ledger, as by rm."""
    path.unlink()


def renamed(path: Path) -> None:
    """Rename the ledger, as by mv."""
    path.rename(path.with_name("old"))


def replaced(path: Path) -> None:
    """Replace the ledger, as by a restored backup."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def emptied(path: Path) -> None:
    """Empty the ledger, as by > ledger.sqlite."""
    os.truncate(path, 0)


HOW = [removed, renamed, replaced, emptied]


def written_over(path: Path) -> None:
    """Overwrite the ledger with that of another machine, as by cp: the same file with other bytes."""
    other = path.parent / "elsewhere" / path.name
    other.parent.mkdir()
    Ledger(other, create=True).close_file()
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("how", [*HOW, written_over], ids=lambda one: one.__name__)
def test_a_ledger_that_is_not_the_one_that_was_opened_takes_no_row(
    tmp_path: Path, how: Callable[[Path], None]
) -> None:
    """SQLite would go on writing into a file without a name. Uploads in progress are answered all the same."""
    with HostedServer() as server:
        shared = context(tmp_path, server)
        assert answer(shared, request(shared.paths, picture(1))).outcome is UploadOutcome.OK
        server.on_headers = lambda _: how(shared.paths.root / FILE_NAME)
        # Taken away while its upload was under way: what came is paid for, and told.
        reply = answer(shared, request(shared.paths, picture(2)))
        assert (reply.outcome, reply.credits, reply.counted) == (UploadOutcome.OK, 0.25, 0.25)
        with pytest.raises(LedgerDamagedError):
            answer(shared, request(shared.paths, picture(3)))
        assert len(server.seen) == 2
        close(shared)


def kept_reply(paths: SpoolPaths) -> None:
    """Keep a reply that was paid for."""
    (paths.root / "replies").mkdir()
    (paths.root / "replies" / f"{'0' * 64}.body").touch()


TRACES: dict[str, Callable[[SpoolPaths], object]] = {
    "its own mark": lambda paths: write_begun(paths.root, LedgerStart(id=7, at=NOW)),
    "the journal": lambda paths: write_known(paths.uploaded, KnownUploads(count=1, last="1" * 32, at=NOW)),
    "the status": lambda paths: paths.status.write_text(
        json.dumps({"at": NOW, "today": {"uploads": 1}, "folders": {"a": {"credits": 1.5}}})
    ),
    "kept replies": kept_reply,
}


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("size", [None, 0])
def test_no_ledger_is_created_where_there_are_traces_of_an_earlier_one(
    tmp_path: Path, trace: str, size: int | None
) -> None:
    """Before, a new one was created silently, with new limits for the day, and `audit` reported that nothing ever left."""
    paths = SpoolPaths.under(tmp_path)
    paths.make()
    path = paths.root / FILE_NAME
    TRACES[trace](paths)
    if size is not None:
        path.touch()
    with pytest.raises(LedgerDamagedError, match=r"it is (gone|empty), but .*`cutoutd resume --hosted`"):
        opened(paths, Clock().now_us())
    assert (path.stat().st_size if path.exists() else None) == size
    assert traces(paths.root) in state.ledger_lost(paths)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a ledger" * 100,
        b"SQLite format 3\0" + b"\xff" * 4096,
        "another's",
        "a directory",
        "cut short",
    ],
)
def test_an_invalid_ledger_waits_for_a_person(tmp_path: Path, content: bytes | str) -> None:
    """Before, the uploader ended again and again. Its status gives the reason, and what was spent today still counts."""
    paths, now = SpoolPaths.under(tmp_path), rfc3339(Clock().now_us())
    paths.make()
    path = paths.root / FILE_NAME
    first = opened(paths, Clock().now_us())
    write_begun(paths.root, LedgerStart(id=first.id, at=now))
    first.close_file()
    spent = KnownUploads(count=2, last="1" * 32, at=now, day=now[:10], credits={"a": 2.0, "b": 1.0})
    write_known(paths.uploaded, spent)
    UploaderStatus(
        pid=None,
        at=now,
        day=now[:10],
        provider="removebg",
        host="h",
        sandbox=(),
        route="open",
        why="",
        today={"uploads": 3},
        folders={"a": {"credits": 2.5}},
    ).write(paths)
    if content == "another's":
        path.unlink()
        Ledger(path, create=True).close_file()
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA application_id = 7")
    elif content == "a directory":
        path.unlink()
        path.mkdir()
    elif content == "cut short":
        os.truncate(path, 8192)
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    opener = LedgerOpener(
        paths=paths,
        clock=Clock(),
        stopping=StopFlag(),
        parent=None,
        announced="",
        settings=settings_for("http://127.0.0.1:9"),
        layers=(),
    )
    found: list[Ledger | None] = []
    runner = threading.Thread(target=lambda: found.append(opener.ledger()))
    runner.start()
    wait_until(lambda: bool(spool.uploader_status(paths)))
    status = spool.uploader_status(paths)
    assert status["route"] == "paused"
    assert "the ledger of uploads is lost or damaged" in status["why"]
    assert "`cutoutd resume --hosted`" in status["why"]
    assert not found
    paths.resumed.touch()
    runner.join(PATIENCE_S)
    (ledger,) = found
    assert ledger is not None
    accepted = read_known(paths.accepted)
    assert accepted is not None
    assert dict(accepted.credits) == {"a": 2.5, "b": 1.0}
    assert len(list(paths.root.glob("ledger.sqlite.damaged-*"))) == 1
    ledger.close_file()
    opened(paths, Clock().now_us()).close_file()  # the next start finds nothing amiss


def test_a_restored_backup_is_used(tmp_path: Path) -> None:
    """Also one of a version whose ledgers had no number."""
    paths = SpoolPaths.under(tmp_path)
    paths.make()
    path = paths.root / FILE_NAME
    first = opened(paths, Clock().now_us())
    number = first.id
    write_begun(paths.root, LedgerStart(id=number, at=NOW))
    first.close_file()
    with closing(sqlite3.connect(path)) as backup:
        backup.execute("PRAGMA application_id = 0")
    again = opened(paths, Clock().now_us())
    assert again.id == number
    again.close_file()


def audit(uploader_setup: UploaderSetup, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Return output and errors of `cutoutd audit` where something is missing."""
    with pytest.raises(typer.Exit) as end:
        cli.audit(config=uploader_setup.config)
    assert end.value.exit_code == 1
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_ledger_that_is_removed_while_it_is_written_closes_the_route_until_a_person_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before, nothing was reported, or a wrong reason; a restart created a new ledger with new limits for the day."""
    with (
        HostedServer() as server,
        UploaderSetup(tmp_path, server.url, hosted={"max_credits_per_day": "0.5"}) as uploader_setup,
    ):
        journal = Journal(uploader_setup.state, session="0" * 32, clock=Clock())
        outbox = Outbox(
            uploader_setup.state,
            journal,
            Clock(),
            max_upload_px=0,
            once=False,
            in_force=uploader_setup.settings,
        )
        outbox.open()
        uploader_setup.start()
        reply = uploader_setup.reply(uploader_setup.request(picture(1)))
        note_upload(journal.store, reply.id, reply.at, folder="tagged", counted=reply.counted)
        outbox.share_upload_count()
        removed(uploader_setup.paths.root / FILE_NAME)
        assert uploader_setup.process is not None
        assert uploader_setup.process.wait(PATIENCE_S) == 5  # whoever keeps it starts it again
        assert "The ledger of uploads is damaged" in uploader_setup.log.read_text()
        first, second = uploader_setup.request(picture(2)), uploader_setup.request(picture(3))
        status = uploader_setup.start().wait_for_route("paused")
        assert "it is gone, but the journal knows of 1 pictures that were sent" in status["why"]
        wait_until(lambda: "hosted.ledger-lost" in uploader_setup.log.read_text())
        capsys.readouterr()
        out, err = audit(uploader_setup, capsys)
        assert out == ""
        assert "THE LEDGER OF UPLOADS IS MISSING" in err
        findings = [one for one in state.judge(load(uploader_setup.config, {})) if one.level == "problem"]
        assert len(findings) == 1
        assert "is gone" in findings[0].seen
        assert "`cutoutd resume --hosted`" in findings[0].advice
        uploader_setup.resume()
        replies = [uploader_setup.paths.inbox / f"{one.id}.json" for one in (first, second)]
        wait_until(lambda: any(path.exists() for path in replies))
        wait_until(lambda: "credits a day" in json.dumps(uploader_setup.status()))
        # 0.25 of before and 0.25 of now: the limit is reached, though the new ledger knows of the latter alone.
        assert sum(path.exists() for path in replies) == 1
        assert len(server.seen) == 2
        assert uploader_setup.status()["route"] == "open"
        assert "IS INCOMPLETE" in audit(uploader_setup, capsys)[1]
        journal.close()


def test_a_ledger_that_lacks_what_the_journal_knows_sends_nothing_until_a_person_resumes(
    tmp_path: Path,
) -> None:
    """Such as a restored older backup; a gap that a person has accepted is not reported again."""
    with (
        HostedServer() as server,
        UploaderSetup(tmp_path, server.url, hosted={"max_credits_per_day": "1"}) as uploader_setup,
    ):
        opened(uploader_setup.paths, Clock().now_us()).close_file()
        now = rfc3339(Clock().now_us())
        spent = KnownUploads(count=2, last="1" * 32, at=now, day=now[:10], credits={"tagged": 0.75})
        write_known(uploader_setup.paths.uploaded, spent)
        waiting = [uploader_setup.request(picture(number)) for number in range(2)]
        status = uploader_setup.start().wait_for_route("paused")
        assert "the journal knows of 2 pictures that were sent" in status["why"]
        wait_until(lambda: "hosted.ledger-not-whole" in uploader_setup.log.read_text())
        uploader_setup.resume()
        wait_until(lambda: "credits a day" in json.dumps(uploader_setup.status()))
        assert sum(map(uploader_setup.is_waiting, waiting)) == 1
        assert len(server.seen) == 1
        assert uploader_setup.stop() == 0
        uploader_setup.start()
        wait_until(lambda: "credits a day" in json.dumps(uploader_setup.status()))
        assert uploader_setup.status()["route"] == "open"


def test_a_whole_ledger_is_not_held_up_by_what_the_journal_knows(tmp_path: Path) -> None:
    """A journal that knows less, as after it was rebuilt, does not hold it up either."""
    with HostedServer() as server, UploaderSetup(tmp_path, server.url) as uploader_setup:
        uploader_setup.start()
        for number in range(2):
            reply = uploader_setup.reply(uploader_setup.request(picture(number)))
        write_known(uploader_setup.paths.uploaded, KnownUploads(count=1, last=reply.id, at=reply.at))
        assert uploader_setup.reply(uploader_setup.request(picture(3))).outcome is UploadOutcome.OK
        assert uploader_setup.status()["route"] == "open"


def test_a_resume_from_before_the_loss_was_reported_is_no_consent_to_it(tmp_path: Path) -> None:
    """The resume was meant for a pause, while cutoutd did not run: nobody knew of the loss then."""
    paths = SpoolPaths(tmp_path)
    paths.make()
    write_begun(paths.root, LedgerStart(id=7, at=NOW))
    paths.resumed.touch()
    stopping = StopFlag()
    opener = LedgerOpener(
        paths=paths,
        clock=Clock(),
        stopping=stopping,
        parent=None,
        announced="",
        settings=settings_for("http://127.0.0.1:9"),
        layers=(),
    )
    found: list[Ledger | None] = []
    runner = threading.Thread(target=lambda: found.append(opener.ledger()))
    runner.start()
    wait_until(lambda: bool(spool.uploader_status(paths)))
    assert spool.uploader_status(paths)["route"] == "paused"
    assert not paths.resumed.exists()
    paths.resumed.touch()
    runner.join(PATIENCE_S)
    assert len(found) == 1
    assert found[0] is not None
    found[0].close_file()


def test_a_resume_from_before_is_no_consent_to_a_ledger_that_lacks_something(tmp_path: Path) -> None:
    """The same with a restored older backup: a resume accepts only losses that were reported before it."""
    with HostedServer() as server, UploaderSetup(tmp_path, server.url) as uploader_setup:
        opened(uploader_setup.paths, Clock().now_us()).close_file()
        write_known(uploader_setup.paths.uploaded, KnownUploads(count=2, last="1" * 32, at=NOW))
        uploader_setup.request(picture(1))
        uploader_setup.resume()
        status = uploader_setup.start().wait_for_route("paused")
        assert "the journal knows of 2 pictures that were sent" in status["why"]
        wait_until(lambda: not uploader_setup.paths.resumed.exists())
        assert server.seen == []
