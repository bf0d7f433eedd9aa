"""Parts of the webhook sender, each by itself: signatures, pauses, addresses, the queue, and the ledger."""

from __future__ import annotations

import base64
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from cutoutd.errors import ConfigurationError
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.exchange.webhooks import (
    MessageState,
    WebhookMessage,
    WebhookPaths,
    read_webhook,
    remove_leftovers,
    withdraw_others,
    write_body,
    write_webhook,
)
from cutoutd.hosted.ledger import SQL, Ledger
from cutoutd.hosted.webhook_client import forbidden
from cutoutd.hosted.webhook_queue import WebhookQueue
from cutoutd.hosted.webhook_schedule import (
    GIVEN_UP_S,
    JITTER,
    PAUSES_S,
    WebhookOutcome,
    judge,
    pause_after,
)
from cutoutd.hosted.webhook_signature import read_secrets, sign
from cutoutd.settings.webhooks import FolderWebhook
from tests.webhook_receiver import SECRET

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "whsec_" + base64.b64encode(b"another secret for the tests 32b").decode()
HOOK = "a" * 16


@pytest.fixture
def paths(tmp_path: Path) -> WebhookPaths:
    """An empty directory of messages."""
    created = WebhookPaths(tmp_path / "hosted")
    created.make()
    return created


def put(
    paths: WebhookPaths,
    number: int,
    *,
    about: str = "p",
    webhook: str = HOOK,
    content: bytes = b"{}",
    **fields: Any,  # noqa: ANN401 -- as the message has them
) -> WebhookMessage:
    """Write a message with a body; return it."""
    id_ = f"{number:032x}"
    size, sha256 = write_body(paths, id_, [content])
    message = WebhookMessage(
        id=id_,
        webhook=webhook,
        folder="f",
        job=number,
        type="picture.done",
        what="sidecar",
        number=number,
        about=about,
        bytes=size,
        sha256=sha256,
        made_us=number,
        settings="",
    )
    message = replace(message, **fields)
    write_webhook(paths, message)
    return message


def secret_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file with secrets; return its path."""
    path = tmp_path / "secret"
    path.write_text(text, encoding="ascii")
    path.chmod(mode)
    return path


def test_others_verify_what_is_signed_with_either_secret(tmp_path: Path) -> None:
    """During a rotation both sign; the PyPI package accepts each, and refuses a changed body."""
    secrets = read_secrets(secret_file(tmp_path, f"{SECRET}\n{OTHER}\n"))
    now_s = int(datetime.now(tz=UTC).timestamp())
    headers = {
        "webhook-id": "x",
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign(secrets, "x", now_s, [b'{"a"', b": 1}"]),
    }
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(b'{"a": 1}', headers) == {"a": 1}
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(b'{"a": 2}', headers)
    assert "secret for" not in repr(secrets)


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("", 0o600, "holds 0 secrets"),
        (f"{SECRET}\n{OTHER}\n{SECRET}", 0o600, "holds 3 secrets"),
        ("whsec_c2hvcnQ=", 0o600, "holds no secret"),
        (SECRET.removeprefix("whsec_"), 0o600, "holds no secret"),
        ("whsec_!!!", 0o600, "holds no secret"),
        (SECRET, 0o644, "others can read"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_without_showing_it(
    tmp_path: Path, text: str, mode: int, words: str
) -> None:
    """Nor is a file accepted that others can read."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        read_secrets(secret_file(tmp_path, text, mode))
    assert "c2hv" not in str(caught.value)
    assert SECRET[6:20] not in str(caught.value)


def test_the_advised_command_makes_a_secret(tmp_path: Path) -> None:
    """The command works as printed."""
    path = tmp_path / "secret"
    script = f"umask 077; (printf whsec_; head -c 32 /dev/urandom | base64) > {path}"
    subprocess.run(["/bin/sh", "-c", script], check=True)
    assert len(read_secrets(path)) == 1


def test_pauses_grow_and_end_after_three_days() -> None:
    """Each message has its own pauses, the same after a restart."""
    for id_ in ("a", "b"):
        pauses = [pause_after(id_, attempts) for attempts in range(1, len(PAUSES_S) + 2)]
        for pause_s, usual_s in zip(pauses, [*PAUSES_S, PAUSES_S[-1]], strict=True):
            assert usual_s * (1 - JITTER) <= pause_s <= usual_s * (1 + JITTER)
    assert 71 * 3600 < sum(PAUSES_S) <= GIVEN_UP_S
    assert pause_after("a", 3) != pause_after("b", 3)
    assert pause_after("a", 3) == pause_after("a", 3)


@given(status=st.integers(100, 599), asked=st.sampled_from(["", "7", "99999999", "x", "-1", "1e9", "Wed"]))
def test_an_answer_is_success_gone_or_another_try(status: int, asked: str) -> None:
    """No answer makes a pause longer than a day."""
    result = judge(status, {"retry-after": asked, "location": "https://elsewhere/"}, 0)
    wanted = (
        WebhookOutcome.OK
        if 200 <= status < 300
        else WebhookOutcome.GONE
        if status == 410
        else WebhookOutcome.FAILED
    )
    assert result.outcome is wanted
    assert 0 <= result.wait_s <= 86_400
    assert (result.cause == "") == (wanted is WebhookOutcome.OK)


def test_a_receiver_may_name_the_time_of_the_next_attempt() -> None:
    """RFC 9110 has both forms: seconds, and a date."""
    now_us = int(datetime(2026, 12, 1, 10, tzinfo=UTC).timestamp()) * 1_000_000
    for asked, wait_s in (
        ("7", 7),
        ("Tue, 01 Dec 2026 12:00:00 GMT", 7200),
        ("Tue, 01 Dec 2026 09:00:00 GMT", 0),
        ("Fri, 01 Dec 2028 12:00:00 GMT", 86_400),
    ):
        assert judge(503, {"retry-after": asked}, now_us).wait_s == wait_s


def webhook(url: str = "https://x.example/", *, allow_private: bool = False) -> FolderWebhook:
    """Return a receiver."""
    return FolderWebhook.model_validate(
        {"url": url, "secret_file": "/s", "allow_private": allow_private}, context=None
    )


@pytest.mark.parametrize(
    "number",
    [
        "127.0.0.1",
        "127.8.9.1",
        "10.0.0.1",
        "192.168.3.4",
        "172.16.0.1",
        "169.254.169.254",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "fec0::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
    ],
)
def test_private_addresses_are_reached_only_if_configured(number: str) -> None:
    """In every notation, and also if they embed another address."""
    assert "allow_private" in forbidden(number, webhook())
    assert not forbidden(number, webhook(allow_private=True))


@pytest.mark.parametrize(
    "number",
    [
        *(
            "0.0.0.1",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
        ),
        *("::127.0.0.1", "::10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b:1::10.0.0.1", "5f00::1"),
    ],
)
def test_reserved_addresses_are_never_reached(number: str) -> None:
    """Not even if private ones are allowed."""
    assert forbidden(number, webhook())
    assert forbidden(number, webhook(allow_private=True))


def test_the_internet_is_reached_encrypted_alone() -> None:
    """A name that was private when it was configured may resolve elsewhere later."""
    for number in ("93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"):
        assert not forbidden(number, webhook())
        assert "unencrypted" in forbidden(number, webhook("http://x.example/", allow_private=True))


def test_messages_about_one_picture_go_in_their_order_and_others_pass(paths: WebhookPaths) -> None:
    """A waiting message delays only its own picture's messages."""
    put(paths, 1, about="p", not_before_us=100)
    put(paths, 2, about="p")
    put(paths, 3, about="q")
    put(paths, 4, about="p", webhook="b" * 16)
    queue = WebhookQueue(paths)
    queue.poll()
    first = queue.take(HOOK, 50)
    assert first is not None
    assert first.number == 3
    assert queue.take(HOOK, 50) is None
    other = queue.take("b" * 16, 50)
    assert other is not None
    assert other.number == 4
    held = queue.take(HOOK, 100)
    assert held is not None
    assert held.number == 1
    assert queue.take(HOOK, 100) is None  # the second waits until it is known what became of the first
    queue.done(held)
    second = queue.take(HOOK, 100)
    assert second is not None
    assert second.number == 2


def test_a_message_that_was_given_up_lets_the_next_pass_and_is_sent_again_on_request(
    paths: WebhookPaths,
) -> None:
    """Recorded in the file, and therefore kept over a restart."""
    put(paths, 1, about="p", state=MessageState.DEAD, cause="x")
    put(paths, 2, about="p")
    queue = WebhookQueue(paths)
    queue.poll()
    second = queue.take(HOOK, 0)
    assert second is not None
    assert second.number == 2
    queue.keep(replace(second, attempts=1, waited_us=3, not_before_us=500, cause="no"))
    assert WebhookQueue(paths).take(HOOK, 0) is None
    again = WebhookQueue(paths)
    again.poll()
    assert again.take(HOOK, 499) is None
    write_webhook(paths, read_webhook(paths, f"{1:032x}").asked_again())
    again.poll()
    found = again.take(HOOK, 499)
    assert found is not None
    assert (found.number, found.attempts, found.waited_us, found.by_hand) == (1, 0, 0, True)


def test_a_message_that_is_removed_is_not_written_again(paths: WebhookPaths) -> None:
    """Its webhook was removed from the configuration during the attempt."""
    message = put(paths, 1)
    queue = WebhookQueue(paths)
    queue.poll()
    taken = queue.take(HOOK, 0)
    assert taken is not None
    assert withdraw_others(paths, ()) == 1
    queue.keep(replace(taken, attempts=1))
    assert paths.ids() == []
    assert queue.messages() == []
    assert message.id == taken.id


def test_invalid_messages_are_never_sent(paths: WebhookPaths) -> None:
    """Truncated, misnamed, with impossible numbers, or not a file at all."""
    good = put(paths, 1)
    text = paths.message(good.id).read_text("ascii")
    odd = {"2": text, "3": "{", "4": text.replace(good.id, "4" * 32).replace('"number": 1', '"number": -1')}
    for digit, content in odd.items():
        paths.message(digit * 32).write_text(content, encoding="ascii")
        with pytest.raises(InvalidMessageError):
            read_webhook(paths, digit * 32)
    os.mkfifo(paths.message("5" * 32))
    (paths.events / "not-one.json").write_text(text)
    paths.message("5" * 32).unlink()
    queue = WebhookQueue(paths)
    queue.poll()
    assert [one.id for one in queue.messages()] == [good.id]
    assert withdraw_others(paths, [HOOK]) == 3
    assert paths.ids() == [good.id]


def test_messages_that_were_given_up_are_kept_for_a_while_and_within_a_limit(paths: WebhookPaths) -> None:
    """The message given up first is removed first; waiting messages never are."""
    month_us = 31 * 86_400_000_000
    put(paths, 1, state=MessageState.DEAD)
    put(paths, 2, state=MessageState.DEAD, given_up_us=month_us + 1, bytes=600)
    put(paths, 3, state=MessageState.DEAD, given_up_us=month_us, bytes=600)
    put(paths, 4)
    queue = WebhookQueue(paths)
    queue.poll()
    assert queue.trim(month_us + 2, 1000) == 2
    assert [one.number for one in queue.messages()] == [2, 4]


def test_leftovers_of_a_crash_are_cleared_away(paths: WebhookPaths) -> None:
    """A body without its message, and drafts; nothing recent."""
    message = put(paths, 1)
    for name in ("2" * 32 + ".body", "2" * 32 + ".draft", "3" * 32 + ".new"):
        (paths.events / name).write_bytes(b"x")
    remove_leftovers(paths, 0.0)
    assert len(list(paths.events.iterdir())) == 5
    remove_leftovers(paths, 1e12)
    assert sorted(path.name for path in paths.events.iterdir()) == [
        f"{message.id}.body",
        f"{message.id}.json",
    ]


def test_a_ledger_of_before_is_read_and_gets_the_table(tmp_path: Path) -> None:
    """All of its rows are kept."""
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"BEGIN;{SQL.script('ledger.sql')}PRAGMA user_version = 1;COMMIT;")
        connection.execute("PRAGMA application_id = 7")
    shutil.copy(path, tmp_path / "old.sqlite")
    with Ledger(tmp_path / "old.sqlite") as old:
        assert list(old.webhooks()) == []
        assert list(old.all()) == []
    with Ledger(path, create=True) as ledger:
        assert ledger.id == 7
        message = WebhookMessage(
            id="1" * 32,
            webhook=HOOK,
            folder="f",
            job=1,
            type="picture.done",
            what="sidecar",
            number=1,
            about="p",
            bytes=2,
            sha256="s",
            made_us=1,
            settings="",
        )
        row = ledger.begin_webhook(message, host="x.y", now_us=5)
        ledger.close_webhook(row, WebhookOutcome.GONE, status=410, sent=2, took_ms=3, cause="c")
        assert ledger.has_unsubscribed(HOOK)
        assert not ledger.has_unsubscribed("b" * 16)
        row = ledger.begin_webhook(message, host="x.y", now_us=6)
        assert ledger.has_unsubscribed(HOOK)  # nothing else was heard yet
        assert ledger.close_left_open("killed") == 1
        assert [one["outcome"] for one in ledger.webhooks()] == ["gone", "unknown"]


def test_a_message_with_an_endless_number_is_invalid_like_any_other(paths: WebhookPaths) -> None:
    """Python refuses to read such a number with an error of its own."""
    id_ = "1" * 32
    paths.message(id_).write_text(f'{{"schema": "cutoutd.webhook/1", "id": "{id_}", "job": {"9" * 5000}}}')
    with pytest.raises(InvalidMessageError):
        read_webhook(paths, id_)


def test_a_message_that_cannot_be_read_holds_up_no_other(paths: WebhookPaths) -> None:
    """It held up all messages, and all uploads."""
    unreadable = paths.message("1" * 32)
    unreadable.symlink_to(unreadable)
    size, sha256 = write_body(paths, "2" * 32, [b"{}"])
    message = WebhookMessage(
        id="2" * 32,
        webhook=HOOK,
        folder="shop",
        job=1,
        type="picture.done",
        what="sidecar",
        number=1,
        about="2" * 32,
        bytes=size,
        sha256=sha256,
        made_us=1,
        settings="",
    )
    write_webhook(paths, message)
    queue = WebhookQueue(paths)
    queue.poll()
    assert queue.take(HOOK, 2) == message
