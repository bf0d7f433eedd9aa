"""Ended jobs are handed over to the uploader: after a crash once more under the same id, and a full disk loses none."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.clock import Clock
from cutoutd.errors import JournalError
from cutoutd.exchange.webhooks import (
    WebhookMessage,
    WebhookPaths,
    picture_key,
    remove_webhook,
    webhooks_waiting,
    write_body,
)
from cutoutd.jobs import JobState, Version
from cutoutd.journal.journal import Journal
from cutoutd.offload import webhook_handover
from cutoutd.offload.webhook_handover import WebhookHandover
from cutoutd.settings.loader import assemble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.settings.schema import Settings

PATIENCE_S = 60.0
SOURCE = "5" * 64


class Room:
    """A journal, a folder with a webhook, and the handover, in this process."""

    def __init__(self, directory: Path, **webhook: object) -> None:
        self.directory = directory
        self.output = directory / "out"
        self.output.mkdir(exist_ok=True)
        self.clock = Clock()
        self.journal = Journal(directory, session="r" * 32, clock=self.clock)
        self.settings = self.configured([webhook])
        self.paths = WebhookPaths.under(directory)
        self.handover = WebhookHandover(
            settings=lambda: self.settings,
            ended=self.journal.ended,
            state_dir=directory,
            clock=self.clock,
            in_force=lambda: "0" * 64,
        )

    def configured(self, webhooks: list[dict[str, Any]], **bounds: int) -> Settings:
        """Return settings with a folder that has these webhooks."""
        hooks = [{"url": "https://x.example/", "secret_file": "/s"} | one for one in webhooks]
        folder = {
            "name": "f",
            "input": str(self.directory / "in"),
            "output": str(self.output),
            "webhook": hooks,
        }
        document = {"webhooks": {"enabled": True, **bounds}, "folder": [folder]}
        return assemble(document, {}, origin="", base=None)

    def end(self, name: str, state: JobState = JobState.DONE, *, content: bytes = b"a cutout") -> None:
        """End a job as the delivery records it, with a result and its sidecar."""
        (accepted, *_) = self.journal.sources.accept(
            "f", [Version(path=name, size=1, mtime_ns=time.time_ns())]
        )
        result = self.output / f"{name}.png"
        detail: dict[str, Any] = {"failure": {"title": "no", "cause": "it is not a picture"}}
        if state is not JobState.FAILED:
            result.write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            sidecar = {
                "schema": "cutoutd.sidecar/1",
                "source": {"path": name, "sha256": SOURCE},
                "outputs": [{"path": result.name, "sha256": sha256}],
            }
            result.with_name(f"{result.name}.json").write_text(json.dumps(sidecar))
            detail = {"outputs": [str(result)]}
        self.journal.queue.finish(accepted, state, detail=detail, sha256=SOURCE)

    def messages(self) -> list[WebhookMessage]:
        """Return the messages that were handed over."""
        return webhooks_waiting(self.paths)

    def body(self, message: WebhookMessage) -> dict[str, Any]:
        """Return the body of a message, checked against what the message announces."""
        content = self.paths.body(message.id).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (message.bytes, message.sha256)
        found: dict[str, Any] = json.loads(content)
        return found

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, f"waited in vain for {what}: {self.messages()}"
            time.sleep(0.02)

    def until_handed_over(self) -> None:
        """Wait until no ended job is left in the journal."""
        self.until(lambda: self.journal.ended.count() == 0, "an empty table")

    def close(self) -> None:
        """Close all parts."""
        self.handover.stop(PATIENCE_S)
        self.journal.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A room whose threads run."""
    created = Room(tmp_path)
    created.handover.follow()
    yield created
    created.close()


def test_each_end_becomes_a_message_in_its_order(room: Room) -> None:
    """Done, review and failed; the message itself, which lists show, does not name the picture."""
    room.end("a.jpg")
    room.end("b.jpg", JobState.REVIEW)
    room.end("c.jpg", JobState.FAILED)
    room.until_handed_over()
    done, review, failed = room.messages()
    assert [one.type for one in (done, review, failed)] == [
        "picture.done",
        "picture.review",
        "picture.failed",
    ]
    assert done.about == picture_key("f", "a.jpg")
    data = room.body(done)["data"]
    assert data["sidecar"]["outputs"][0]["path"] == "a.jpg.png"
    assert "results" not in data
    assert room.body(failed)["data"]["failure"]["cause"] == "it is not a picture"
    assert room.body(failed)["data"]["sidecar"] is None
    assert "a.jpg" not in room.paths.message(done.id).read_text("ascii")


def test_events_that_are_not_configured_are_not_sent(tmp_path: Path) -> None:
    """For a folder without a webhook none is even recorded."""
    room = Room(tmp_path, events=["failed"])
    room.end("before.jpg")
    assert room.journal.ended.count() == 0
    room.handover.follow()
    room.end("a.jpg")
    room.end("b.jpg", JobState.FAILED)
    room.until_handed_over()
    assert [one.type for one in room.messages()] == ["picture.failed"]
    room.settings = room.configured([])
    room.handover.changed()
    room.handover.poll()
    assert room.messages() == []  # what waited goes with its webhook
    room.end("c.jpg", JobState.FAILED)
    assert room.journal.ended.count() == 0
    room.close()


def test_a_crash_before_the_journal_knows_hands_over_again_under_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the uploader has sent it meanwhile: the receiver gets the same id twice."""
    room = Room(tmp_path)
    refusals: list[str] = []

    def refuse(*_: object) -> None:
        refusals.append("")
        raise JournalError("killed here")

    monkeypatch.setattr(room.journal.ended, "handed_over", refuse)
    room.handover.follow()
    room.end("a.jpg")
    room.until(lambda: bool(refusals), "the crash")
    (first,) = room.messages()
    remove_webhook(room.paths, first.id)  # sent
    room.close()
    again = Room(tmp_path)
    again.handover.follow()
    again.until_handed_over()
    (second,) = again.messages()
    assert (second.id, second.number) == (first.id, first.number)
    again.close()


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is handed over once there is room."""
    room = Room(tmp_path)
    refusals: list[str] = []

    def full(*arguments: Any) -> tuple[int, str]:  # noqa: ANN401 -- as the function has them
        if len(refusals) < 2:
            refusals.append("")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_body(*arguments)

    monkeypatch.setattr(webhook_handover, "write_body", full)
    room.handover.follow()
    room.end("a.jpg")
    room.until_handed_over()
    assert len(refusals) == 2
    assert len(room.messages()) == 1
    room.close()


def test_waiting_messages_stay_within_their_disk_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest waits in the journal, and follows when the receiver has accepted some."""
    monkeypatch.setattr(webhook_handover, "MAX_MESSAGES", 2)
    room = Room(tmp_path)
    room.handover.follow()
    for number in range(4):
        room.end(f"{number}.jpg")
    room.until(lambda: room.journal.ended.count() == 2, "two to be handed over")
    room.until(lambda: room.handover.is_idle, "the others to rest")
    assert len(room.messages()) == 2
    for message in room.messages():
        remove_webhook(room.paths, message.id)
    room.until_handed_over()
    assert [one.number for one in room.messages()] == [3, 4]
    room.close()


def test_files_go_along_only_as_they_were_published(tmp_path: Path) -> None:
    """Not a file that somebody has changed since, nor one that is too large, replaced by a link, or gone."""
    room = Room(tmp_path)
    room.settings = room.configured([{"include": "result"}], max_result_mb=1)
    room.journal.ended.follow({"f"})  # nobody looks yet
    for name in ("good", "changed", "link", "gone"):
        room.end(f"{name}.jpg")
    room.end("large.jpg", content=bytes((1 << 20) + 1))
    (room.output / "changed.jpg.png").write_bytes(b"retouched")
    for name in ("link", "gone"):
        (room.output / f"{name}.jpg.png").unlink()
    (room.output / "link.jpg.png").symlink_to("/etc/hostname")
    room.handover.follow()
    room.until_handed_over()
    results = {
        one["path"].partition(".")[0]: one
        for message in room.messages()
        for one in room.body(message)["data"]["results"]
    }
    good = results.pop("good")
    assert base64.b64decode(good["content"]) == b"a cutout"
    assert (good["bytes"], good["media_type"]) == (8, "image/png")
    assert {name: one["left_out"] for name, one in results.items()} == {
        "changed": "it was changed since it was published",
        "link": "it is not there any more",
        "gone": "it is not there any more",
        "large": "it is larger than max_result_mb",
    }
    assert all(one["content"] is None for one in results.values())
    room.close()


def test_a_sidecar_of_another_picture_is_not_sent(room: Room) -> None:
    """Another picture's sidecar has replaced it before it is read."""
    room.handover.stop(PATIENCE_S)
    room.end("a.jpg")  # nobody looks
    other = room.output / "a.jpg.png.json"
    other.write_text(other.read_text().replace(SOURCE, "6" * 64))
    again = Room(room.directory)
    again.handover.follow()
    again.until_handed_over()
    (message,) = again.messages()
    assert again.body(message)["data"]["sidecar"] is None
    again.close()
