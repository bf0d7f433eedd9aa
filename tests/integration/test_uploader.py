"""The uploader against a service that does everything a service can do: a real process, real sockets on loopback."""

from __future__ import annotations

import io
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from cutoutd.exchange import spool
from cutoutd.exchange.spool import Body, UploadOutcome
from cutoutd.hosted.ledger import FILE_NAME
from tests.hosted_server import Alpha, Behaviour, HostedServer, Rgb
from tests.integration.parts import until
from tests.integration.uploading import HEIGHT, KEY, LARGE, PATIENCE_S, WIDTH, UploaderSetup, large, picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.exchange.spool import UploadReply


@pytest.fixture(scope="module")
def server() -> Iterator[HostedServer]:
    """A service that requires the key."""
    with HostedServer(key=KEY, retry_after="1") as server:
        yield server


@pytest.fixture(scope="module")
def uploader_setup(server: HostedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UploaderSetup]:
    """An uploader for many tests, none of which may harm it."""
    with UploaderSetup(tmp_path_factory.mktemp("uploader"), server.url) as uploader_setup:
        yield uploader_setup.start()
        assert uploader_setup.stop() == 0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[UploaderSetup, HostedServer]]:
    """An uploader that is not started yet, and a service, for one test."""
    with HostedServer(key=KEY) as server, UploaderSetup(tmp_path, server.url) as uploader_setup:
        yield uploader_setup, server


_numbers = iter(range(1, 100_000))


def test_a_picture_is_cut(uploader_setup: UploaderSetup, server: HostedServer) -> None:
    """The reply says what was sent, when, where to, and the price."""
    request = uploader_setup.request(picture(next(_numbers)))
    reply = uploader_setup.reply(request)
    assert (reply.outcome, reply.body, reply.credits, reply.repeated) == (
        UploadOutcome.OK,
        Body.CUTOUT,
        0.25,
        False,
    )
    assert (reply.bytes, reply.sha256, reply.host) == (
        request.bytes,
        request.sha256,
        f"127.0.0.1:{server.port}",
    )
    assert reply.at
    with Image.open(io.BytesIO(uploader_setup.body(reply))) as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (WIDTH, HEIGHT))
    until(
        lambda: not list(uploader_setup.paths.outbox.glob(f"{request.id}*")), "the request to be taken away"
    )
    (row,) = uploader_setup.rows(request)
    assert (row["end"], row["bytes"], row["credits"], row["status"]) == ("ok", request.bytes, 0.25, 200)
    assert (row["folder"], row["job"], row["why"]) == ("tagged", 7, "the folder's route is hosted")


def test_no_more_is_sent_than_the_contract_needs(uploader_setup: UploaderSetup, server: HostedServer) -> None:
    """Neither a name nor a path, nor the client's program and version."""
    request = uploader_setup.request(picture(next(_numbers)))
    uploader_setup.reply(request)
    seen = next(one for one in server.seen if one.file_name.startswith(request.id))
    assert seen.fields == {"size": "preview", "format": "png", "file:image_file": request.file}
    assert set(seen.headers) == {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "content-type",
        "content-length",
        "x-api-key",
    }
    assert seen.headers["user-agent"] == "cutoutd"


def test_the_ledger_knows_before_the_first_byte_leaves(
    uploader_setup: UploaderSetup, server: HostedServer
) -> None:
    """When the headers arrive, the row is there and open."""
    ends: list[str] = []
    server.on_headers = lambda _: ends.append(uploader_setup.rows()[-1]["end"])
    try:
        uploader_setup.reply(uploader_setup.request(picture(next(_numbers))))
    finally:
        server.on_headers = lambda _: None
    assert ends == ["under way"]


@pytest.mark.parametrize(
    ("behaviour", "outcome", "expected", "credits_"),
    [
        (
            Behaviour.BAD_PICTURE,
            UploadOutcome.FAILED,
            "Could not identify foreground in image: as the test wants",
            None,
        ),
        (Behaviour.SILENCE, UploadOutcome.UNKNOWN, "no answer came in time", None),
        (Behaviour.RESET_LATE, UploadOutcome.UNKNOWN, "the connection", None),
        (
            Behaviour.GATEWAY,
            UploadOutcome.UNKNOWN,
            "a web page titled Be right back; the service behind this proxy may",
            None,
        ),
        (Behaviour.SHORT, UploadOutcome.UNKNOWN, "the answer broke off", 0.25),
        (Behaviour.TORN, UploadOutcome.UNKNOWN, "its end is missing", 0.25),
        (Behaviour.PAGE_200, UploadOutcome.UNKNOWN, "a web page came", None),
        (Behaviour.ENDLESS_ANSWER, UploadOutcome.UNKNOWN, "the answer is longer than", 0.25),
    ],
)
def test_an_end_without_a_picture_has_a_reason(
    uploader_setup: UploaderSetup,
    server: HostedServer,
    behaviour: Behaviour,
    outcome: UploadOutcome,
    expected: str,
    credits_: float | None,
) -> None:
    """The picture is not sent again automatically, nor for another request, until a person asks for it."""
    content = picture(next(_numbers))
    before = len(server.seen)
    server.next(behaviour)
    reply = uploader_setup.reply(first := uploader_setup.request(content))
    assert (reply.outcome, reply.credits, reply.body) == (outcome, credits_, None)
    assert expected in reply.cause
    assert reply.advice
    (row,) = uploader_setup.rows(first)
    assert (row["end"], row["bytes"]) == (outcome.value, first.bytes)
    if outcome is UploadOutcome.UNKNOWN:
        repeated = uploader_setup.reply(uploader_setup.request(content))
        assert (repeated.outcome, repeated.bytes) == (UploadOutcome.UNKNOWN, 0)
        assert len(server.seen) == before + 1
        assert row["counted"] == (0.25 if credits_ is None else credits_)
        assert uploader_setup.reply(uploader_setup.request(content, again=True)).outcome is UploadOutcome.OK
        assert len(server.seen) == before + 2


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (Behaviour.TOO_MANY, 429),
        (Behaviour.FAULT, 500),
        (Behaviour.PAGE_503, 503),
        (Behaviour.RESET_EARLY, None),
    ],
)
def test_a_passing_fault_is_waited_out(
    uploader_setup: UploaderSetup, server: HostedServer, behaviour: Behaviour, status: int | None
) -> None:
    """Each attempt is in the ledger, and only the successful one is charged."""
    server.next(behaviour)
    request = uploader_setup.request(large(next(_numbers)))
    assert uploader_setup.reply(request).outcome is UploadOutcome.OK
    refused, worked = uploader_setup.rows(request)
    assert (refused["end"], refused["status"], refused["counted"]) == ("refused", status, 0)
    assert worked["end"] == "ok"
    if behaviour is Behaviour.RESET_EARLY:
        assert refused["bytes"] < request.bytes


def test_retry_after_is_obeyed(uploader_setup: UploaderSetup, server: HostedServer) -> None:
    """The pause is exact to the second."""
    server.next(Behaviour.TOO_MANY)
    before = len(server.seen)
    uploader_setup.reply(uploader_setup.request(picture(next(_numbers))))
    first, second = server.seen[before:]
    assert 1.0 <= second.at_s - first.at_s < 20.0


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (Behaviour.NO_CREDITS, "402: Insufficient credits"),
        (Behaviour.BAD_KEY, "403: API Key invalid: [key]"),
        (Behaviour.NO_KEY, "401: Invalid API key"),
        (Behaviour.NOT_FOUND, "404: Not found"),
        (
            Behaviour.REDIRECT,
            "302: Found: as the test wants. It redirects, and redirects are not followed",
        ),
    ],
)
def test_a_fault_that_needs_a_person_closes_the_route(
    uploader_setup: UploaderSetup, server: HostedServer, behaviour: Behaviour, expected: str
) -> None:
    """Nothing is lost or tried again and again, and it goes on when a person resumes it."""
    before = len(server.seen)
    server.next(behaviour)
    first = uploader_setup.request(picture(next(_numbers)))
    status = uploader_setup.wait_for_route("paused")
    second = uploader_setup.request(picture(next(_numbers)))
    uploader_setup.wait_for_counts(waiting=2, in_flight=0)
    assert expected in status["why"]
    assert uploader_setup.is_waiting(first)
    assert uploader_setup.is_waiting(second)
    assert len(server.seen) == before + 1
    uploader_setup.resume()
    assert {uploader_setup.reply(first).outcome, uploader_setup.reply(second).outcome} == {UploadOutcome.OK}
    uploader_setup.wait_for_route("open")


def test_one_picture_that_makes_the_service_fail_holds_up_no_other(
    uploader_setup: UploaderSetup, server: HostedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others are cut, the picture is to blame, and fails with the service's message."""
    poison = picture(next(_numbers))
    cut = server.cut

    def failing(content: bytes) -> tuple[Rgb, Alpha]:
        if content == poison:
            raise ValueError(content)
        return cut(content)

    monkeypatch.setattr(server, "cut", failing)
    bad = uploader_setup.request(poison)
    good = [uploader_setup.request(picture(next(_numbers))) for _ in range(3)]
    assert {uploader_setup.reply(one).outcome for one in good} == {UploadOutcome.OK}
    reply = uploader_setup.reply(bad, timeout_s=60)
    assert reply.outcome is UploadOutcome.FAILED
    assert "It does not work with this picture: as the test wants (5 times with this picture)" in reply.cause


def test_the_same_picture_is_never_paid_twice(uploader_setup: UploaderSetup, server: HostedServer) -> None:
    """By content: another request for it is answered from the cache, and nothing is sent."""
    content = picture(next(_numbers))
    first = uploader_setup.reply(uploader_setup.request(content))
    before, charged = len(server.seen), server.charged
    second = uploader_setup.reply(uploader_setup.request(content))
    assert (second.outcome, second.repeated, second.credits, second.bytes) == (UploadOutcome.OK, True, 0.0, 0)
    assert uploader_setup.body(second) == uploader_setup.body(first)
    assert (len(server.seen), server.charged) == (before, charged)


def test_an_untagged_request_is_refused_by_the_uploader_itself(
    uploader_setup: UploaderSetup, server: HostedServer
) -> None:
    """Whatever is in its outbox, and whoever put it there."""
    before = len(server.seen)
    replies = [
        uploader_setup.reply(uploader_setup.request(picture(next(_numbers)), folder="other")),
        uploader_setup.reply(uploader_setup.request(picture(next(_numbers)), sha256="0" * 64)),
        uploader_setup.reply(uploader_setup.request(picture(next(_numbers)), announced=9)),
    ]
    assert {reply.outcome for reply in replies} == {UploadOutcome.FAILED}
    assert [reply.bytes for reply in replies] == [0, 0, 0]
    assert "is not tagged" in replies[0].cause
    assert "not the one that was announced" in replies[1].cause
    assert len(server.seen) == before


def test_a_link_in_the_outbox_is_not_followed(
    uploader_setup: UploaderSetup, server: HostedServer, tmp_path: Path
) -> None:
    """A hostile worker cannot have another file sent."""
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(content := picture(next(_numbers)))
    before = len(server.seen)
    uploader_setup.pause()
    uploader_setup.wait_for_route("paused")
    request = uploader_setup.request(content)
    (uploader_setup.paths.outbox / request.file).unlink()
    (uploader_setup.paths.outbox / request.file).symlink_to(secret)
    uploader_setup.resume()
    assert "cannot be read" in uploader_setup.reply(request).cause
    assert len(server.seen) == before


@pytest.mark.parametrize("how", ["removed", "paused"])
def test_an_upload_in_progress_stops_before_its_next_byte(
    uploader_setup: UploaderSetup, server: HostedServer, how: str
) -> None:
    """Only what the kernel has buffered is still sent; the ledger has what was sent."""
    server.next(Behaviour.SLOW_TO_TAKE)
    before = len(server.seen)
    request = uploader_setup.request(large(next(_numbers)))
    server.wait_for(before + 1)
    until(lambda: server.seen[before].received > 0, "the first of its bytes")
    if how == "removed":
        (uploader_setup.paths.outbox / f"{request.id}.json").unlink()
        reply: UploadReply | None = uploader_setup.reply(request)
        assert reply is not None
        assert reply.outcome is UploadOutcome.WITHDRAWN
        assert 0 < reply.bytes < request.bytes
    else:
        uploader_setup.pause()
        until(lambda: uploader_setup.rows(request)[0]["end"] == "withdrawn", "its withdrawal")
        assert uploader_setup.is_waiting(request)
    (row,) = uploader_setup.rows(request)
    assert (row["end"], row["counted"]) == ("withdrawn", 0)
    assert row["bytes"] < LARGE
    assert not server.seen[before].is_whole
    if how == "paused":
        uploader_setup.resume()
        assert uploader_setup.reply(request).outcome is UploadOutcome.OK


def test_nothing_is_sent_while_paused(uploader_setup: UploaderSetup, server: HostedServer) -> None:
    """Waiting pictures are sent afterwards; `status` says so meanwhile."""
    subprocess.run(uploader_setup.command("pause", "--hosted"), check=True)
    uploader_setup.wait_for_route("paused")
    before = len(server.seen)
    request = uploader_setup.request(picture(next(_numbers)))
    uploader_setup.wait_for_counts(waiting=1, in_flight=0)
    assert len(server.seen) == before
    assert uploader_setup.status()["why"] == "by `cutoutd pause --hosted`"
    subprocess.run(uploader_setup.command("resume", "--hosted"), check=True)
    assert uploader_setup.reply(request).outcome is UploadOutcome.OK


def test_the_key_is_nowhere_but_in_its_header(uploader_setup: UploaderSetup, server: HostedServer) -> None:
    """Not in logs, replies, ledger, status, cache, titles or environment, although the service repeats it."""
    uploader_setup.wait_for_route("open")  # what an earlier test has closed may still be told
    server.next(Behaviour.BAD_KEY)
    request = uploader_setup.request(picture(next(_numbers)))
    uploader_setup.wait_for_route("paused")
    uploader_setup.resume()
    assert uploader_setup.reply(request).outcome is UploadOutcome.OK
    assert [one.headers["x-api-key"] for one in server.seen[-2:]] == [KEY] * 2
    assert uploader_setup.process is not None
    listed = subprocess.run(["ps", "axeww"], capture_output=True, check=True).stdout
    assert str(uploader_setup.process.pid).encode() in listed
    if os.geteuid():  # root may look into any process
        assert KEY.encode() not in listed
    paths = [uploader_setup.log, *(path for path in uploader_setup.state.rglob("*") if path.is_file())]
    assert {uploader_setup.log, uploader_setup.paths.inbox} <= {*paths, *(path.parent for path in paths)}
    assert [str(path) for path in paths if KEY.encode() in path.read_bytes()] == []
    assert b"[key]" in b"".join(path.read_bytes() for path in paths)


def test_every_upload_is_logged(uploader_setup: UploaderSetup) -> None:
    """Its start and its end, as many as the ledger has."""
    for _ in range(3):
        uploader_setup.reply(uploader_setup.request(picture(next(_numbers))))
    rows = uploader_setup.rows()
    ended = sum(row["end"] != "under way" for row in rows)
    until(
        lambda: uploader_setup.log.read_text().count('"event": "upload.ended"') >= ended,
        "the last end to be logged",
    )
    log = uploader_setup.log.read_text()
    assert log.count('"event": "upload.begun"') == len(rows) > 2
    assert log.count('"event": "upload.ended"') == ended


def test_audit_runs_beside_the_uploader(uploader_setup: UploaderSetup) -> None:
    """Without an HTTP client, and with the totals."""
    uploader_setup.reply(uploader_setup.request(picture(next(_numbers))))
    done = subprocess.run(
        uploader_setup.command("audit", "--by", "folder", "--csv"), capture_output=True, text=True, check=True
    )
    heading, line = done.stdout.splitlines()
    assert heading == "folder,uploads,bytes,credits,unknown"
    name, uploads, sent, *_ = line.split(",")
    assert (name, int(uploads)) == ("tagged", len(uploader_setup.rows()))
    assert int(sent) == sum(row["bytes"] for row in uploader_setup.rows())


def test_a_second_uploader_on_the_same_state_is_refused(uploader_setup: UploaderSetup) -> None:
    """Both would send the same pictures."""
    done = subprocess.run(
        uploader_setup.command("hosted"),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUTOUTD_API_KEY": KEY},
    )
    assert (done.returncode, "an uploader works here" in done.stderr) == (3, True)


def test_killed_after_sending_it_is_unknown(own: tuple[UploaderSetup, HostedServer]) -> None:
    """The next run says so, sends nothing automatically, and sends it when a person asks for it (fault 52)."""
    uploader_setup, server = own
    server.next(Behaviour.SILENCE)
    uploader_setup.start()
    content = picture(1)
    request = uploader_setup.request(content)
    server.wait_for(1)
    until(lambda: server.seen[0].is_whole, "all of it to be sent")
    uploader_setup.kill()
    assert uploader_setup.rows(request)[0]["end"] == "under way"
    uploader_setup.start()
    reply = uploader_setup.reply(request)
    assert (reply.outcome, reply.bytes) == (UploadOutcome.UNKNOWN, request.bytes)
    assert "was ended or lost power" in reply.cause
    assert len(server.seen) == 1
    assert uploader_setup.rows(request)[0]["counted"] == 0.25
    assert uploader_setup.reply(uploader_setup.request(content, again=True)).outcome is UploadOutcome.OK
    assert len(server.seen) == 2


def test_killed_between_ledger_and_inbox_the_reply_is_delivered_and_not_paid_again(
    own: tuple[UploaderSetup, HostedServer],
) -> None:
    """As if its reply had never been written: the request is still there at the next start."""
    uploader_setup, server = own
    uploader_setup.start()
    request = uploader_setup.request(content := picture(1))
    first = uploader_setup.reply(request)
    uploader_setup.kill()
    for path in uploader_setup.paths.inbox.iterdir():
        path.unlink()
    (uploader_setup.paths.outbox / request.file).write_bytes(content)
    spool.write_message(uploader_setup.paths.outbox, request)
    uploader_setup.start()
    second = uploader_setup.reply(request)
    assert (second.outcome, second.repeated, second.credits, second.at) == (
        UploadOutcome.OK,
        False,
        0.25,
        first.at,
    )
    assert len(server.seen) == 1


def test_asked_to_end_it_stops_sending_and_still_takes_what_was_paid(
    own: tuple[UploaderSetup, HostedServer],
) -> None:
    """An upload in progress stays for the next run; if the service has the whole picture, its answer is awaited."""
    uploader_setup, server = own
    server.delay_s = 0.5
    uploader_setup.start()
    paid = uploader_setup.request(picture(1))
    server.wait_for(1)
    server.next(Behaviour.SLOW_TO_TAKE)
    stopped = uploader_setup.request(large(2))
    server.wait_for(2)
    assert uploader_setup.stop() == 0
    assert uploader_setup.reply(paid).outcome is UploadOutcome.OK
    assert uploader_setup.is_waiting(stopped)
    assert uploader_setup.rows(stopped)[0]["end"] == "withdrawn"
    uploader_setup.start()
    assert uploader_setup.reply(stopped).outcome is UploadOutcome.OK


def test_the_uploader_ends_with_the_process_that_started_it(own: tuple[UploaderSetup, HostedServer]) -> None:
    """However the starting process ended."""
    uploader_setup, _ = own
    script = 'CUTOUTD_API_KEY=k "$@" --parent $$ & wait'
    with uploader_setup.log.open("ab") as log:
        parent = subprocess.Popen(["sh", "-c", script, "sh", *uploader_setup.command("hosted")], stderr=log)
    end_s = time.monotonic() + PATIENCE_S
    while not (uploader := uploader_setup.status().get("pid")):
        assert time.monotonic() < end_s, uploader_setup.log.read_text()
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    while uploader_setup.status():
        assert time.monotonic() < end_s, uploader_setup.log.read_text()
        time.sleep(0.05)
    # Where nobody waits for orphans, it stays in /proc.
    while f"{uploader}" in os.listdir("/proc") and "hosted.ended" not in uploader_setup.log.read_text():  # noqa: PTH208 -- names alone
        assert time.monotonic() < end_s, uploader_setup.log.read_text()
        time.sleep(0.05)


def test_without_a_network_it_waits_and_goes_on(tmp_path: Path) -> None:
    """Nothing is recorded, since nothing left."""
    with HostedServer() as server:
        port = server.port
    with UploaderSetup(tmp_path, f"http://127.0.0.1:{port}") as uploader_setup:
        uploader_setup.start()
        request = uploader_setup.request(picture(1))
        status = uploader_setup.wait_for_route("offline")
        assert "cannot be reached" in status["why"]
        assert uploader_setup.is_waiting(request)
        assert uploader_setup.rows() == []
        with HostedServer(port=port) as server:
            assert uploader_setup.reply(request).outcome is UploadOutcome.OK
            assert len(server.seen) == 1


def test_uploads_in_progress_count_towards_the_budgets(tmp_path: Path) -> None:
    """The budget of all folders together and that of each.

    The used-up budget of one folder delays no other.
    """
    folders = {
        "small": 'route = "hosted"\nmax_credits_per_day = 0.5',
        "large": 'route = "local-then-hosted"',
    }
    hosted = {"max_credits_per_day": "1.25", "concurrency": "8"}
    with (
        HostedServer(delay_s=0.3) as server,
        UploaderSetup(tmp_path, server.url, hosted=hosted, folders=folders) as uploader_setup,
    ):
        small = [uploader_setup.request(picture(n), folder="small") for n in range(4)]
        uploader_setup.start()
        until(lambda: sum(not uploader_setup.is_waiting(one) for one in small) >= 2, "two of the small")
        uploader_setup.wait_for_counts(waiting=2, in_flight=0)
        assert sum(not uploader_setup.is_waiting(one) for one in small) == 2
        assert (
            '"small" allows 0.5 credits a day, 0.5 are spent'
            in uploader_setup.status()["folders"]["small"]["why"]
        )
        large_ = [uploader_setup.request(picture(9 + n), folder="large") for n in range(6)]
        until(lambda: sum(not uploader_setup.is_waiting(one) for one in large_) >= 3, "three of the large")
        uploader_setup.wait_for_counts(waiting=5, in_flight=0)
        assert sum(not uploader_setup.is_waiting(one) for one in large_) == 3
        assert server.charged == 1.25
        assert "[hosted] allows 1.25 credits a day" in uploader_setup.status()["folders"]["large"]["why"]


def test_a_service_s_places_are_filled_and_never_more(tmp_path: Path) -> None:
    """The service answers in 0.5 s and allows 8 at once; torture/uploads.py measures the rate over many."""
    hosted = {"concurrency": "8", "timeout_s": "30.0"}
    with (
        HostedServer(delay_s=0.5, at_once=8) as server,
        UploaderSetup(tmp_path, server.url, hosted=hosted) as uploader_setup,
    ):
        requests = [uploader_setup.request(picture(n)) for n in range(32)]
        uploader_setup.start()
        assert {uploader_setup.reply(one).outcome for one in requests} == {UploadOutcome.OK}
        assert {one.status for one in server.seen} == {200}
        assert (server.most_at_once, server.connections) == (8, 8)


def test_the_service_s_rate_is_kept_ahead_of_time(tmp_path: Path) -> None:
    """The service never has to refuse: what does not fit into the minute waits."""
    hosted = {"megapixels_per_minute": "10", "concurrency": "4"}
    with (
        HostedServer(megapixels_per_minute=10) as server,
        UploaderSetup(tmp_path, server.url, hosted=hosted) as uploader_setup,
    ):
        uploader_setup.start()
        requests = [
            uploader_setup.request(picture(n, width=2000, height=1500), width=2000, height=1500)
            for n in range(5)
        ]
        until(lambda: sum(not uploader_setup.is_waiting(one) for one in requests) >= 3, "three of them")
        assert sum(not uploader_setup.is_waiting(one) for one in requests) == 3
        assert {one.status for one in server.seen} == {200}


def test_a_damaged_ledger_stops_everything(own: tuple[UploaderSetup, HostedServer]) -> None:
    """Without it nobody would know what was paid."""
    uploader_setup, server = own
    (uploader_setup.paths.root / FILE_NAME).write_bytes(b"not a ledger" * 100)
    waiting = uploader_setup.request(picture(1))
    status = uploader_setup.start().wait_for_route("paused")
    assert "`cutoutd resume --hosted`" in status["why"]
    assert uploader_setup.is_waiting(waiting)
    assert server.seen == []
    assert uploader_setup.stop() == 0


def test_the_same_picture_twice_at_once_is_paid_once(own: tuple[UploaderSetup, HostedServer]) -> None:
    """The second request waits for the outcome of the first."""
    uploader_setup, server = own
    server.delay_s = 0.5
    requests = [uploader_setup.request(picture(1)) for _ in range(3)]
    replies = [uploader_setup.start().reply(requests[0]), *map(uploader_setup.reply, requests[1:])]
    assert [reply.outcome for reply in replies] == [UploadOutcome.OK] * 3
    assert sorted(reply.repeated for reply in replies) == [False, True, True]
    assert (len(server.seen), server.charged) == (1, 0.25)
