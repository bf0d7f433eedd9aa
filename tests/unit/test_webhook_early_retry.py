"""A message that its receiver refuses while accepting others is retried for three days."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from cutoutd.exchange.spool import SpoolPaths
from cutoutd.exchange.webhooks import (
    WebhookMessage,
    WebhookPaths,
    read_webhook,
    remove_webhook,
    write_body,
    write_webhook,
)
from cutoutd.hosted.client import UnsentError
from cutoutd.hosted.webhook_queue import WebhookQueue
from cutoutd.hosted.webhook_schedule import GIVEN_UP_S, PAUSES_S, WebhookAttemptResult, WebhookOutcome, judge
from cutoutd.hosted.webhook_sender import WebhookRecipient, WebhookSender
from cutoutd.process.stop_flag import StopFlag
from cutoutd.settings.webhooks import FolderWebhook, WebhookSettings

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.hosted.ledger import Ledger
    from tests.conftest import FakeClock

HOOK: Final = "a" * 16
AWAY: Final = 0


class _Ledger:
    """A ledger without unsubscribed receivers; requests are not recorded."""

    def has_unsubscribed(self, _: str) -> bool:
        """Return that no receiver has unsubscribed."""
        return False


class SteppedSender(WebhookSender):
    """A sender without threads of its own, whose receiver answers as a test says.

    Attributes:
        answers: statuses by a message's number; AWAY for no connection.
        usual: status for all other messages.
        retry_after_s: pause in the Retry-After header; 0 for no header.
        asked: numbers of the sent messages, in order.
    """

    answers: dict[int, int]
    usual: int
    retry_after_s: int
    asked: list[int]

    def __init__(self, root: Path, clock: FakeClock) -> None:
        spool = SpoolPaths.under(root)
        self.paths = WebhookPaths(spool.root)
        self.paths.make()
        self.answers, self.usual, self.asked, self.retry_after_s = {}, 200, [], 0
        self.time = clock
        webhook = FolderWebhook.model_validate(
            {"url": "https://x.example/", "secret_file": str(root / "secret")}
        )
        super().__init__(
            (WebhookRecipient(id=HOOK, folder="shop", webhook=webhook, secrets=()),),
            settings=WebhookSettings(enabled=True),
            paths=spool,
            ledger=cast("Ledger", _Ledger()),
            clock=clock,
            stopping=StopFlag(),
        )

    def _attempt(self, state: Any, message: WebhookMessage) -> WebhookAttemptResult:  # noqa: ANN401, ARG002 -- private there
        """Record the message, and judge the answer that the test has set."""
        self.asked.append(message.number)
        status = self.answers.get(message.number, self.usual)
        if status != AWAY:
            asked = {"retry-after": str(self.retry_after_s)} if self.retry_after_s else {}
            return judge(status, asked, self.time.now_us())
        cause = str(UnsentError("x.example cannot be reached", is_offline=True))
        return WebhookAttemptResult(
            outcome=WebhookOutcome.FAILED, cause=cause, meets_all=True, is_unreachable=True
        )

    def put(self, number: int, *, about: str = "") -> WebhookMessage:
        """Queue a message; return it."""
        id_ = f"{number:032x}"
        size, sha256 = write_body(self.paths, id_, [b"{}"])
        now_us = self.time.now_us()
        message = WebhookMessage(
            id=id_,
            webhook=HOOK,
            folder="shop",
            job=number,
            type="picture.done",
            what="sidecar",
            number=number,
            about=about or id_,
            bytes=size,
            sha256=sha256,
            made_us=now_us,
            settings="",
        )
        write_webhook(self.paths, message)
        return message

    def read(self, message: WebhookMessage) -> WebhookMessage:
        """Read a message back from its file."""
        return read_webhook(self.paths, message.id)

    def live(self, seconds: float) -> None:
        """Let this many seconds pass; each second send all messages that are due."""
        for _ in range(round(seconds)):
            self.time.advance(1.0)
            self.poll(paused=False)
            (state,) = self._receivers
            while (message := self._next(state)) is not None:
                self._process(state, message)


@pytest.fixture
def sender(tmp_path: Path, clock: FakeClock) -> SteppedSender:
    """A sender without messages."""
    return SteppedSender(tmp_path, clock)


def refused_among_others(sender: SteppedSender, status: int) -> WebhookMessage:
    """Return a message that was refused twice, after which twenty others were accepted in four minutes."""
    sender.answers[1] = status
    message = sender.put(1)
    sender.live(12)
    assert sender.read(message).attempts == 2
    for number in range(2, 22):
        sender.put(number)
        sender.live(12)
    assert set(sender.asked) == set(range(1, 22))
    return message


@pytest.mark.parametrize("status", [500, 503, 404])
def test_a_refused_message_is_not_given_up_because_others_succeed(sender: SteppedSender, status: int) -> None:
    """The message is sent early once per pause, which does not change its attempts and next time."""
    message = refused_among_others(sender, status)
    assert not sender.read(message).is_dead
    assert sender.read(message).attempts == 2
    assert sender.asked.count(1) <= 2 + 1
    sender.live(130)  # the five minutes and a fifth are over
    assert sender.read(message).attempts == 3
    sender.answers[1] = 200
    sender.put(22)
    sender.live(30)
    sender.time.advance(3600.0)
    sender.live(3)
    assert not sender.paths.ids()


def test_an_early_attempt_that_is_refused_leaves_the_time_of_the_next_as_it_was(
    sender: SteppedSender,
) -> None:
    """A receiver that was away and returns gets all messages early; refused ones keep their schedule."""
    sender.usual = AWAY
    first, second = sender.put(1), sender.put(2)
    sender.live(12)
    due_us = sender.read(second).not_before_us
    count = sender.read(second).attempts
    assert due_us > sender.time.now_us() + 60_000_000
    sender.usual, sender.answers[2] = 200, 500
    write_webhook(sender.paths, sender.read(first).asked_again())
    asked = sender.asked.count(2)
    sender.live(12)
    assert sender.asked.count(2) == asked + 1
    found = sender.read(second)
    assert (found.not_before_us, found.attempts) == (due_us, count)
    assert found.cause == "the receiver answers 500"


def attempts_until_given_up(sender: SteppedSender, message: WebhookMessage) -> int:
    """Return the number of attempts until the message is given up, each made when it is due."""
    while not sender.read(message).is_dead:
        found = sender.read(message)
        sender.time.advance(max(0.0, (found.not_before_us - sender.time.now_us()) / 1e6))
        sender.live(2)
        assert sender.read(message) != found
    return sender.read(message).attempts


def test_a_message_that_waited_behind_another_is_retried_for_three_days_as_well(
    sender: SteppedSender,
) -> None:
    """Both are made in one moment about one picture, and refused: each has its own attempts in turn."""
    sender.usual = 400
    first, second = sender.put(1, about="p"), sender.put(2, about="p")
    begun_us = sender.time.now_us()
    counted = attempts_until_given_up(sender, first)
    took_us = sender.read(first).given_up_us - begun_us
    assert counted >= len(PAUSES_S) - 1
    assert 0.6 * GIVEN_UP_S * 1e6 < took_us <= GIVEN_UP_S * 1e6
    assert abs(attempts_until_given_up(sender, second) - counted) <= 1  # each has its own jitter
    assert sender.asked == sorted(sender.asked)


def test_time_in_which_nothing_is_sent_uses_up_no_attempt(sender: SteppedSender, tmp_path: Path) -> None:
    """Switched off or paused, before the first attempt and before each later one."""
    sender.usual = 400
    message = sender.put(1)
    sender.time.advance(30 * GIVEN_UP_S)
    for _ in range(len(PAUSES_S) - 1):
        sender = SteppedSender(tmp_path, sender.time)
        sender.usual = 400
        sender.live(2)
        assert not sender.read(message).is_dead
        sender.pause()
        sender.time.advance(30 * GIVEN_UP_S)
    assert sender.read(message).attempts == len(PAUSES_S) - 1
    assert attempts_until_given_up(sender, message) <= len(PAUSES_S) + 1


def test_giving_up_depends_on_the_pauses_alone(sender: SteppedSender) -> None:
    """Also where a message has more attempts than the schedule has pauses.

    A receiver's own pause counts too.
    """
    sender.answers[1] = 500
    message = sender.put(1)
    write_webhook(sender.paths, replace(message, attempts=30))
    sender.live(2)
    assert not sender.read(message).is_dead
    waited_us = sender.read(message).waited_us
    assert waited_us == pytest.approx(sender.read(message).not_before_us - sender.time.now_us(), abs=2e6)
    sender.retry_after_s = 86_400
    sender.time.advance(waited_us / 1e6)
    sender.live(2)
    assert sender.read(message).waited_us == waited_us + 86_400_000_000


@pytest.mark.parametrize("answer", [200, 500])
def test_a_clock_that_was_set_back_makes_no_message_wait_longer(sender: SteppedSender, answer: int) -> None:
    """It was years ahead at the first attempt, as on a machine without a battery; what follows is the usual schedule."""
    ahead_us = 10 * 365 * 86_400_000_000
    sender.usual = 500
    message = sender.put(1)
    sender.live(2)
    refused = sender.read(message)
    write_webhook(sender.paths, replace(refused, not_before_us=refused.not_before_us + ahead_us))
    sender.usual = answer
    sender.live(2)
    assert sender.asked == [1, 1]
    if answer == 200:
        assert not sender.paths.ids()
        return
    again = sender.read(message)
    assert again.attempts == 2
    assert 0 < again.not_before_us - sender.time.now_us() <= PAUSES_S[1] * 1.2e6
    assert again.waited_us == pytest.approx((PAUSES_S[0] + PAUSES_S[1]) * 1e6, rel=0.21)


class WatchedQueue(WebhookQueue):
    """A queue that polls at any moment when another thread could."""

    def poll_if_unlocked(self) -> None:
        """Poll if the lock is free, as another thread may."""
        if not self._lock.locked():
            self.poll()


def test_a_delivered_message_is_not_found_again_while_it_is_removed(
    sender: SteppedSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would be sent twice, or given up because its body is gone."""
    queue = WatchedQueue(sender.paths)
    sender.put(1)
    queue.poll()
    message = queue.take(HOOK, sender.time.now_us())
    assert message is not None

    def removed(paths: WebhookPaths, id_: str) -> None:
        queue.poll_if_unlocked()
        remove_webhook(paths, id_)

    monkeypatch.setattr("cutoutd.hosted.webhook_queue.remove_webhook", removed)
    queue.done(message)
    assert queue.take(HOOK, sender.time.now_us()) is None
