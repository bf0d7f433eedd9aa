"""Ended jobs are handed over to the uploader: after a crash once more under the same id, and a full disk loses none."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.clock import Clock
from cutoutd.errors import JournalError
from cutoutd.exchange.webhooks import (
    MessageState,
    WebhookMessage,
    WebhookPaths,
    picture_key,
    remove_webhook,
    webhooks_waiting,
    write_body,
    write_webhook,
)
from cutoutd.jobs import JobState, Version
from cutoutd.journal.folders import FolderMemory
from cutoutd.journal.journal import Journal
from cutoutd.offload import webhook_handover
from cutoutd.offload.webhook_handover import WebhookHandover
from cutoutd.settings.loader import assemble
from cutoutd.settings.webhooks import webhook_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.settings.schema import Settings

PATIENCE_S = 60.0
SOURCE = "5" * 64


class HandoverSetup:
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
            former_names=self.journal.folders.former_names,
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

    def end(
        self, name: str, state: JobState = JobState.DONE, *, content: bytes = b"a cutout", folder: str = "f"
    ) -> None:
        """End a job as the delivery records it, with a result and its sidecar."""
        (accepted, *_) = self.journal.sources.accept(
            folder, [Version(path=name, size=1, mtime_ns=time.time_ns())]
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
def handover_setup(tmp_path: Path) -> Iterator[HandoverSetup]:
    """A room whose threads run."""
    created = HandoverSetup(tmp_path)
    created.handover.follow()
    yield created
    created.close()


def test_each_end_becomes_a_message_in_its_order(handover_setup: HandoverSetup) -> None:
    """Done, review and failed; the message itself, which lists show, does not name the picture."""
    handover_setup.end("a.jpg")
    handover_setup.end("b.jpg", JobState.REVIEW)
    handover_setup.end("c.jpg", JobState.FAILED)
    handover_setup.until_handed_over()
    done, review, failed = handover_setup.messages()
    assert [one.type for one in (done, review, failed)] == [
        "picture.done",
        "picture.review",
        "picture.failed",
    ]
    assert done.about == picture_key("f", "a.jpg")
    data = handover_setup.body(done)["data"]
    assert data["sidecar"]["outputs"][0]["path"] == "a.jpg.png"
    assert "results" not in data
    assert handover_setup.body(failed)["data"]["failure"]["cause"] == "it is not a picture"
    assert handover_setup.body(failed)["data"]["sidecar"] is None
    assert "a.jpg" not in handover_setup.paths.message(done.id).read_text("ascii")


def test_events_that_are_not_configured_are_not_sent(tmp_path: Path) -> None:
    """For a folder without a webhook none is even recorded."""
    handover_setup = HandoverSetup(tmp_path, events=["failed"])
    handover_setup.end("before.jpg")
    assert handover_setup.journal.ended.count() == 0
    handover_setup.handover.follow()
    handover_setup.end("a.jpg")
    handover_setup.end("b.jpg", JobState.FAILED)
    handover_setup.until_handed_over()
    assert [one.type for one in handover_setup.messages()] == ["picture.failed"]
    handover_setup.settings = handover_setup.configured([])
    handover_setup.handover.changed()
    handover_setup.handover.poll()
    assert handover_setup.messages() == []  # what waited goes with its webhook
    handover_setup.end("c.jpg", JobState.FAILED)
    assert handover_setup.journal.ended.count() == 0
    handover_setup.close()


def test_a_crash_before_the_journal_knows_hands_over_again_under_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the uploader has sent it meanwhile: the receiver gets the same id twice."""
    handover_setup = HandoverSetup(tmp_path)
    refusals: list[str] = []

    def refuse(*_: object) -> None:
        refusals.append("")
        raise JournalError("killed here")

    monkeypatch.setattr(handover_setup.journal.ended, "handed_over", refuse)
    handover_setup.handover.follow()
    handover_setup.end("a.jpg")
    handover_setup.until(lambda: bool(refusals), "the crash")
    (first,) = handover_setup.messages()
    remove_webhook(handover_setup.paths, first.id)  # sent
    handover_setup.close()
    again = HandoverSetup(tmp_path)
    again.handover.follow()
    again.until_handed_over()
    (second,) = again.messages()
    assert (second.id, second.number) == (first.id, first.number)
    again.close()


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is handed over once there is room."""
    handover_setup = HandoverSetup(tmp_path)
    refusals: list[str] = []

    def full(*arguments: Any) -> tuple[int, str]:  # noqa: ANN401 -- as the function has them
        if len(refusals) < 2:
            refusals.append("")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_body(*arguments)

    monkeypatch.setattr(webhook_handover, "write_body", full)
    handover_setup.handover.follow()
    handover_setup.end("a.jpg")
    handover_setup.until_handed_over()
    assert len(refusals) == 2
    assert len(handover_setup.messages()) == 1
    handover_setup.close()


def test_a_disk_that_refuses_another_configuration_holds_up_no_pictures(
    handover_setup: HandoverSetup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before, the hosted route was closed for it; it is tried again, and told once."""
    announced: list[str] = []

    def refused(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    handover_setup.handover.changed()
    with monkeypatch.context() as full:
        full.setattr(webhook_handover, "announce", refused)
        handover_setup.handover.poll()
        handover_setup.handover.poll()
    monkeypatch.setattr(webhook_handover, "announce", lambda _, settings: announced.append(settings))
    handover_setup.handover.poll()
    handover_setup.handover.poll()
    assert announced == ["0" * 64]
    assert capsys.readouterr().out.count("webhook.disk") == 1


def test_waiting_messages_stay_within_their_disk_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest waits in the journal, and follows when the receiver has accepted some."""
    monkeypatch.setattr(webhook_handover, "MAX_MESSAGES", 2)
    handover_setup = HandoverSetup(tmp_path)
    handover_setup.handover.follow()
    for number in range(4):
        handover_setup.end(f"{number}.jpg")
    handover_setup.until(lambda: handover_setup.journal.ended.count() == 2, "two to be handed over")
    handover_setup.until(lambda: handover_setup.handover.is_idle, "the others to rest")
    assert len(handover_setup.messages()) == 2
    for message in handover_setup.messages():
        remove_webhook(handover_setup.paths, message.id)
    handover_setup.until_handed_over()
    assert [one.number for one in handover_setup.messages()] == [3, 4]
    handover_setup.close()


def test_a_receiver_that_takes_nothing_holds_up_no_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder has a share of its own, and what was given up long ago takes nothing of it."""
    monkeypatch.setattr(webhook_handover, "MAX_MESSAGES", 6)
    handover_setup = HandoverSetup(tmp_path)
    (folder,) = handover_setup.settings.folder
    others = [folder.model_copy(update={"name": name}) for name in ("g", "h")]
    handover_setup.settings = handover_setup.settings.model_copy(update={"folder": (folder, *others)})
    handover_setup.handover.follow()
    for number in range(9):
        handover_setup.end(f"{number}.jpg")
    handover_setup.until(lambda: handover_setup.handover.is_idle, "the others to rest")
    assert len(handover_setup.messages()) == 2
    for name in ("a.jpg", "b.jpg"):
        handover_setup.end(name, folder="g")
    handover_setup.until(lambda: len(handover_setup.messages()) == 4, "those of another folder")
    given_up, *_ = handover_setup.messages()
    write_webhook(handover_setup.paths, replace(given_up, state=MessageState.DEAD))
    handover_setup.end("c.jpg", folder="h")
    handover_setup.until(
        lambda: [one.folder for one in handover_setup.messages() if not one.is_dead].count("h") == 1,
        "that of a third folder",
    )
    handover_setup.close()


@pytest.mark.parametrize("is_known", [False, True], ids=["at a start", "while it runs"])
def test_what_waits_for_a_folder_that_was_renamed_is_still_sent(tmp_path: Path, *, is_known: bool) -> None:
    """What was handed over, and what ended since; what waits for a webhook that was removed is not."""
    handover_setup = HandoverSetup(tmp_path)
    folders = handover_setup.journal.folders
    folders.remember(
        "f", FolderMemory(input=str(tmp_path / "in"), marker="m", device=1, inode=2, read_only=False)
    )
    handover_setup.handover.follow()
    handover_setup.end("a.jpg")
    handover_setup.until_handed_over()
    handover_setup.handover.stop(PATIENCE_S)
    handover_setup.end("b.jpg")
    (folder,) = handover_setup.settings.folder
    handover_setup.settings = handover_setup.settings.model_copy(
        update={"folder": (folder.model_copy(update={"name": "g"}),)}
    )
    if is_known:
        folders.relabel("f", "g")
    handover_setup.handover.follow()
    (message, *_) = handover_setup.messages()
    assert (message.folder, message.webhook) == ("g", webhook_id("g", folder.webhook[0]))
    assert handover_setup.body(message)["data"]["source"]["path"] == "a.jpg"
    if not is_known:
        handover_setup.end("c.jpg")  # it was in work
        folders.relabel("f", "g")  # as its own thread does once it has found the folder's marker
    handover_setup.until_handed_over()
    assert [one.folder for one in handover_setup.messages()] == ["g"] * (2 if is_known else 3)
    handover_setup.settings = handover_setup.configured([{"url": "https://other.example/"}])
    handover_setup.handover.follow()
    assert not handover_setup.messages()
    handover_setup.close()


def test_files_go_along_only_as_they_were_published(tmp_path: Path) -> None:
    """Not a file that somebody has changed since, nor one that is too large, replaced by a link, or gone."""
    handover_setup = HandoverSetup(tmp_path)
    handover_setup.settings = handover_setup.configured([{"include": "result"}], max_result_mb=1)
    handover_setup.journal.ended.follow({"f"})  # nobody looks yet
    for name in ("good", "changed", "link", "gone"):
        handover_setup.end(f"{name}.jpg")
    handover_setup.end("large.jpg", content=bytes((1 << 20) + 1))
    (handover_setup.output / "changed.jpg.png").write_bytes(b"retouched")
    for name in ("link", "gone"):
        (handover_setup.output / f"{name}.jpg.png").unlink()
    (handover_setup.output / "link.jpg.png").symlink_to("/etc/hostname")
    handover_setup.handover.follow()
    handover_setup.until_handed_over()
    results = {
        one["path"].partition(".")[0]: one
        for message in handover_setup.messages()
        for one in handover_setup.body(message)["data"]["results"]
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
    handover_setup.close()


def test_a_sidecar_of_another_picture_is_not_sent(handover_setup: HandoverSetup) -> None:
    """Another picture's sidecar has replaced it before it is read."""
    handover_setup.handover.stop(PATIENCE_S)
    handover_setup.end("a.jpg")  # nobody looks
    other = handover_setup.output / "a.jpg.png.json"
    other.write_text(other.read_text().replace(SOURCE, "6" * 64))
    again = HandoverSetup(handover_setup.directory)
    again.handover.follow()
    again.until_handed_over()
    (message,) = again.messages()
    assert again.body(message)["data"]["sidecar"] is None
    again.close()
