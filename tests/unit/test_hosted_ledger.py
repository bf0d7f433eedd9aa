"""The ledger, its sums, the key, and the body of an upload."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import pickle
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.exchange.spool import Body, Request
from cutoutd.hosted import key as keys
from cutoutd.hosted.audit import GroupBy, as_csv, as_json, totals, uploads
from cutoutd.hosted.body import AlteredError, RequestBody
from cutoutd.hosted.entries import AttemptEnd, AttemptOutcome, AttemptStart
from cutoutd.hosted.key import Key
from cutoutd.hosted.ledger import Ledger, LedgerDamagedError
from cutoutd.hosted.provider import Upload
from cutoutd.hosted.providers import RemoveBg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY_US = 86_400_000_000
NOW_US = 19_700 * DAY_US + 5
CONTENT = os.urandom(100_000)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger."""
    with Ledger(tmp_path / "ledger.sqlite", create=True) as ledger:
        yield ledger


def request(id_: str = "a" * 32, *, folder: str = "f", why: str = "why") -> Request:
    """Return a request."""
    return Request(
        id=id_,
        folder=folder,
        job=1,
        why=why,
        file=f"{id_}.jpg",
        bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        width=4,
        height=5,
        source_sha256="1" * 64,
    )


def entry(request_: Request, *, at_us: int = NOW_US) -> AttemptStart:
    """Return what the ledger records before an upload."""
    return AttemptStart(
        request=request_, provider="removebg", host="h", options="o", expected=1.0, began_us=at_us
    )


def test_an_upload_is_there_before_it_ends(ledger: Ledger, tmp_path: Path) -> None:
    """Other processes see it, and it counts at its expected cost."""
    ledger.begin(entry(request()))
    with Ledger(tmp_path / "ledger.sqlite") as other:
        (row,) = uploads(other)
    assert (row["end"], row["bytes"], row["counted"], row["credits"]) == (
        "under way",
        len(CONTENT),
        1.0,
        None,
    )


def test_the_first_rows_of_several_threads_are_recorded(tmp_path: Path) -> None:
    """Each receiver of webhooks has a thread: none is told that the disk refuses, and nothing waits for that."""
    for number in range(20):
        (directory := tmp_path / str(number)).mkdir()
        with Ledger(directory / "ledger.sqlite", create=True) as ledger, ThreadPoolExecutor(8) as threads:
            together = Barrier(8)

            def begin(one: int, ledger: Ledger = ledger, together: Barrier = together) -> int:
                together.wait()
                return ledger.begin(entry(request(f"{one:032x}")))

            assert sorted(threads.map(begin, range(8))) == list(range(1, 9))


def test_every_commit_is_synced_with_its_directory(ledger: Ledger) -> None:
    """As the journal's: a power cut must not undo a row."""
    connection = ledger._database._connection  # noqa: SLF001 -- no behaviour shows it without a power cut
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 3
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"


@pytest.mark.parametrize(
    ("end", "credits_", "counted"),
    [
        (AttemptOutcome.OK, 0.25, 0.25),
        (AttemptOutcome.OK, None, 1.0),
        (AttemptOutcome.UNKNOWN, None, 1.0),
        (AttemptOutcome.UNKNOWN, 0.25, 0.25),
        (AttemptOutcome.FAILED, None, 0.0),
        (AttemptOutcome.REFUSED, None, 0.0),
        (AttemptOutcome.WITHDRAWN, None, 0.0),
        (AttemptOutcome.FAILED, 1.0, 1.0),
    ],
)
def test_an_upload_counts_by_its_charge_or_expected_cost(
    ledger: Ledger, end: AttemptOutcome, credits_: float | None, counted: float
) -> None:
    """The provider's charge, or else the expected cost unless nothing was charged."""
    ledger.close(ledger.begin(entry(request())), AttemptEnd(end=end, credits=credits_, sent=10))
    assert ledger.day(NOW_US)["f"].credits == counted
    assert ledger.day(NOW_US)["f"].bytes == 10
    assert ledger.day(NOW_US + DAY_US) == {}


def test_uploads_that_a_killed_run_left_open_are_unknown(ledger: Ledger) -> None:
    """Closed entries stay unchanged."""
    done, abandoned = ledger.begin(entry(request())), ledger.begin(entry(request("b" * 32)))
    ledger.close(done, AttemptEnd(end=AttemptOutcome.REFUSED))
    assert ledger.close_left_open("killed") == 1
    past = ledger.last_of_request("b" * 32)
    assert past is not None
    assert (past.row, past.end, past.cause, past.sent) == (
        abandoned,
        AttemptOutcome.UNKNOWN,
        "killed",
        len(CONTENT),
    )
    ledger.close(abandoned, AttemptEnd(end=AttemptOutcome.OK))
    again = ledger.last_of_request("b" * 32)
    assert again is not None
    assert again.end is AttemptOutcome.UNKNOWN


def test_the_same_bytes_are_known_again(ledger: Ledger) -> None:
    """For the same service and options; refused or withdrawn uploads do not count."""
    known = {"sha256": request().sha256, "provider": "removebg", "host": "h", "options": "o"}
    row = ledger.begin(entry(request()))
    assert ledger.last_of_content(**known) is None
    ledger.close(row, AttemptEnd(end=AttemptOutcome.OK, body=Body.CUTOUT, reply_sha256="2" * 64, credits=1.0))
    ledger.close(ledger.begin(entry(request("b" * 32))), AttemptEnd(end=AttemptOutcome.REFUSED))
    past = ledger.last_of_content(**known)
    assert past is not None
    assert (past.end, past.body, past.reply_sha256) == (AttemptOutcome.OK, Body.CUTOUT, "2" * 64)
    assert ledger.last_of_content(**{**known, "host": "other"}) is None
    assert ledger.last_of_content(**{**known, "options": "other"}) is None


def test_only_the_uploader_creates_a_ledger(tmp_path: Path) -> None:
    """Opening it for reading creates nothing."""
    with pytest.raises(UsageError, match="nothing was ever sent"):
        Ledger(tmp_path / "ledger.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_no_ledger(tmp_path: Path) -> None:
    """Garbage, another database, and one of a newer version are refused."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(LedgerDamagedError):
        Ledger(path, create=True)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(LedgerDamagedError):
        Ledger(path, create=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="version 99"):
        Ledger(path, create=True)


def test_sums_by_day_and_folder_in_both_forms(ledger: Ledger) -> None:
    """With more than one page, and a folder name that a spreadsheet would take for a formula."""
    ledger._database._connection.execute("PRAGMA synchronous = OFF")  # noqa: SLF001 -- a thousand syncs take half a minute
    for number in range(1005):
        folder = "=cmd()" if number % 2 else "shop"
        row = ledger.begin(
            entry(request(f"{number:032x}", folder=folder), at_us=NOW_US + DAY_US * (number > 1000))
        )
        ledger.close(
            row,
            AttemptEnd(
                end=AttemptOutcome.UNKNOWN if number == 3 else AttemptOutcome.OK, credits=0.25, sent=10
            ),
        )
    by_day = totals(uploads(ledger), GroupBy.DAY)
    assert [(one.uploads, one.credits, one.bytes) for one in by_day.values()] == [
        (1001, 250.25, 10010),
        (4, 1.0, 40),
    ]
    by_folder = totals(uploads(ledger), GroupBy.FOLDER)
    assert {name: (one.uploads, one.unknown) for name, one in by_folder.items()} == {
        "=cmd()": (502, 1),
        "shop": (503, 0),
    }
    out = io.StringIO()
    as_json(uploads(ledger), None, out)
    document = json.loads(out.getvalue())
    assert (document["schema"], len(document["uploads"])) == ("cutoutd.audit/1", 1005)
    out = io.StringIO()
    as_csv(uploads(ledger), None, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [row["folder"] for row in rows[:2]] == ["shop", "'=cmd()"]
    for by in GroupBy:
        out = io.StringIO()
        as_json(uploads(ledger), by, out)
        assert len(json.loads(out.getvalue())["totals"]) == 2


# The key.


def test_a_key_is_never_printed() -> None:
    """However it is printed, and not in another process either."""
    key = Key("s3cret")
    assert "s3cret" not in f"{key} {key!r} {[key]}"
    assert key.scrubbed("bad key s3cret!") == "bad key [key]!"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_key_comes_from_its_file_or_the_environment(tmp_path: Path) -> None:
    """The file has priority; without either there is no key."""
    file = tmp_path / "key"
    file.write_text("from-file\n")
    file.chmod(0o600)
    given = "from-environment"
    found = [keys.read(file, given), keys.read(None, given), keys.read(None, "")]
    assert [one.reveal() if one else None for one in found] == ["from-file", "from-environment", None]


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """And the message does not hold it."""
    file = tmp_path / "key"
    file.write_text("s3cret")
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match="others can read") as caught:
        keys.read(file, "")
    assert "s3cret" not in str(caught.value)
    assert "chmod 600" in str(caught.value)


@pytest.mark.parametrize("text", ["", "two words", "two\nlines", "caf\xe9", "x" * 513, "a\r\nX-Other: b"])
def test_an_invalid_key_is_refused(tmp_path: Path, text: str) -> None:
    """Such a text would add headers to the request."""
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="holds no key"):
        keys.read(file, "")


def test_a_key_is_in_a_plain_file(tmp_path: Path) -> None:
    """A blocking pipe, a directory and a missing file are refused."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError):
            keys.read(path, "")


# The body of an upload.


def sent(request_body: RequestBody, checks: list[int] | None = None) -> bytes:
    """Return the body as a service receives it."""
    http_request = RemoveBg(key=None, full_price=1.0).http_request(
        Upload(name="a.jpg", bytes=1, width=1, height=1), "b"
    )
    body = b"".join(
        request_body.pieces(
            http_request, lambda: checks.append(request_body.sent) if checks is not None else None
        )
    )
    assert len(body) == http_request.length(len(CONTENT))
    return body


def test_a_picture_is_sent_in_pieces_with_a_cancellation_check_before_each(tmp_path: Path) -> None:
    """A cancellation check precedes each piece; the upload is complete only with the last one."""
    (tmp_path / "a").write_bytes(CONTENT)
    request_body = RequestBody(tmp_path / "a", request())
    checks: list[int] = []
    assert CONTENT in sent(request_body, checks)
    assert (request_body.sent, request_body.is_complete) == (len(CONTENT), True)
    assert max(two - one for one, two in pairwise(checks)) <= 24 << 10
    assert CONTENT in sent(request_body)
    request_body.close()


def test_a_picture_that_changes_on_the_way_is_never_complete(tmp_path: Path) -> None:
    """A service must receive exactly what was announced and recorded."""
    path = tmp_path / "a"
    path.write_bytes(CONTENT)
    request_body = RequestBody(path, request())
    with path.open("r+b") as file:
        file.write(b"other")
    with pytest.raises(AlteredError, match="was changed"):
        sent(request_body)
    assert not request_body.is_complete
    path.write_bytes(b"")
    with pytest.raises(AlteredError, match="was changed"):
        sent(request_body)
    request_body.close()


def test_only_the_announced_picture_is_opened(tmp_path: Path) -> None:
    """No link, no pipe, no other size or content."""
    whole, link, fifo, other = (tmp_path / name for name in ("whole", "link", "fifo", "other"))
    whole.write_bytes(CONTENT)
    link.symlink_to(whole)
    os.mkfifo(fifo)
    other.write_bytes(b"x" * len(CONTENT))
    for path in (link, fifo, other, tmp_path, tmp_path / "missing"):
        with pytest.raises(AlteredError):
            RequestBody(path, request())
