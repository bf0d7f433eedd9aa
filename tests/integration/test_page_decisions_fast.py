"""Decisions that follow one another faster than they are carried out: each counts, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.errors import FailureCode, JournalError
from cutoutd.jobs import Failure, JobState, Published, Wanted
from cutoutd.journal.batches import Batches, BatchItem, Decision
from cutoutd.journal.commands import Commands, ReviewDecision
from tests.integration.test_page_decisions import (
    codes,
    daemon,
    decision,
    held,
    job,
    job_on_page,
    published,
    room,
)

if TYPE_CHECKING:
    from cutoutd.journal.commands import Command
    from tests.integration.page_room import PageRoom

__all__ = ["room"]

REJECTED = Failure(
    code=FailureCode.REJECTED,
    title="Rejected",
    cause="rejected",
    advice="Nothing is to be done.",
    permanent=True,
)


def decide(room: PageRoom, verb: str, item: list[Any], over: str = "") -> dict[str, Any]:
    """Decide about one picture, which was shown with an earlier decision."""
    found: dict[str, Any] = room.ask("decide", verb=verb, items=[[*item, over]])
    return found


def coming_back(room: PageRoom) -> tuple[int, list[Any]]:
    """Return a picture whose rejection was undone and that is being cut again."""
    (number,) = held(room, 1)
    (item,) = room.seen(number)
    room.journal.fail(job(room, number), REJECTED)
    room.journal.queue.hold_rejected(number)
    return number, item


def publishing(room: PageRoom) -> tuple[int, list[Any]]:
    """Return an accepted picture that is being published."""
    (number,) = held(room, 1)
    (item,) = room.seen(number)
    decide(room, "accept", item)
    daemon(room).poll()
    plan = f'{{"published": [{{"rendition": 0, "sha256": "{item[1]}"}}]}}'
    room.journal.begin_publishing(job(room, number), sha256="s", claims=(), detail={"plan": plan})
    return number, item


def test_a_rejection_is_in_the_journal_whole_or_not_at_all(
    room: PageRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the page never shows a cutout in review of which it knows no files."""
    (number,) = held(room, 1)
    before = job_on_page(room, number)
    with monkeypatch.context() as faulty:
        faulty.setattr(room.journal.queue, "finish", raising)
        with pytest.raises(JournalError):
            room.journal.fail(job(room, number), REJECTED)
    assert job_on_page(room, number) == before
    room.journal.fail(job(room, number), REJECTED)
    assert (job_on_page(room, number)["state"], job_on_page(room, number)["seen"]) == ("rejected", "")


def raising(*_: object, **__: object) -> None:
    """Raise the journal's error for a full disk."""
    raise JournalError("the disk is full")


def test_a_decision_undone_while_the_daemon_waits_for_the_journal_is_not_carried_out(
    room: PageRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon has read the command, and the person undoes the decision before its transaction begins."""
    (number,) = held(room, 1)
    (item,) = room.seen(number)
    batch = decide(room, "reject", item)["batch"]
    handler, pending = daemon(room), Commands.pending

    def read_then_undone(self: Commands, **limits: int) -> list[Command]:
        read = pending(self, **limits)
        if read:
            room.ask("undo", batch=batch)
        return read

    monkeypatch.setattr(Commands, "pending", read_then_undone)
    handler.poll()
    assert decision(room, number) == ""
    assert room.asked() == []


@pytest.mark.parametrize("verb", ["accept", "reject"])
def test_a_picture_that_is_cut_again_for_review_is_decided_about_meanwhile(room: PageRoom, verb: str) -> None:
    """The decision waits, and counts if the new cutout is the one that was shown."""
    number, item = coming_back(room)
    handler = daemon(room)
    found = decide(room, verb, item)
    assert (found["done"], found["conflicts"]) == (1, [])
    handler.poll()
    assert room.asked() == [(verb, str(number))]
    assert room.ask("undo", batch=found["batch"])["done"] == 1
    handler.poll()
    assert room.asked() == []
    assert job(room, number).wanted is Wanted.HELD
    decide(room, verb, item)
    result = Published(rendition=0, path="review/0.jpg.png", sha256=item[1], review=True)
    room.journal.finish_publishing(
        job(room, number), JobState.REVIEW, sha256="s", published=[result], detail={}
    )
    handler.poll()
    assert decision(room, number) == verb


def test_undecided_leaves_a_picture_in_review_that_was_on_its_way_there(room: PageRoom) -> None:
    """An earlier decision about the picture was undone."""
    number, item = coming_back(room)
    decide(room, "accept", item)
    decide(room, "undecided", item, "accept")
    assert room.asked() == []
    assert job(room, number).wanted is Wanted.HELD


@pytest.mark.parametrize(
    ("verb", "asked"), [("undecided", ["hold"]), ("reject", ["hold", "reject"]), ("accept", [])]
)
def test_a_picture_that_is_being_published_can_be_decided_again(
    room: PageRoom, verb: str, asked: list[str]
) -> None:
    """A person who has not seen the recent accept gets a conflict."""
    number, item = publishing(room)
    assert codes(decide(room, "reject", [number, "f" * 64], "accept")) == ["busy"]
    assert codes(decide(room, "reject", item)) == ["accepted"]
    assert decide(room, verb, item, "accept")["done"] == 1
    assert [one for one, _ in room.asked()] == asked


def test_a_rejection_after_an_acceptance_counts_however_far_that_one_is(room: PageRoom) -> None:
    """An accept that is carried out between the page's read and the daemon's is undone first."""
    (number,) = held(room, 1)
    (item,) = room.seen(number)
    decide(room, "accept", item)
    handler = daemon(room)
    handler.poll()
    decide(room, "reject", item, "accept")
    assert room.asked() == [("reject", str(number))]
    published(room, number)
    handler.poll()
    assert decision(room, number) == "hold"
    assert room.asked() == [("reject", str(number))]
    with room.journal.store.transaction():  # it does not: somebody has retouched it
        room.journal.review_decisions.refuse(number, "it was retouched")
    handler.poll()
    assert (room.asked(), job(room, number).state) == ([], JobState.DONE)


def test_an_acceptance_after_a_rejection_counts_however_far_that_one_is(room: PageRoom) -> None:
    """A second rejection finds the picture rejected."""
    a, b = held(room, 2)
    items = room.seen(a, b)
    room.ask("decide", verb="reject", items=items)
    handler = daemon(room)
    handler.poll()
    decide(room, "accept", items[0], "reject")
    decide(room, "reject", items[1], "reject")
    for number in (a, b):
        room.journal.fail(job(room, number), REJECTED)
    handler.poll()
    assert room.asked() == [("accept", str(a))]
    assert [decision(room, one) for one in (a, b)] == ["hold", ""]


def test_a_picture_is_cut_again_once_the_decision_before_is_carried_out(room: PageRoom) -> None:
    """Requests about one picture are carried out in their order."""
    (number,) = held(room, 1)
    (item,) = room.seen(number)
    decide(room, "accept", item)
    handler = daemon(room)
    handler.poll()
    room.ask("retry", jobs=[number])
    handler.poll()
    assert room.asked() == [("retry", str(number))]
    Batches(room.journal.store).decide(
        Decision.REJECT, [BatchItem(job=number, seen=item[1], over="accept")], room.clock
    )
    handler.poll()
    assert [one for one, _ in room.asked()] == ["retry", "reject"]
    assert decision(room, number) == ReviewDecision.ACCEPT
