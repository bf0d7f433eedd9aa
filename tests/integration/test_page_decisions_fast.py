"""Decisions that follow one another faster than they are carried out: each counts, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.errors import FailureCode, JournalError
from cutoutd.jobs import Failure, JobState, Published, Wanted
from cutoutd.journal.batches import Batches
from cutoutd.journal.commands import Commands, ReviewDecision
from cutoutd.journal.decisions import BatchItem, Decision
from tests.integration.test_page_decisions import (
    codes,
    daemon,
    decision,
    held,
    job,
    job_on_page,
    page_backend,
    published,
)

if TYPE_CHECKING:
    from cutoutd.journal.commands import Command
    from tests.integration.page_backend import PageBackend

__all__ = ["page_backend"]

REJECTED = Failure(
    code=FailureCode.REJECTED,
    title="Rejected",
    cause="rejected",
    advice="Nothing is to be done.",
    permanent=True,
)


def decide(page_backend: PageBackend, verb: str, item: list[Any], over: str = "") -> dict[str, Any]:
    """Decide about one picture, which was shown with an earlier decision."""
    found: dict[str, Any] = page_backend.ask("decide", verb=verb, items=[[*item, over]])
    return found


def coming_back(page_backend: PageBackend) -> tuple[int, list[Any]]:
    """Return a picture whose rejection was undone and that is being cut again."""
    (number,) = held(page_backend, 1)
    (item,) = page_backend.seen(number)
    page_backend.journal.fail(job(page_backend, number), REJECTED)
    page_backend.journal.queue.hold_rejected(number)
    return number, item


def publishing(page_backend: PageBackend) -> tuple[int, list[Any]]:
    """Return an accepted picture that is being published."""
    (number,) = held(page_backend, 1)
    (item,) = page_backend.seen(number)
    decide(page_backend, "accept", item)
    daemon(page_backend).poll()
    plan = f'{{"published": [{{"rendition": 0, "sha256": "{item[1]}"}}]}}'
    page_backend.journal.begin_publishing(
        job(page_backend, number), sha256="s", claims=(), detail={"plan": plan}
    )
    return number, item


def test_a_rejection_is_in_the_journal_whole_or_not_at_all(
    page_backend: PageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the page never shows a cutout in review of which it knows no files."""
    (number,) = held(page_backend, 1)
    before = job_on_page(page_backend, number)
    with monkeypatch.context() as faulty:
        faulty.setattr(page_backend.journal.queue, "finish", raising)
        with pytest.raises(JournalError):
            page_backend.journal.fail(job(page_backend, number), REJECTED)
    assert job_on_page(page_backend, number) == before
    page_backend.journal.fail(job(page_backend, number), REJECTED)
    assert (job_on_page(page_backend, number)["state"], job_on_page(page_backend, number)["seen"]) == (
        "rejected",
        "",
    )


def raising(*_: object, **__: object) -> None:
    """Raise the journal's error for a full disk."""
    raise JournalError("the disk is full")


def test_a_decision_undone_while_the_daemon_waits_for_the_journal_is_not_carried_out(
    page_backend: PageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon has read the command, and the person undoes the decision before its transaction begins."""
    (number,) = held(page_backend, 1)
    (item,) = page_backend.seen(number)
    batch = decide(page_backend, "reject", item)["batch"]
    handler, pending = daemon(page_backend), Commands.pending

    def read_then_undone(self: Commands, **limits: int) -> list[Command]:
        read = pending(self, **limits)
        if read:
            page_backend.ask("undo", batch=batch)
        return read

    monkeypatch.setattr(Commands, "pending", read_then_undone)
    handler.poll()
    assert decision(page_backend, number) == ""
    assert page_backend.asked() == []


@pytest.mark.parametrize("verb", ["accept", "reject"])
def test_a_picture_that_is_cut_again_for_review_is_decided_about_meanwhile(
    page_backend: PageBackend, verb: str
) -> None:
    """The decision waits, and counts if the new cutout is the one that was shown."""
    number, item = coming_back(page_backend)
    handler = daemon(page_backend)
    found = decide(page_backend, verb, item)
    assert (found["done"], found["conflicts"]) == (1, [])
    handler.poll()
    assert page_backend.asked() == [(verb, str(number))]
    assert page_backend.ask("undo", batch=found["batch"])["done"] == 1
    handler.poll()
    assert page_backend.asked() == []
    assert job(page_backend, number).wanted is Wanted.HELD
    decide(page_backend, verb, item)
    result = Published(rendition=0, path="review/0.jpg.png", sha256=item[1], review=True)
    page_backend.journal.finish_publishing(
        job(page_backend, number), JobState.REVIEW, sha256="s", published=[result], detail={}
    )
    handler.poll()
    assert decision(page_backend, number) == verb


def test_undecided_leaves_a_picture_in_review_that_was_on_its_way_there(page_backend: PageBackend) -> None:
    """An earlier decision about the picture was undone."""
    number, item = coming_back(page_backend)
    decide(page_backend, "accept", item)
    decide(page_backend, "undecided", item, "accept")
    assert page_backend.asked() == []
    assert job(page_backend, number).wanted is Wanted.HELD


@pytest.mark.parametrize(
    ("verb", "asked"), [("undecided", ["hold"]), ("reject", ["hold", "reject"]), ("accept", [])]
)
def test_a_picture_that_is_being_published_can_be_decided_again(
    page_backend: PageBackend, verb: str, asked: list[str]
) -> None:
    """A person who has not seen the recent accept gets a conflict."""
    number, item = publishing(page_backend)
    assert codes(decide(page_backend, "reject", [number, "f" * 64], "accept")) == ["busy"]
    assert codes(decide(page_backend, "reject", item)) == ["accepted"]
    assert decide(page_backend, verb, item, "accept")["done"] == 1
    assert [one for one, _ in page_backend.asked()] == asked


def test_a_rejection_after_an_acceptance_counts_however_far_that_one_is(page_backend: PageBackend) -> None:
    """An accept that is carried out between the page's read and the daemon's is undone first."""
    (number,) = held(page_backend, 1)
    (item,) = page_backend.seen(number)
    decide(page_backend, "accept", item)
    handler = daemon(page_backend)
    handler.poll()
    decide(page_backend, "reject", item, "accept")
    assert page_backend.asked() == [("reject", str(number))]
    published(page_backend, number)
    handler.poll()
    assert decision(page_backend, number) == "hold"
    assert page_backend.asked() == [("reject", str(number))]
    with page_backend.journal.store.transaction():  # it does not: somebody has retouched it
        page_backend.journal.review_decisions.refuse(number, "it was retouched")
    handler.poll()
    assert (page_backend.asked(), job(page_backend, number).state) == ([], JobState.DONE)


def test_an_acceptance_after_a_rejection_counts_however_far_that_one_is(page_backend: PageBackend) -> None:
    """A second rejection finds the picture rejected."""
    a, b = held(page_backend, 2)
    items = page_backend.seen(a, b)
    page_backend.ask("decide", verb="reject", items=items)
    handler = daemon(page_backend)
    handler.poll()
    decide(page_backend, "accept", items[0], "reject")
    decide(page_backend, "reject", items[1], "reject")
    for number in (a, b):
        page_backend.journal.fail(job(page_backend, number), REJECTED)
    handler.poll()
    assert page_backend.asked() == [("accept", str(a))]
    assert [decision(page_backend, one) for one in (a, b)] == ["hold", ""]


def test_a_picture_is_cut_again_once_the_decision_before_is_carried_out(page_backend: PageBackend) -> None:
    """Requests about one picture are carried out in their order."""
    (number,) = held(page_backend, 1)
    (item,) = page_backend.seen(number)
    decide(page_backend, "accept", item)
    handler = daemon(page_backend)
    handler.poll()
    page_backend.ask("retry", items=page_backend.seen(number))
    handler.poll()
    assert page_backend.asked() == [("retry", str(number))]
    Batches(page_backend.journal.store).decide(
        Decision.REJECT, [BatchItem(job=number, seen=item[1], over="accept")], page_backend.clock
    )
    handler.poll()
    assert [one for one, _ in page_backend.asked()] == ["retry", "reject"]
    assert decision(page_backend, number) == ReviewDecision.ACCEPT


def test_a_cutout_that_nobody_has_seen_is_not_cut_again(page_backend: PageBackend) -> None:
    """It may be somebody's correction; one that is not there any more was looked at, and may come again."""
    corrected, new, removed, same = held(page_backend, 4)
    items = [[corrected, "0" * 64], [new, ""], *page_backend.seen(removed, same)]
    page_backend.journal.fail(job(page_backend, removed), REJECTED)
    found = page_backend.ask("retry", items=items)
    assert {one["job"]: one["code"] for one in found["conflicts"]} == dict.fromkeys(
        (corrected, new), "changed"
    )
    assert page_backend.asked() == [("retry", str(removed)), ("retry", str(same))]


def rejected(page_backend: PageBackend, number: int) -> None:
    """Record that a published picture was put back into review and rejected there."""
    for verb in ("hold", "reject"):
        assert (verb, str(number)) in page_backend.asked()
    page_backend.journal.store.write("DELETE FROM command")
    detail = '{"failure": {"code": "Rejected"}}'
    page_backend.journal.store.write(
        "UPDATE job SET state = 'failed', detail = :detail WHERE id = :job", detail=detail, job=number
    )


@pytest.mark.parametrize("is_carried_out", [False, True])
def test_an_acceptance_and_a_rejection_are_undone_to_what_was_published(
    page_backend: PageBackend, *, is_carried_out: bool
) -> None:
    """The cutout was published and doubtful, and is so again, and not held back, also if the rejection was carried out."""
    number = page_backend.cut("a.jpg", doubtful=True)
    (item,) = page_backend.seen(number)
    accepted = decide(page_backend, "accept", item)["batch"]
    daemon(page_backend).poll()
    rejection = decide(page_backend, "reject", item, "accept")["batch"]
    with page_backend.journal.store.transaction():
        if is_carried_out:
            rejected(page_backend, number)
    assert page_backend.ask("undo", batch=rejection)["done"] == 1
    assert page_backend.ask("undo", batch=accepted)["done"] == 1
    expected = ["hold", "republish_doubtful"] if is_carried_out else ["doubt"]
    assert [verb for verb, _ in page_backend.asked()] == expected


@pytest.mark.parametrize(("detail", "verb"), [({"doubtful": True}, "republish_doubtful"), ({}, "republish")])
def test_a_decision_about_a_cutout_that_is_to_be_published_again_is_undone_to_that(
    page_backend: PageBackend, detail: dict[str, Any], verb: str
) -> None:
    """The undo of a rejection was not carried out yet; so the cutout counts as published before the decision that followed."""
    number = page_backend.cut("a.jpg", **detail)
    (item,) = page_backend.seen(number)
    rejection = decide(page_backend, "reject", item)["batch"]
    with page_backend.journal.store.transaction():
        rejected(page_backend, number)
    page_backend.ask("undo", batch=rejection)
    page_backend.journal.queue.hold_rejected(number)
    accepted = decide(page_backend, "accept", item)["batch"]
    page_backend.ask("undo", batch=accepted)
    assert [asked for asked, _ in page_backend.asked()] == [verb]
