"""Webhooks end to end: the real daemon, the real uploader, and a receiver that verifies signatures like common libraries."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks import Webhook

from cutoutd.clock import Clock, rfc3339
from cutoutd.exchange.spool import SpoolPaths, uploader_status
from cutoutd.exchange.webhooks import WebhookMessage, WebhookPaths, webhooks_waiting, write_webhook
from tests.acceptance.conftest import picture
from tests.webhook_receiver import SECRET, WebhookReceiver

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model


@dataclass(frozen=True)
class WebhookSetup:
    """A folder with a webhook, and one without."""

    bench: Bench
    receiver: WebhookReceiver
    config: Path

    def configure(self, *lines: str, enabled: bool = True, webhook: bool = True) -> None:
        """Write the configuration; further lines are for the webhook."""
        root = self.bench.root
        webhook_table = (
            f'[[folder.webhook]]\nurl = "{self.receiver.url}"\nsecret_file = "{root}/secret"\nallow_private = true\n'
            + "\n".join(lines)
        )
        self.config.write_text(
            f'[service]\nstate_dir = "{root}/own-state"\n'
            + ("[webhooks]\nenabled = true\n" if enabled else "")
            + "".join(
                f'[[folder]]\nname = "{name}"\ninput = "{root}/{name}"\noutput = "{root}/{name}-out"\n'
                f"settle_s = 0.2\npoll_interval_s = 0.2\n{extra}\n"
                for name, extra in (("shop", webhook_table if webhook else ""), ("private", ""))
            ),
            encoding="utf-8",
        )

    def drop(self, folder: str, name: str, hue: int = 0) -> None:
        """Add a picture that is old enough to be taken at once."""
        draft = self.bench.root / "draft.jpg"
        picture(hue).save(draft, quality=90)
        os.utime(draft, (1_700_000_000,) * 2)
        draft.rename(self.bench.root / folder / name)

    def once(self, *options: str) -> int:
        """Cut what is there."""
        return self.call("run", "--once", *options).returncode

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a cutoutd command with this configuration."""
        return self.bench.call(*arguments, "--config", self.config)


@pytest.fixture
def webhook_setup(bench: Bench) -> Iterator[WebhookSetup]:
    """A folder with a webhook and one without, and the webhook's secret."""
    for name in ("shop", "private"):
        (bench.root / name).mkdir()
    secret = bench.root / "secret"
    secret.write_text(SECRET + "\n", encoding="ascii")
    secret.chmod(0o600)
    with WebhookReceiver() as receiver:
        created = WebhookSetup(bench=bench, receiver=receiver, config=bench.root / "cutoutd.toml")
        created.configure()
        yield created


def test_a_result_is_sent_and_signed_and_no_other_folders_is(webhook_setup: WebhookSetup) -> None:
    """The message has the sidecar as published, and no picture; `audit` lists it."""
    webhook_setup.drop("shop", "a.jpg")
    webhook_setup.drop("private", "b.jpg")
    assert webhook_setup.once() == 0
    (message,) = webhook_setup.receiver.seen
    document = Webhook(SECRET).verify(message.body, message.headers)
    assert document["type"] == "picture.done"
    sidecar = json.loads((webhook_setup.bench.root / "shop-out/a.png.json").read_text("utf-8"))
    assert document["data"]["sidecar"] == sidecar
    assert sidecar["webhooks"] == [{"host": webhook_setup.receiver.url.split("/")[2], "include": "sidecar"}]
    assert sidecar["egress"] is None
    assert b"b.jpg" not in message.body
    assert "results" not in document["data"]


def test_the_result_itself_is_sent_only_where_that_is_configured(webhook_setup: WebhookSetup) -> None:
    """With the bytes that were published."""
    webhook_setup.configure('include = "result"')
    webhook_setup.drop("shop", "a.jpg")
    assert webhook_setup.once() == 0
    (message,) = webhook_setup.receiver.seen
    (result,) = Webhook(SECRET).verify(message.body, message.headers)["data"]["results"]
    content = base64.b64decode(result["content"])
    assert content == (webhook_setup.bench.root / "shop-out/a.png").read_bytes()
    assert (result["path"], result["media_type"], result["sha256"]) == (
        "a.png",
        "image/png",
        hashlib.sha256(content).hexdigest(),
    )


def messages(webhook_setup: WebhookSetup) -> list[dict[str, Any]]:
    """Return the messages that wait or were given up, as the command lists them."""
    listed = webhook_setup.call("webhook", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    found: list[dict[str, Any]] = json.loads(listed.stdout)["messages"]
    return found


def stored_messages(webhook_setup: WebhookSetup) -> list[WebhookMessage]:
    """Return the waiting messages from their files, without the command."""
    return webhooks_waiting(WebhookPaths.under(webhook_setup.bench.root / "own-state"))


def test_without_enabled_webhooks_no_uploader_is_started(webhook_setup: WebhookSetup) -> None:
    """The local path is unchanged: no directory of messages, no record, and no field in the sidecar."""
    webhook_setup.configure(webhook=False)
    webhook_setup.drop("shop", "a.jpg")
    assert webhook_setup.once() == 0
    assert not (webhook_setup.bench.root / "own-state/hosted").exists()
    assert "webhooks" not in json.loads((webhook_setup.bench.root / "shop-out/a.png.json").read_text("utf-8"))
    webhook_setup.configure(enabled=False)
    refused = webhook_setup.call("run", "--once")
    assert refused.returncode == 2
    assert "[webhooks] does not allow that" in refused.stderr
    webhook_setup.configure()
    webhook_setup.drop("shop", "b.jpg", 1)
    assert webhook_setup.once("--local-only") == 0
    assert webhook_setup.receiver.seen == []
    assert not (webhook_setup.bench.root / "own-state/hosted").exists()
    with closing(sqlite3.connect(webhook_setup.bench.root / "own-state/journal.sqlite")) as journal:
        assert journal.execute("SELECT COUNT(*) FROM ended").fetchone() == (0,)


def test_retry_of_all_lists_waiting_messages_and_their_times(webhook_setup: WebhookSetup) -> None:
    """It sends only what was given up, and says how to send the others earlier."""
    webhook_setup.configure()
    paths = WebhookPaths.under(webhook_setup.bench.root / "own-state")
    paths.make()
    next_us = Clock().now_us() + 3_600_000_000
    for digit, seconds in (("a", 0), ("b", 60)):
        message = WebhookMessage(
            id=digit * 32,
            webhook="0" * 16,
            folder="shop",
            job=1,
            type="picture.done",
            what="sidecar",
            number=1,
            about="0" * 32,
            bytes=1,
            sha256="0" * 64,
            made_us=1,
            settings="0" * 64,
            attempts=2,
            not_before_us=next_us + seconds * 1_000_000,
        )
        write_webhook(paths, message)
        done = webhook_setup.call("webhook", "retry", "--all")
        assert done.stdout.startswith("0 messages will be sent again.\n"), done.stderr
        assert f": {rfc3339(message.not_before_us)}. `cutoutd webhook list`" in done.stdout
        assert ("1 message waits" in done.stdout) is (digit == "a")
    assert "\n2 messages wait" in done.stdout


def test_jobs_that_ended_without_a_receiver_are_sent_once_by_the_next_run(
    webhook_setup: WebhookSetup, start: Callable[..., Daemon]
) -> None:
    """The daemon is killed once the cutout has its name: the journal keeps it, and the message keeps its id."""
    webhook_setup.receiver.usual = 503
    daemon = start("--config", webhook_setup.config)
    webhook_setup.drop("shop", "a.jpg")
    webhook_setup.bench.wait_for(lambda: bool(webhook_setup.receiver.seen), "the first attempt")
    daemon.process.kill()
    daemon.process.wait()
    webhook_setup.receiver.usual = 200
    (waiting,) = messages(webhook_setup)
    assert (waiting["state"], waiting["type"]) == ("waiting", "picture.done")
    retried = webhook_setup.call("webhook", "retry", waiting["id"][:8])
    assert retried.stdout.startswith("1 message will be sent again.")
    assert webhook_setup.once() == 0
    assert messages(webhook_setup) == []
    assert {told.id for told in webhook_setup.receiver.seen} == {waiting["id"]}
    audit = json.loads(webhook_setup.call("audit", "--json").stdout)
    assert [row["end"] for row in audit["webhooks"]][-1] == "ok"
    assert audit["uploads"] == []
    assert "by=cutoutd" not in json.dumps(audit)  # an address may hold a secret


def test_commands_query_a_running_daemon(webhook_setup: WebhookSetup, start: Callable[..., Daemon]) -> None:
    """A test message that arrives, and one that does not; the state of the webhook; and no output contains the secret."""
    daemon = start("--config", webhook_setup.config)
    state = webhook_setup.bench.root / "own-state"
    webhook_setup.bench.wait_for(lambda: bool(uploader_status(SpoolPaths.under(state))), "the uploader")
    tested = webhook_setup.call("webhook", "test")
    assert tested.returncode == 0, tested.stderr + tested.stdout
    assert "it was accepted" in tested.stdout
    assert webhook_setup.receiver.seen[0].document["type"] == "webhook.test"
    webhook_setup.receiver.next(410)
    failed = webhook_setup.call("webhook", "test", "--folder", "shop")
    assert failed.returncode == 1
    assert "FAILED: the receiver answers 410" in failed.stdout
    webhook_setup.drop("shop", "a.jpg")
    webhook_setup.bench.wait_for(
        lambda: [one.is_dead for one in stored_messages(webhook_setup)] == [True], "the message"
    )
    given_up = "1 GIVEN UP (`cutoutd webhook list`); the receiver answered 410: it wants no more messages"
    webhook_setup.bench.wait_for(lambda: given_up in webhook_setup.call("status").stdout, "the status")
    status = webhook_setup.call("status")
    assert "WANTS NO MORE" in webhook_setup.call("webhook", "list").stdout
    assert webhook_setup.call("webhook", "retry", "--all").returncode == 0
    webhook_setup.bench.wait_for(lambda: stored_messages(webhook_setup) == [], "what was asked for again")
    daemon.end()
    output = (
        status.stdout
        + tested.stdout
        + (webhook_setup.bench.root / "log").read_text("utf-8")
        + webhook_setup.call("check", "--all").stdout
    )
    texts = [path.read_bytes() for path in state.rglob("*") if path.is_file()]
    assert SECRET.encode() not in b"".join(texts) + output.encode()
