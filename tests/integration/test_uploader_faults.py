"""An invalid request or reply, a contract that raises, and a crash over one picture: each affects that picture only."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

import pytest

from cutoutd.exchange import messages, spool
from cutoutd.exchange.spool import Body, Request, SpoolPaths, UploadOutcome, UploadReply
from cutoutd.hosted.crash_marks import MOST_DEATHS, CrashMarks
from cutoutd.hosted.ledger import FILE_NAME
from cutoutd.hosted.providers import RemoveBg
from cutoutd.hosted.uploader import Uploader
from tests.hosted_server import HostedServer
from tests.integration.uploader_parts import context, request, sender_of
from tests.integration.uploading import PATIENCE_S, UploaderSetup, picture
from tests.spooled import replies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.hosted.context import UploadContext
    from cutoutd.hosted.provider import HttpRequest, Upload

HUGE: Final = messages.MAX_BYTES + 1


@contextmanager
def running_uploader(shared: UploadContext) -> Iterator[None]:
    """Run the uploader's loop in this process while the body runs, and end it in order."""
    runner = threading.Thread(
        target=Uploader(
            shared, sender_of(shared), announced=spool.announcement(shared.paths), layers=(), parent=None
        ).run
    )
    runner.start()
    try:
        yield
        assert runner.is_alive()
    finally:
        shared.stopping.set()
        runner.join(PATIENCE_S)
        shared.client.close()
        shared.ledger.close_file()


def reply_to(shared: UploadContext, id_: str) -> UploadReply:
    """Wait for a reply."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return spool.read_reply(shared.paths.inbox / f"{id_}.json")
        except FileNotFoundError:
            assert time.monotonic() < end_s, id_
            time.sleep(0.02)


def fields(path: Path, **changes: object) -> None:
    """Change fields of a message."""
    found = json.loads(path.read_bytes())
    path.write_text(json.dumps(found | changes), encoding="utf-8")


def in_place(make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Return a function that puts something else under the name of a message."""

    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


def bound_socket(path: Path) -> None:
    """Make a socket, bound by a short address, whatever the path."""
    here = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


KINDS: Final[dict[str, Callable[[Path], object]]] = {
    "empty": lambda path: path.write_bytes(b""),
    "NUL bytes": lambda path: path.write_bytes(bytes(5000)),
    "huge": lambda path: path.write_bytes(b"[" * HUGE),
    "deep": lambda path: path.write_bytes(b'{"a":' * 10_000),
    "cut short": lambda path: os.truncate(path, 30),
    "not UTF-8": lambda path: path.write_bytes(path.read_bytes().replace(b"}", b"\xff}")),
    "half a character": lambda path: fields(path, cause="\ud800", why="\ud800"),
    "a list": lambda path: path.write_bytes(b"[]"),
    "another schema": lambda path: fields(path, schema="cutoutd.parcel/9"),
    "another's id": lambda path: fields(path, id="0" * 32),
    "another's file": lambda path: fields(path, file="0" * 32 + ".json"),
    "a path": lambda path: fields(path, file="../ledger.sqlite"),
    "a text for a number": lambda path: fields(path, more=[1], bytes="1"),
    "no number": lambda path: path.write_text(path.read_text().replace('"bytes": ', '"bytes": NaN, "b": ')),
    "beyond 64 bits": lambda path: fields(path, bytes=1 << 70),
    "below nothing": lambda path: fields(path, bytes=-1),
    "a directory": in_place(lambda path: (path / "a").mkdir(parents=True)),
    "a pipe": in_place(os.mkfifo),
    "a socket": in_place(bound_socket),
    "a link": in_place(lambda path: path.symlink_to("/etc/passwd")),
    "a link to itself": in_place(lambda path: path.symlink_to(path)),
}
WRONG: Final[tuple[object, ...]] = (None, True, -1, 1 << 70, 1.5, "x", [], {})


def test_an_invalid_request_is_answered_and_holds_up_no_other(tmp_path: Path) -> None:
    """Before, such a request was skipped for ever, or one exception ended the uploader, which met it again."""
    with HostedServer() as server:
        shared = context(tmp_path, server)
        damaged = {}
        for name, spoil in KINDS.items():
            created = request(shared.paths, picture(1))
            spoil(shared.paths.outbox / f"{created.id}.json")
            damaged[created.id] = name
        for name in ("bytes", "width", "height", "job"):
            for number, value in enumerate(WRONG):
                created = request(shared.paths, picture(1))
                fields(shared.paths.outbox / f"{created.id}.json", **{name: value})
                damaged[created.id] = f"{name} {number}"
        gone = request(shared.paths, picture(1))
        good = request(shared.paths, picture(2))
        (shared.paths.outbox / f"{gone.id}.json").unlink()
        with running_uploader(shared):
            assert reply_to(shared, good.id).outcome is UploadOutcome.OK
            for id_, name in damaged.items():
                reply = reply_to(shared, id_)
                assert (reply.outcome, reply.bytes) == (UploadOutcome.FAILED, 0), name
                assert "is damaged" in reply.cause, name
                assert reply.advice
        assert len(server.seen) == 1
        assert not list(shared.paths.outbox.glob("*.json"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Faulty(RemoveBg):
    """A contract that raises for pictures of one width, at one of its steps."""

    step: str
    width: int = 66

    def price(self, upload: Upload) -> float:
        """Return the price."""
        self.meet("price", upload)
        return 0.25

    def http_request(self, upload: Upload, boundary: str) -> HttpRequest:
        """Return the request of the contract, with a possible fault in reading the answer."""
        self.meet("question", upload)
        created = RemoveBg.http_request(self, upload, boundary)
        if upload.width != self.width or self.step != "unwrap":
            return created

        def unwrap(_: bytes) -> bytes:
            raise ZeroDivisionError(self.step)

        return replace(created, unwrap=unwrap)

    def error_text(self, content: bytes) -> str:
        """Return the error text of an answer."""
        if self.step == "complaint":
            raise RecursionError(self.step)
        return RemoveBg.error_text(self, content)

    def meet(self, step: str, upload: Upload) -> None:
        """Raise the fault."""
        if self.step == step and upload.width == self.width:
            raise KeyError(step)


@pytest.mark.parametrize(
    ("step", "outcome", "cost"),
    [
        ("price", UploadOutcome.FAILED, 0.0),
        ("question", UploadOutcome.FAILED, 0.0),
        ("unwrap", UploadOutcome.UNKNOWN, 0.25),
        ("complaint", UploadOutcome.UNKNOWN, 0.25),
    ],
)
def test_a_contract_that_raises_costs_its_picture_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], step: str, outcome: UploadOutcome, cost: float
) -> None:
    """Before, the uploader ended, and met the same picture again. What may have been billed is not sent again."""
    with HostedServer() as server:
        shared = context(tmp_path, server, contract=Faulty(key=None, full_price=1.0, step=step))
        bad = request(shared.paths, picture(1, width=66), width=66)
        with running_uploader(shared):
            reply = reply_to(shared, bad.id)
            assert (reply.outcome, reply.bytes > 0) == (outcome, bool(cost))
            assert "Error" in reply.cause
            sent = len(server.seen)
            assert sent == (1 if cost else 0)
            if step != "complaint":
                assert reply_to(shared, request(shared.paths, picture(2)).id).outcome is UploadOutcome.OK
            again = request(shared.paths, picture(1, width=66), width=66)
            assert reply_to(shared, again.id).outcome is outcome
            assert len(server.seen) == sent + (step != "complaint")
            assert sum(one["counted"] for one in shared.ledger.all()) == cost + (step != "complaint") * 0.25
        captured = capsys.readouterr()
        assert (captured.out + captured.err).count("internal error; please report") >= 1


DEADLY: Final = """
import os, signal, sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from cutoutd.exchange import messages, spool
from cutoutd.hosted.ledger import FILE_NAME
from cutoutd.hosted.providers import RemoveBg
from cutoutd.hosted.uploader import Uploader
from tests.integration.uploader_parts import context, sender_of

class Deadly(RemoveBg):
    def http_request(self, upload, boundary):
        if upload.width == 66:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().http_request(upload, boundary)

shared = context(Path(sys.argv[1]), SimpleNamespace(url=sys.argv[2]), contract=Deadly(key=None, full_price=1.0))
Uploader(shared, sender_of(shared), announced=spool.announcement(shared.paths), layers=(), parent=None).run()
"""


def test_a_picture_over_which_the_uploader_dies_repeatedly_is_given_up(tmp_path: Path) -> None:
    """Before, the picture was tried for ever.

    Others go on meanwhile, and one or two deaths fail no picture.
    """
    with HostedServer() as server:
        paths = SpoolPaths.under(tmp_path)
        paths.make()
        bad = request(paths, picture(1, width=66), width=66)
        command = [sys.executable, "-c", DEADLY, os.fspath(tmp_path), server.url]
        for _ in range(MOST_DEATHS):
            assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
        good = request(paths, picture(2))
        shared = context(tmp_path, server)
        with running_uploader(shared):
            reply = reply_to(shared, bad.id)
            assert (reply.outcome, reply.bytes) == (UploadOutcome.FAILED, 0)
            assert f"ended {MOST_DEATHS} times" in reply.cause
            assert reply_to(shared, good.id).outcome is UploadOutcome.OK
        assert len(server.seen) == 1


def test_deaths_are_counted_for_handled_requests_alone(tmp_path: Path) -> None:
    """The count is forgotten with the request."""
    one, other = "1" * 32, "2" * 32
    for _ in range(MOST_DEATHS):
        marks = CrashMarks(tmp_path)
        marks.take(one)
        marks.take(other)
        marks.release(other)
    marks = CrashMarks(tmp_path)
    assert marks.is_fatal(one)
    assert not marks.is_fatal(other)
    marks.keep_only({other})
    assert not CrashMarks(tmp_path).is_fatal(one)


def good_reply() -> UploadReply:
    """Return a reply with a picture."""
    id_ = messages.new_id()
    return UploadReply(
        id=id_,
        outcome=UploadOutcome.OK,
        body=Body.CUTOUT,
        file=f"{id_}.body",
        bytes=9,
        at="2026-01-31T10:00:00.000Z",
    )


@pytest.mark.parametrize(
    "spoil",
    [
        *KINDS.values(),
        lambda path: fields(path, body=None),
        lambda path: fields(path, file=""),
        lambda path: fields(path, file="0" * 32 + ".body"),
        lambda path: fields(path, at="next week"),
        lambda path: fields(path, credits=-1.0),
        lambda path: path.write_text(path.read_text().replace('"credits": null', '"credits": Infinity')),
        lambda path: fields(path, outcome="failed"),
    ],
)
def test_an_invalid_reply_leaves_its_upload_unknown(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    """Before, it was skipped for ever, and its picture waited; or it was believed, and a local cutout was reported as hosted."""
    paths = SpoolPaths.under(tmp_path)
    paths.make()
    created, other = good_reply(), good_reply()
    spool.write_message(paths.inbox, created)
    spool.write_message(paths.inbox, other)
    spoil(paths.inbox / f"{created.id}.json")
    found = {reply.id: reply for reply in replies(paths)}
    assert found[other.id] == other
    assert found[created.id].outcome is UploadOutcome.UNKNOWN
    assert "is damaged" in found[created.id].cause
    spool.remove_message(paths.inbox, created.id)
    assert not os.path.lexists(paths.inbox / f"{created.id}.json")


def test_fields_are_as_they_were_written(tmp_path: Path) -> None:
    """The checks do not refuse valid values."""
    paths = SpoolPaths.under(tmp_path)
    paths.make()
    created = request(paths)
    assert spool.read_request(paths.outbox / f"{created.id}.json") == created
    assert Request(**asdict(created)) == created


def test_thousands_of_requests_are_checked_quickly(tmp_path: Path) -> None:
    """Before, each check took 3.5 ms, in which nothing was sent."""
    with HostedServer() as server:
        shared = context(tmp_path, server)
        first = request(shared.paths)
        others = [
            replace(first, id=id_, file=f"{id_}.jpg") for id_ in (messages.new_id() for _ in range(2000))
        ]
        for made in others:
            content = json.dumps({"schema": spool.SCHEMA} | asdict(made))
            (shared.paths.outbox / f"{made.id}.json").write_text(content, encoding="ascii")
        started_s = time.process_time()
        assert len(list(spool.requests(shared.paths))) == 2001
        assert time.process_time() - started_s < 2.0
        shared.client.close()
        shared.ledger.close_file()


def test_an_earlier_versions_state_is_taken_over(tmp_path: Path) -> None:
    """Waiting requests are sent, open uploads are unknown, answers are delivered, and the limit of the day goes on."""
    with (
        HostedServer() as server,
        UploaderSetup(tmp_path, server.url, hosted={"max_credits_per_day": "1"}) as uploader_setup,
    ):
        uploader_setup.start()
        answered = uploader_setup.reply(paid := uploader_setup.request(picture(1)))
        assert uploader_setup.stop() == 0
        # As version 0.1 leaves it: no number in the ledger, nothing of ours beside it, and fewer fields.
        paths = uploader_setup.paths
        for name in ("ledger.json", "status.json"):
            (paths.root / name).unlink()
        (paths.root / "in-hand").rmdir()
        spool.remove_message(paths.inbox, answered.id)
        spool.write_message(paths.outbox, paid)
        (paths.outbox / paid.file).write_bytes(picture(1))
        flying, waiting = (
            uploader_setup.request(picture(2)),
            [uploader_setup.request(picture(n)) for n in (3, 4)],
        )
        for made in (paid, flying, *waiting):
            path = paths.outbox / f"{made.id}.json"
            old = json.loads(path.read_text())
            del old["settings"]
            path.write_text(json.dumps(old))
        with closing(sqlite3.connect(paths.root / FILE_NAME)) as ledger:
            ledger.execute("PRAGMA application_id = 0")
            columns = "folder, job, why, source_sha256, bytes, width, height, provider, host, options, again, expected, began_us"
            ledger.execute(
                f"INSERT INTO upload (request, sha256, {columns}) SELECT ?, ?, {columns} FROM upload",  # noqa: S608 -- ours
                (flying.id, flying.sha256),
            )
            ledger.commit()
        uploader_setup.start()
        assert uploader_setup.reply(flying).outcome is UploadOutcome.UNKNOWN
        again = uploader_setup.reply(paid)
        assert (again.outcome, again.body, again.credits) == (
            UploadOutcome.OK,
            answered.body,
            answered.credits,
        )
        assert [uploader_setup.reply(made).outcome for made in waiting] == [
            UploadOutcome.OK,
            UploadOutcome.OK,
        ]
        assert len(server.seen) == 3
        over = uploader_setup.request(picture(5))
        end_s = time.monotonic() + PATIENCE_S
        while "credits a day" not in json.dumps(uploader_setup.status()):
            assert time.monotonic() < end_s, uploader_setup.status()
            time.sleep(0.05)
        assert uploader_setup.is_waiting(over)
        assert len(server.seen) == 3


def test_an_earlier_versions_reply_is_read(tmp_path: Path) -> None:
    """The earlier reply has no field for what counts."""
    paths = SpoolPaths.under(tmp_path)
    paths.make()
    created = good_reply()
    old = {"schema": spool.SCHEMA} | asdict(created)
    del old["counted"]
    (paths.inbox / f"{created.id}.json").write_text(json.dumps(old), encoding="ascii")
    assert replies(paths) == [created]
