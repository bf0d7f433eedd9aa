"""Decisions about many pictures: kept while no daemon runs, carried out all or none, undone at once; the first one wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from cutoutd.daemon import commands as handler_module
from cutoutd.daemon.commands import CommandHandler
from cutoutd.daemon.folder_set import FolderSet
from cutoutd.errors import JournalError
from cutoutd.job_detail import JobResult
from cutoutd.jobs import Job, JobState, Published, Version
from cutoutd.journal.batches import Batches, BatchItem, Decision
from cutoutd.journal.commands import ReviewDecision
from cutoutd.journal.listing import Listing
from cutoutd.journal.reader import Reader
from cutoutd.webserver.backend.method import RefusedError
from tests.integration.desk import Power
from tests.integration.page_room import PageRoom
from tests.integration.parts import JPEG, NAME, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.folder.hot_folder import HotFolder
    from tests.conftest import FakeClock
    from tests.integration.desk import Desk


@pytest.fixture
def room(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageRoom]:
    """A room without a daemon; one poll handles all commands, however slow the machine is."""
    monkeypatch.setattr(handler_module, "AT_ONCE_S", 60.0)
    opened = PageRoom(tmp_path, clock)
    yield opened
    opened.close()


def daemon(room: PageRoom) -> CommandHandler:
    """Return the part of a daemon that records decisions; its folders come later."""
    return CommandHandler(room.journal, FolderSet.of(room.journal, {}), lambda _: None)


def job(room: PageRoom, number: int) -> Job:
    """Return a job as it is now."""
    found = Reader(room.journal.store).job(number)
    assert found is not None
    return found


def decision(room: PageRoom, number: int) -> str:
    """Return the recorded decision about a job."""
    return JobResult.of(job(room, number)).decision


def job_on_page(room: PageRoom, number: int) -> dict[str, Any]:
    """Return a job as the page has it."""
    found: dict[str, Any] = room.ask("job", job=number)
    return found


def codes(answer: dict[str, Any]) -> list[str]:
    """Return the reasons why jobs were left out."""
    return [one["code"] for one in answer["conflicts"]]


def held(room: PageRoom, count: int) -> list[int]:
    """Make some cutouts that are held back."""
    return [room.cut(f"{number}.jpg", JobState.REVIEW) for number in range(count)]


def test_decisions_are_kept_until_a_daemon_starts(room: PageRoom) -> None:
    """The page shows the decisions at once, and the daemon records all of them."""
    a, b = held(room, 2)
    found = room.ask("decide", verb="accept", items=room.seen(a, b))
    assert (found["done"], found["conflicts"]) == (2, [])
    assert room.events == [("decided", {"batch": found["batch"]})]
    assert job_on_page(room, a)["decision"] == "accept"
    daemon(room).poll()
    assert [decision(room, one) for one in (a, b)] == ["accept", "accept"]
    assert room.asked() == []
    assert job_on_page(room, a)["decision"] == "accept"


def test_the_first_of_two_browsers_wins(room: PageRoom) -> None:
    """The second is told what the first has decided, before and after it is recorded; a person who has seen that may change it."""
    a, b = held(room, 2)
    items = room.seen(a, b)
    room.ask("decide", verb="accept", items=items[:1])
    found = room.ask("decide", verb="reject", items=items)
    assert (found["done"], codes(found), found["conflicts"][0]["job"]) == (1, ["accepted"], a)
    assert "accepted" in found["conflicts"][0]["text"]
    daemon(room).poll()
    assert codes(room.ask("decide", verb="reject", items=items[:1])) == ["accepted"]
    assert room.ask("decide", verb="reject", items=[[*items[0], "accept"]])["done"] == 1
    assert room.asked() == [("reject", str(a))]
    daemon(room).poll()
    assert decision(room, a) == "reject"


def test_a_cutout_that_has_changed_since_it_was_shown_is_not_decided(room: PageRoom) -> None:
    """Replaced by another cutout or a newer version, gone, or in work; the others of the batch are decided."""
    changed, newer, busy, fine = held(room, 4)
    room.journal.sources.accept("shop", [Version(path="1.jpg", size=2, mtime_ns=9)])
    room.journal.queue.retry(busy)
    items = [[changed, "f" * 64], *room.seen(newer), [busy, "a" * 64], [99, "a" * 64], *room.seen(fine)]
    found = room.ask("decide", verb="accept", items=items)
    assert codes(found) == ["changed", "newer", "busy", "gone"]
    assert room.asked() == [("accept", str(fine))]


def test_a_cutout_that_changes_before_the_daemon_reads_the_decision_is_left_and_reported(
    room: PageRoom,
) -> None:
    """The decision was made while no daemon ran, and the picture was cut again when one started."""
    (a,) = held(room, 1)
    room.ask("decide", verb="accept", items=room.seen(a))
    with room.journal.store.transaction():
        room.journal.store.write("UPDATE output SET sha256 = 'other'")
    daemon(room).poll()
    assert decision(room, a) == ""
    assert "replaced since the decision" in job_on_page(room, a)["refused"]
    assert room.asked() == []


def test_a_batch_is_undone_before_a_daemon_has_read_it(room: PageRoom) -> None:
    """Nothing is left to do; a second undo finds nothing."""
    numbers = held(room, 3)
    batch = room.ask("decide", verb="reject", items=room.seen(*numbers))["batch"]
    found = room.ask("undo", batch=batch)
    assert (found["done"], room.asked()) == (3, [])
    assert job_on_page(room, numbers[0])["decision"] == ""
    with pytest.raises(RefusedError) as refused:
        room.ask("undo", batch=batch)
    assert (refused.value.status, refused.value.code) == (409, "undone")


def test_recorded_or_completed_decisions_are_undone_by_the_daemon(room: PageRoom) -> None:
    """Each goes back into review; one that somebody has decided about again stays."""
    a, b, c = held(room, 3)
    items = room.seen(a, b, c)
    batch = room.ask("decide", verb="accept", items=items)["batch"]
    daemon(room).poll()
    published(room, b)
    room.ask("decide", verb="reject", items=[[*items[2], "accept"]])
    found = room.ask("undo", batch=batch)
    assert (found["done"], codes(found)) == (2, ["decided_again"])
    assert room.asked() == [("reject", str(c)), ("hold", str(a)), ("hold", str(b))]
    daemon(room).poll()
    assert decision(room, b) == "hold"


def published(room: PageRoom, number: int) -> None:
    """Record that the delivery has carried out an accept."""
    found = job(room, number)
    ((_, sha256),) = room.seen(number)
    result = Published(rendition=0, path=f"{found.path}.png", sha256=sha256, review=False)
    room.journal.finish_publishing(found, JobState.DONE, sha256="s", published=[result], detail={})


def test_an_accepted_cutout_is_not_rejected_by_a_person_who_has_not_seen_the_accept(room: PageRoom) -> None:
    """Its bytes are those that were shown in review; so the earlier decision counts, even after it was carried out."""
    (a,) = held(room, 1)
    items = room.seen(a)
    room.ask("decide", verb="accept", items=items)
    daemon(room).poll()
    published(room, a)
    assert codes(room.ask("decide", verb="reject", items=items)) == ["accepted"]
    assert job_on_page(room, a)["decision_in_force"] == "accept"
    assert room.ask("decide", verb="reject", items=[[*items[0], "accept"]])["done"] == 1
    assert room.asked() == [("hold", str(a)), ("reject", str(a))]


def test_another_cutout_of_an_accepted_picture_needs_a_new_decision(room: PageRoom) -> None:
    """The picture was cut again, or corrected: nobody has accepted the new cutout."""
    (a,) = held(room, 1)
    room.ask("decide", verb="accept", items=room.seen(a))
    daemon(room).poll()
    published(room, a)
    with room.journal.store.transaction():
        room.journal.store.write("UPDATE output SET sha256 = :sha256", sha256="c" * 64)
    assert job_on_page(room, a)["decision_in_force"] == ""
    assert room.ask("decide", verb="reject", items=room.seen(a))["done"] == 1


def test_a_published_doubtful_cutout_is_accepted_where_it_is(room: PageRoom) -> None:
    """It is then not doubtful any more, and after an undo it is again. One that is not doubtful cannot be accepted."""
    a, b = room.cut("a.jpg", doubtful=True, why="doubtful"), room.cut("b.jpg")
    found = room.ask("decide", verb="accept", items=room.seen(a, b))
    assert codes(found) == ["no_cutout"]
    handler = daemon(room)
    handler.poll()
    assert room.ask("jobs", state="doubtful")["total"] == 0
    assert job(room, a).state is JobState.DONE
    room.ask("undo", batch=found["batch"])
    handler.poll()
    assert room.ask("jobs", state="doubtful")["total"] == 1
    assert room.asked() == []


def test_a_single_decision_is_undone(room: PageRoom) -> None:
    """One that was not carried out is withdrawn; an undecided picture is unchanged; and this can be undone as well."""
    a, b = held(room, 2)
    room.ask("decide", verb="accept", items=room.seen(a))
    found = room.ask("decide", verb="undecided", items=room.seen(a, b))
    assert (found["done"], found["conflicts"], room.asked()) == (2, [], [])
    room.ask("undo", batch=found["batch"])
    assert room.asked() == [("accept", str(a))]


def test_a_rejected_cutout_comes_back(room: PageRoom) -> None:
    """The rejected job has no files to show, and is cut again."""
    number = room.end("a.jpg", JobState.FAILED, failure={"code": "Rejected"})
    assert job_on_page(room, number)["decision_in_force"] == "reject"
    found = room.ask("decide", verb="undecided", items=[[number, ""]])
    assert (found["done"], room.asked()) == (1, [("hold", str(number))])


@pytest.mark.parametrize(
    "items",
    [None, [], {}, [1], [[1]], [["1", ""]], [[1, "x"]], [[True, ""]], [[1, "", "maybe"]], [[-1, ""]], [[1, "", "", ""]]],
)  # fmt: skip
def test_items_that_are_none_are_refused(room: PageRoom, items: object) -> None:
    """The process that answers browsers may be compromised."""
    with pytest.raises(RefusedError) as refused:
        room.ask("decide", verb="accept", items=items)
    assert refused.value.status == 400


def test_pictures_are_cut_again_also_by_another_model(room: PageRoom) -> None:
    """Except those in work."""
    a, b = held(room, 2)
    room.end("c.jpg", JobState.QUEUED)
    room.journal.queue.retry(b)
    found = room.ask("retry", jobs=[a, b, a], model="other")
    assert (found["done"], codes(found)) == (1, ["busy"])
    assert room.asked() == [("retry", f"{a} model=other")]
    with pytest.raises(RefusedError):
        room.ask("retry", jobs=[a], model="../x")


def test_nothing_but_requests_is_written(room: PageRoom) -> None:
    """The rest of the journal belongs to the daemon."""
    numbers = held(room, 3)

    def rest() -> dict[str, list[tuple[Any, ...]]]:
        store = room.journal.store
        tables = [row["name"] for row in store.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [tuple(row) for row in store.rows(f"SELECT * FROM {name}")]  # noqa: S608 -- names of ours
            for name in tables
            if name not in ("command", "batch", "decided")
        }

    before = rest()
    batch = room.ask("decide", verb="accept", items=room.seen(*numbers))["batch"]
    room.ask("decide", verb="undecided", items=room.seen(numbers[0]))
    room.ask("undo", batch=batch)
    room.ask("retry", jobs=numbers)
    room.ask("pause", paused=True)
    assert rest() == before


def test_work_is_paused_and_resumed(room: PageRoom) -> None:
    """As with the commands."""
    assert room.ask("pause", paused=True) == {"paused": True}
    handler = daemon(room)
    handler.poll()
    assert handler.paused
    assert room.ask("overview")["paused"]
    room.ask("pause", paused=False)
    handler.poll()
    assert not room.ask("session")["paused"]


def test_a_portion_is_written_down_whole_or_not_at_all(
    room: PageRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk refuses in the middle, it is repeated; nothing is lost or done twice."""
    monkeypatch.setattr(handler_module, "PORTION", 4)
    monkeypatch.setattr(handler_module, "AT_ONCE_S", 60.0)
    numbers = held(room, 10)
    room.ask("decide", verb="accept", items=room.seen(*numbers))
    handler = daemon(room)
    folders, decided = handler._folders, []  # noqa: SLF001 -- where a fault comes in

    class Faulty:
        """Folders whose seventh decision is refused once."""

        def decide(self, number: int, choice: Any) -> bool:  # noqa: ANN401 -- passed on
            decided.append(number)
            if len(decided) == 7:
                raise JournalError("no room")
            return folders.decide(number, choice)

    monkeypatch.setattr(handler, "_folders", Faulty())
    with pytest.raises(JournalError):
        handler.poll()
    assert [decision(room, one) for one in numbers] == ["accept"] * 4 + [""] * 6
    assert len(room.asked()) == 6
    handler.poll()
    assert {decision(room, one) for one in numbers} == {"accept"}
    assert room.asked() == []


def test_the_main_loop_is_not_held_up_by_many(room: PageRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """The main loop continues with the next portion in its next turn."""
    monkeypatch.setattr(handler_module, "PORTION", 3)
    monkeypatch.setattr(handler_module, "AT_ONCE_S", 0.0)
    numbers = held(room, 8)
    room.ask("decide", verb="accept", items=room.seen(*numbers))
    handler = daemon(room)
    left = []
    for _ in range(4):
        handler.poll()
        left.append(len(room.asked()))
    assert left == [5, 2, 0, 0]
    assert {decision(room, one) for one in numbers} == {"accept"}


def test_a_daemon_that_is_killed_amid_a_batch_finishes_it_when_it_starts(
    make: Callable[..., Desk], clock: FakeClock
) -> None:
    """Some are published, one has half of its names, some are recorded, the rest not even read."""
    faults: list[Any] = []
    desk = make(faults=faults)
    jobs = []
    for number in range(9):
        job = desk.begin(f"{number}.jpg", JPEG + str(number).encode())
        cut = desk.cut(
            job,
            b"veiled %d" % number,
            b"cut %d" % number,
            source=JPEG + str(number).encode(),
            review=True,
            rendition=-1,
        )
        desk.delivery.deliver(job, cut)
        desk.settle()
        jobs.append(job)
    numbers = [job.id for job in jobs]
    seen = Listing(desk.journal.store).first_results(numbers)
    items = [BatchItem(job=number, seen=seen[number]) for number in numbers]
    assert Batches(desk.journal.store).decide(Decision.ACCEPT, items, clock).done == 9
    for command in desk.journal.commands.pending(limit=6):  # the daemon has come to the sixth
        decided = desk.journal.review_decisions.decide(int(command.argument), ReviewDecision.ACCEPT)
        assert decided is not None
        desk.journal.commands.done(command)
        if len(desk.journal.commands.pending()) == 6:
            desk.settle()
            faults.append(Power())
        if desk.delivery.failure is None:
            desk.delivery.carry_out_decision(decided)
    until(lambda: desk.delivery.failure is not None, "the crash")
    desk.journal.close()
    again = make(run="run-2")
    for unfinished in again.journal.queue.recover():
        again.delivery.repair(unfinished)
    again.delivery.sweep(frozenset({"run-1"}))
    for waiting in again.journal.review_decisions.pending(NAME):
        again.delivery.carry_out_decision(waiting)
    folders = FolderSet.of(
        again.journal, {NAME: cast("HotFolder", again)}
    )  # it has a delivery, which is all that is asked
    CommandHandler(again.journal, folders, lambda _: None).poll()
    again.settle()
    assert {again.job(job).state for job in jobs} == {JobState.DONE}
    assert again.files() == {f"{number}.png": b"cut %d" % number for number in range(9)}
    assert again.staged() == []


def test_undecided_leaves_published_cutouts_without_a_decision_unchanged(room: PageRoom) -> None:
    """Doubtful or not, it stays in the output. A decision that was not started is withdrawn."""
    doubtful, plain = room.cut("a.jpg", doubtful="score 0.3"), room.cut("b.jpg")
    found = room.ask("decide", verb="undecided", items=room.seen(doubtful, plain))
    assert (found["done"], room.asked()) == (2, [])
    assert room.ask("undo", batch=found["batch"])["done"] == 2
    assert room.asked() == []
    room.ask("decide", verb="reject", items=room.seen(doubtful))
    assert [verb for verb, _ in room.asked()] == ["hold", "reject"]
    room.ask("decide", verb="undecided", items=room.seen(doubtful))
    assert room.asked() == []


def test_undecided_makes_a_published_cutout_that_was_accepted_doubtful_again(room: PageRoom) -> None:
    """At its place; and this can be undone like any decision."""
    number = room.cut("a.jpg", doubtful="score 0.3")
    handler = daemon(room)
    room.ask("decide", verb="accept", items=room.seen(number))
    handler.poll()
    assert room.ask("jobs", state="doubtful")["total"] == 0
    cleared = room.ask("decide", verb="undecided", items=room.seen(number))
    assert room.asked() == [("doubt", str(number))]
    handler.poll()
    assert room.ask("jobs", state="doubtful")["total"] == 1
    assert job(room, number).state is JobState.DONE
    room.ask("undo", batch=cleared["batch"])
    handler.poll()
    assert room.ask("jobs", state="doubtful")["total"] == 0


def test_undecided_puts_back_into_review_what_was_accepted_from_there(room: PageRoom) -> None:
    """That is where it was before the decision."""
    number = room.cut("a.jpg", accepted=True)
    room.ask("decide", verb="undecided", items=room.seen(number))
    assert room.asked() == [("hold", str(number))]


def test_undecided_publishes_a_rejected_cutout_again_that_was_published(room: PageRoom) -> None:
    """It is cut again, and is as doubtful as before."""
    number = room.cut("a.jpg", doubtful="score 0.3")
    room.ask("decide", verb="reject", items=room.seen(number))
    store = room.journal.store
    with store.transaction():
        store.write("DELETE FROM command")
        rejected = '{"failure": {"code": "Rejected"}}'
        store.write(
            "UPDATE job SET state = 'failed', detail = :detail WHERE id = :job", detail=rejected, job=number
        )
    found = room.ask("decide", verb="undecided", items=[[number, ""]])
    assert found["done"] == 1
    assert [verb for verb, _ in room.asked()] == ["hold", "accept", "doubt"]
