"""The sender of webhooks against a receiver that really answers: retries, messages given up, unsubscribing, and the ledger."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from standardwebhooks import Webhook

from cutoutd.clock import Clock
from cutoutd.exchange.messages import new_id
from cutoutd.exchange.spool import SpoolPaths
from cutoutd.exchange.webhooks import (
    WebhookMessage,
    WebhookPaths,
    read_webhook,
    webhooks_waiting,
    write_body,
    write_webhook,
)
from cutoutd.hosted.ledger import Ledger, LedgerError
from cutoutd.hosted.webhook_sender import WebhookSender, receivers
from cutoutd.process.stop_flag import StopFlag
from cutoutd.settings.loader import assemble
from cutoutd.settings.webhooks import webhook_id
from tests.webhook_receiver import SECRET, SILENCE, WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_S = 60.0
HOUR_US = 3_600_000_000


class LaterClock(Clock):
    """The machine's clock, advanced by a test."""

    def __init__(self) -> None:
        super().__init__()
        self.later_us = 0

    def now_us(self) -> int:
        """Return the advanced time."""
        return super().now_us() + self.later_us


@dataclass
class RunningSender:
    """A running sender, its directories, and its clock."""

    sender: WebhookSender
    paths: WebhookPaths
    spool: SpoolPaths
    ledger: Ledger
    clock: LaterClock
    hooks: list[str]
    paused: bool = False

    def put(self, number: int, *, about: str = "", hook: int = 0, **fields: Any) -> WebhookMessage:  # noqa: ANN401 -- as the message has them
        """Add a message."""
        id_ = new_id()
        size, sha256 = write_body(self.paths, id_, [f'{{"number": {number}}}'.encode()])
        message = WebhookMessage(
            id=id_,
            webhook=self.hooks[hook],
            folder="shop",
            job=number,
            type="picture.done",
            what="sidecar",
            number=number,
            about=about or id_,
            bytes=size,
            sha256=sha256,
            made_us=self.clock.now_us(),
            settings="",
        )
        message = replace(message, **fields)
        write_webhook(self.paths, message)
        return message

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Poll like the process's loop until a condition holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            self.sender.poll(paused=self.paused)
            assert self.sender.fault is None
            assert time.monotonic() < end_s, f"waited in vain for {what}: {webhooks_waiting(self.paths)}"
            time.sleep(0.02)

    def until_sent(self) -> None:
        """Wait until no message waits."""
        self.until(lambda: not self.paths.ids(), "an empty directory")

    def rows(self) -> list[tuple[str, int | None]]:
        """Return outcome and status of the rows in the ledger."""
        return [(row["outcome"], row["status"]) for row in self.ledger.webhooks()]

    def read(self, message: WebhookMessage) -> WebhookMessage:
        """Return the state of a message."""
        return read_webhook(self.paths, message.id)


@contextmanager
def running_sender(
    directory: Path,
    *urls: str,
    ledger: type[Ledger] = Ledger,
    include: str = "sidecar",
    timeout_s: float = 15.0,
) -> Iterator[RunningSender]:
    """Run a sender for these receivers."""
    directory.mkdir(exist_ok=True)
    secret = directory / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    hooks = [
        {"url": url, "secret_file": str(secret), "allow_private": True, "include": include} for url in urls
    ]
    settings = assemble(
        {
            "webhooks": {"enabled": True, "timeout_s": timeout_s},
            "folder": [{"name": "shop", "input": "/in", "output": "/out", "webhook": hooks}],
        },
        {},
        origin="",
        base=None,
    )
    paths = SpoolPaths.under(directory)
    paths.make()
    WebhookPaths(paths.root).make()
    stopping, clock = StopFlag(), LaterClock()
    with ledger(paths.root / "ledger.sqlite", create=True) as opened:
        sender = WebhookSender(
            receivers(settings),
            settings=settings.webhooks,
            paths=paths,
            ledger=opened,
            clock=clock,
            stopping=stopping,
        )
        sender.start()
        try:
            yield RunningSender(
                sender=sender,
                paths=WebhookPaths(paths.root),
                spool=paths,
                ledger=opened,
                clock=clock,
                hooks=[webhook_id("shop", one) for one in settings.folder[0].webhook],
            )
        finally:
            stopping.set()
            sender.join(clock.monotonic_s() + PATIENCE_S)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """A receiver that accepts everything."""
    with WebhookReceiver() as made:
        yield made


@pytest.fixture
def sending(tmp_path: Path, receiver: WebhookReceiver) -> Iterator[RunningSender]:
    """A sender for the receiver."""
    with running_sender(tmp_path, receiver.url) as made:
        yield made


def test_a_message_is_signed_sent_to_its_address_and_taken_away(
    sending: RunningSender, receiver: WebhookReceiver
) -> None:
    """With the query of its address, and one row in the ledger."""
    message = sending.put(1)
    sending.until_sent()
    (received,) = receiver.seen
    assert received.path == "/told?by=cutoutd"
    assert received.id == message.id
    assert received.headers["content-type"] == "application/json"
    assert Webhook(SECRET).verify(received.body, received.headers) == {"number": 1}
    assert sending.rows() == [("ok", 200)]
    sending.until(lambda: not list(sending.paths.events.iterdir()), "the body to go")


def test_a_refusal_is_tried_again_later_with_a_new_time_and_the_same_id(
    sending: RunningSender, receiver: WebhookReceiver
) -> None:
    """After the pauses of the schedule: not before, and then at once."""
    receiver.next(500, 302)
    message = sending.put(1)
    sending.until(lambda: sending.read(message).attempts == 1, "the first attempt")
    first = sending.read(message)
    assert 3_900_000 < first.not_before_us - sending.clock.now_us() + 2_000_000 < 8_100_000
    assert first.cause == "the receiver answers 500"
    sending.clock.later_us += HOUR_US
    sending.until(lambda: sending.read(message).attempts == 2, "the second attempt")
    assert "redirects are not followed" in sending.read(message).cause
    sending.clock.later_us += HOUR_US
    sending.until_sent()
    assert sending.rows() == [("failed", 500), ("failed", 302), ("ok", 200)]
    assert {told.id for told in receiver.seen} == {message.id}
    times = [int(told.headers["webhook-timestamp"]) for told in receiver.seen]
    assert times[0] < times[1] < times[2]


def test_after_three_days_a_message_is_given_up_and_a_person_can_send_it_again(
    sending: RunningSender, receiver: WebhookReceiver
) -> None:
    """The message is kept with the reason; the next message about the picture is sent."""
    receiver.usual = 400
    message = sending.put(1, about="p")
    later = sending.put(2, about="p")
    for attempts in range(1, 20):
        sending.until(
            lambda a=attempts: sending.read(message).attempts >= a or sending.read(message).is_dead,  # type: ignore[misc]
            "an attempt",
        )
        if (state := sending.read(message)).is_dead:
            break
        sending.clock.later_us += max(0, state.not_before_us - sending.clock.now_us())
    assert sending.read(message).is_dead
    assert sending.read(message).attempts > 5
    receiver.usual = 200
    sending.until(
        lambda: later.id in [told.id for told in receiver.seen if told.status == 200], "the later one"
    )
    assert sending.sender.status()[0]["dead"] == 1
    write_webhook(sending.paths, sending.read(message).asked_again())
    sending.until_sent()


def test_a_receiver_that_answers_410_gets_no_more_messages_until_a_person_asks(
    sending: RunningSender, receiver: WebhookReceiver
) -> None:
    """Its waiting messages are given up without being sent, also after a restart; one that is sent by hand enables it again."""
    receiver.next(410)
    first, second = sending.put(1), sending.put(2)
    sending.until(lambda: all(sending.read(one).is_dead for one in (first, second)), "both to be given up")
    assert len(receiver.seen) == 1
    assert sending.sender.status()[0]["off"]
    write_webhook(sending.paths, sending.read(second).asked_again())
    sending.until(lambda: len(receiver.seen) == 2, "the one that was asked for")
    sending.put(3)
    sending.until(lambda: len(receiver.seen) == 3, "the next one")
    assert not sending.sender.status()[0]["off"]


def test_messages_about_one_picture_arrive_in_their_order(
    sending: RunningSender, receiver: WebhookReceiver
) -> None:
    """Even if the first fails once; messages about other pictures are not delayed."""
    receiver.next(422)
    sending.put(1, about="p")
    sending.put(2, about="p")
    sending.put(3, about="q")
    sending.until(lambda: len(receiver.seen) == 2, "the first attempts")
    assert [told.document["number"] for told in receiver.seen] == [1, 3]
    sending.clock.later_us += HOUR_US
    sending.until_sent()
    assert [told.document["number"] for told in receiver.seen] == [1, 3, 1, 2]


def test_a_slow_receiver_holds_up_no_other(tmp_path: Path, receiver: WebhookReceiver) -> None:
    """Each receiver has its own thread."""
    with (
        WebhookReceiver(delay_s=PATIENCE_S) as slow,
        running_sender(tmp_path, slow.url, receiver.url) as sending,
    ):
        for number in range(3):
            sending.put(number, hook=0)
        for number in range(5):
            sending.put(number, hook=1)
        sending.until(lambda: len(receiver.seen) == 5, "the quick one's")
        assert slow.seen == []
        slow.over.set()


KILLED: Final = """
import sys
from pathlib import Path
from tests.integration.test_webhook_sender import running_sender

with running_sender(Path(sys.argv[1]), sys.argv[2], timeout_s=300.0) as sending:
    sending.until(lambda: False, "the end")
"""


def test_a_message_in_progress_at_a_kill_is_sent_again_before_later_ones(
    tmp_path: Path,
) -> None:
    """The receiver had all of it and had not answered: delivery is at least once, with each picture's messages in their order."""
    with WebhookReceiver() as receiver:
        receiver.next(SILENCE)
        with running_sender(tmp_path, receiver.url) as sending:
            stopped = sending.paths, [sending.put(number, about="p") for number in range(2)]
            # Nothing is sent: the loop has not looked yet.
        paths, messages = stopped
        process = subprocess.Popen([sys.executable, "-c", KILLED, os.fspath(tmp_path), receiver.url])
        try:
            _wait_for(lambda: len(receiver.seen) == 1)
        finally:
            process.kill()
            process.wait(PATIENCE_S)
        assert paths.ids()
        assert [told.id for told in receiver.seen] == [messages[0].id]
        with running_sender(tmp_path, receiver.url) as sending:
            sending.until_sent()
            assert sending.rows()[-2:] == [("ok", 200), ("ok", 200)]
    assert [told.id for told in receiver.seen] == [messages[0].id, *(one.id for one in messages)]


def _wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_no_answer_is_unknown_and_tried_again(tmp_path: Path) -> None:
    """The message may have arrived: the receiver recognises a repetition by its id."""
    with (
        WebhookReceiver() as receiver,
        running_sender(tmp_path, receiver.url, timeout_s=1.0) as sending,
    ):
        receiver.next(SILENCE)
        message = sending.put(1)
        sending.until(lambda: sending.read(message).attempts == 1, "the attempt")
        assert "no answer came in time" in sending.read(message).cause
        sending.clock.later_us += HOUR_US
        sending.until_sent()
        assert sending.rows() == [("unknown", None), ("ok", 200)]
        assert len({told.id for told in receiver.seen}) == 1


def test_when_a_receiver_answers_again_all_waiting_messages_are_sent_at_once(tmp_path: Path) -> None:
    """However long each would have to wait by itself; meanwhile the ledger has no rows, since nothing left."""
    with WebhookReceiver(is_away=True) as receiver, running_sender(tmp_path, receiver.url) as sending:
        first, *others = [sending.put(number, attempts=3) for number in range(3)]
        sending.until(
            lambda: all(sending.read(one).attempts > 3 for one in (first, *others)),
            "an attempt of each",
        )
        assert sending.rows() == []
        assert "cannot be reached" in sending.sender.status()[0]["why"]
        assert all(sending.read(one).not_before_us > sending.clock.now_us() + HOUR_US for one in others)
        receiver.come_back()
        write_webhook(sending.paths, sending.read(first).asked_again())
        sending.until_sent()
        assert [told.document["number"] for told in receiver.seen] == [0, 1, 2]


def test_nothing_is_sent_while_uploads_are_paused(sending: RunningSender, receiver: WebhookReceiver) -> None:
    """No attempt is counted."""
    sending.paused = True
    message = sending.put(1)
    sending.until(lambda: sending.sender.status()[0]["waiting"] == 1, "the message")
    sending.spool.paused.touch()
    sending.paused = False  # the loop has not looked again: the pieces ask for themselves
    sending.until(lambda: True, "a look")
    time.sleep(0.5)
    assert receiver.seen == []
    assert sending.read(message).attempts == 0
    sending.spool.paused.unlink()
    sending.until_sent()


def test_a_ledger_that_refuses_lets_nothing_leave(tmp_path: Path, receiver: WebhookReceiver) -> None:
    """Not a byte, and it is tried again."""

    class Full(Ledger):
        """A ledger that refuses new rows while a test says so."""

        refuses = True

        def begin_webhook(self, message: WebhookMessage, *, host: str, now_us: int) -> int:
            if Full.refuses:
                raise LedgerError("the disk is full")
            return super().begin_webhook(message, host=host, now_us=now_us)

    with running_sender(tmp_path, receiver.url, ledger=Full) as sending:
        message = sending.put(1)
        sending.until(lambda: sending.sender.status()[0]["failures"] > 0, "the refusal")
        assert receiver.seen == []
        assert sending.read(message).attempts == 0
        Full.refuses = False
        sending.until_sent()


def test_messages_that_the_configuration_does_not_allow_are_not_sent(
    sending: RunningSender, receiver: WebhookReceiver
) -> None:
    """Pictures where only sidecars are allowed, another folder's message, a body that differs from the announced one, an unknown receiver."""
    picture = sending.put(1, what="result")
    stranger = sending.put(2, folder="private")
    torn = sending.put(3)
    sending.paths.body(torn.id).write_bytes(b"something else")
    unknown = sending.put(4, webhook="0" * 16)
    sending.until(
        lambda: all(sending.read(one).is_dead for one in (picture, stranger, torn)),
        "all to be given up",
    )
    assert 'include = "sidecar"' in sending.read(picture).cause
    assert "another folder" in sending.read(stranger).cause
    assert "not the" in sending.read(torn).cause
    assert not sending.read(unknown).is_dead
    assert receiver.seen == []
    assert sending.rows() == []


def test_a_name_that_leads_into_a_network_of_ones_own_is_not_followed(
    tmp_path: Path, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checked with the address of the connection; the URL is https, so that only this check refuses it."""
    host = receiver.url.split("/")[2]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", 0))])
    settings = assemble(
        {
            "webhooks": {"enabled": True},
            "folder": [
                {
                    "name": "shop",
                    "input": "/in",
                    "output": "/out",
                    "webhook": [
                        {
                            "url": f"https://public.example:{host.split(':')[1]}/",
                            "secret_file": str(_secret(tmp_path)),
                        }
                    ],
                }
            ],
        },
        {},
        origin="",
        base=None,
    )
    paths = SpoolPaths.under(tmp_path)
    paths.make()
    WebhookPaths(paths.root).make()
    stopping, clock = StopFlag(), LaterClock()
    with Ledger(paths.root / "ledger.sqlite", create=True) as ledger:
        sender = WebhookSender(
            receivers(settings),
            settings=settings.webhooks,
            paths=paths,
            ledger=ledger,
            clock=clock,
            stopping=stopping,
        )
        hooks = [webhook_id("shop", one) for one in settings.folder[0].webhook]
        sending = RunningSender(
            sender=sender,
            paths=WebhookPaths(paths.root),
            spool=paths,
            ledger=ledger,
            clock=clock,
            hooks=hooks,
        )
        sender.start()
        message = sending.put(1)
        sending.until(lambda: sending.read(message).attempts == 1, "the attempt")
        assert "allow_private" in sending.read(message).cause
        assert sending.rows() == []
        stopping.set()
        sender.join(clock.monotonic_s() + PATIENCE_S)


def _secret(tmp_path: Path) -> Path:
    """Write the file of the secret; return its path."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path
