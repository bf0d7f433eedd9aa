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
from cutoutd.journal.batches import Batches
from cutoutd.journal.commands import ReviewDecision
from cutoutd.journal.decisions import BatchItem, Decision
from cutoutd.journal.listing import Listing
from cutoutd.journal.reader import Reader
from cutoutd.page.backend import requests
from cutoutd.webserver.backend.method import RefusedError
from tests.integration.delivery_run import Power, recovered
from tests.integration.page_backend import ENDPOINTS, PageBackend
from tests.integration.parts import JPEG, NAME, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.folder.hot_folder import HotFolder
    from tests.conftest import FakeClock
    from tests.integration.delivery_run import DeliveryRun


@pytest.fixture
def page_backend(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageBackend]:
    """A room without a daemon; one poll handles all commands, however slow the machine is."""
    monkeypatch.setattr(handler_module, "AT_ONCE_S", 60.0)
    opened = PageBackend(tmp_path, clock)
    yield opened
    opened.close()


def daemon(page_backend: PageBackend) -> CommandHandler:
    """Return the part of a daemon that records decisions; its folders come later."""
    return CommandHandler(page_backend.journal, FolderSet.of(page_backend.journal, {}), lambda _: None)


def job(page_backend: PageBackend, number: int) -> Job:
    """Return a job as it is now."""
    found = Reader(page_backend.journal.store).job(number)
    assert found is not None
    return found


def decision(page_backend: PageBackend, number: int) -> str:
    """Return the recorded decision about a job."""
    return JobResult.of(job(page_backend, number)).decision


def job_on_page(page_backend: PageBackend, number: int) -> dict[str, Any]:
    """Return a job as the page has it."""
    found: dict[str, Any] = page_backend.ask("job", job=number)
    return found


def codes(answer: dict[str, Any]) -> list[str]:
    """Return the reasons why jobs were left out."""
    return [one["code"] for one in answer["conflicts"]]


def held(page_backend: PageBackend, count: int) -> list[int]:
    """Make some cutouts that are held back."""
    return [page_backend.cut(f"{number}.jpg", JobState.REVIEW) for number in range(count)]


def test_decisions_are_kept_until_a_daemon_starts(page_backend: PageBackend) -> None:
    """The page shows the decisions at once, and the daemon records all of them."""
    a, b = held(page_backend, 2)
    found = page_backend.ask("decide", verb="accept", items=page_backend.seen(a, b))
    assert (found["done"], found["conflicts"]) == (2, [])
    assert page_backend.events == [("decided", {"batch": found["batch"]})]
    assert job_on_page(page_backend, a)["decision"] == "accept"
    daemon(page_backend).poll()
    assert [decision(page_backend, one) for one in (a, b)] == ["accept", "accept"]
    assert page_backend.asked() == []
    assert job_on_page(page_backend, a)["decision"] == "accept"


NAMES = ("a" * 32, "b" * 32)
"""Of requests."""


@pytest.mark.parametrize("is_carried_out", [False, True])
def test_a_decision_that_is_sent_again_gets_the_first_answer(
    page_backend: PageBackend, *, is_carried_out: bool
) -> None:
    """Its answer was lost: it is not told as somebody else's, whether it waits or was carried out; nor is its undo."""
    a, b = held(page_backend, 2)
    items = [*page_backend.seen(a, b), [a + b + 1000, ""]]
    first = page_backend.ask("decide", verb="accept", items=items, request=NAMES[0])
    assert (first["done"], codes(first)) == (2, ["gone"])
    if is_carried_out:
        daemon(page_backend).poll()
    waiting = page_backend.asked()
    assert page_backend.ask("decide", verb="accept", items=items, request=NAMES[0]) == first
    assert page_backend.asked() == waiting
    other = page_backend.ask("decide", verb="accept", items=page_backend.seen(a), request=NAMES[1])
    assert codes(other) == ["accepted"]
    undone = page_backend.ask("undo", batch=first["batch"], request="c" * 32)
    waiting = page_backend.asked()
    assert page_backend.ask("undo", batch=first["batch"], request="c" * 32) == undone
    assert page_backend.asked() == waiting
    with pytest.raises(RefusedError, match="taken back already"):
        page_backend.ask("undo", batch=first["batch"], request="d" * 32)


def test_cutting_again_that_is_sent_again_is_done_once(page_backend: PageBackend) -> None:
    """The second cut would be another one, once the first is done."""
    number = page_backend.cut("a.jpg")
    first = page_backend.ask("retry", items=page_backend.seen(number), request=NAMES[0])
    assert page_backend.ask("retry", items=page_backend.seen(number), request=NAMES[0]) == first
    assert page_backend.asked() == [("retry", str(number))]
    page_backend.ask("retry", items=page_backend.seen(number), request=NAMES[1])
    assert len(page_backend.asked()) == 2


def test_the_name_of_a_request_is_good_for_what_it_asked_alone(page_backend: PageBackend) -> None:
    """A faulty client is told so; nothing is done, and the first request can be sent again."""
    number = page_backend.cut("a.jpg", doubtful=True)
    items = page_backend.seen(number)
    first = page_backend.ask("decide", verb="accept", items=items, request=NAMES[0])
    page_backend.ask("pause", paused=True, request=NAMES[1])
    asked = page_backend.asked()
    others: list[tuple[str, dict[str, Any]]] = [
        ("undo", {"batch": first["batch"], "request": NAMES[0]}),
        ("retry", {"items": items, "request": NAMES[0]}),
        ("pause", {"paused": True, "request": NAMES[0]}),
        ("pause", {"paused": False, "request": NAMES[1]}),
        ("decide", {"verb": "reject", "items": items, "request": NAMES[0]}),
        ("decide", {"verb": "accept", "items": items, "request": NAMES[1]}),
    ]
    for method, params in others:
        with pytest.raises(RefusedError) as caught:
            requests.strict(ENDPOINTS[method].run, frozenset(params))(page_backend.backend, params)
        assert (caught.value.status, caught.value.code) == (409, "request_name")
    assert page_backend.asked() == asked
    assert page_backend.ask("decide", verb="accept", items=items, request=NAMES[0]) == first
    page_backend.journal.store.write("UPDATE answered SET answer = json_extract(answer, '$[1]')")
    assert page_backend.ask("decide", verb="accept", items=items, request=NAMES[0]) == first


def test_answers_are_kept_for_a_week(page_backend: PageBackend) -> None:
    """Then the name is like any other."""
    number = page_backend.cut("a.jpg")
    page_backend.ask("retry", items=page_backend.seen(number), request=NAMES[0])
    page_backend.clock.advance(8 * 86_400.0)
    page_backend.ask("retry", items=page_backend.seen(number), request=NAMES[1])
    page_backend.ask("retry", items=page_backend.seen(number), request=NAMES[0])
    assert len(page_backend.asked()) == 3


def test_a_request_has_a_name_of_hexadecimal_digits(page_backend: PageBackend) -> None:
    """Anything else is refused, and nothing is done."""
    for name in ("A" * 32, "a" * 31, 5, None, ["a" * 32]):
        with pytest.raises(RefusedError) as caught:
            page_backend.ask("pause", paused=True, request=name)
        assert caught.value.status == 400
    assert page_backend.asked() == []


def test_the_first_of_two_browsers_wins(page_backend: PageBackend) -> None:
    """The second is told what the first has decided, before and after it is recorded; a person who has seen that may change it."""
    a, b = held(page_backend, 2)
    items = page_backend.seen(a, b)
    page_backend.ask("decide", verb="accept", items=items[:1])
    found = page_backend.ask("decide", verb="reject", items=items)
    assert (found["done"], codes(found), found["conflicts"][0]["job"]) == (1, ["accepted"], a)
    assert "accepted" in found["conflicts"][0]["text"]
    daemon(page_backend).poll()
    assert codes(page_backend.ask("decide", verb="reject", items=items[:1])) == ["accepted"]
    assert page_backend.ask("decide", verb="reject", items=[[*items[0], "accept"]])["done"] == 1
    assert page_backend.asked() == [("reject", str(a))]
    daemon(page_backend).poll()
    assert decision(page_backend, a) == "reject"


def test_a_cutout_that_has_changed_since_it_was_shown_is_not_decided(page_backend: PageBackend) -> None:
    """Replaced by another cutout or a newer version, gone, or in work; the others of the batch are decided."""
    changed, newer, busy, fine = held(page_backend, 4)
    page_backend.journal.sources.accept("shop", [Version(path="1.jpg", size=2, mtime_ns=9)])
    page_backend.journal.queue.retry(busy)
    items = [
        [changed, "f" * 64],
        *page_backend.seen(newer),
        [busy, "a" * 64],
        [99, "a" * 64],
        *page_backend.seen(fine),
    ]
    found = page_backend.ask("decide", verb="accept", items=items)
    assert codes(found) == ["changed", "newer", "busy", "gone"]
    assert page_backend.asked() == [("accept", str(fine))]


def test_a_cutout_that_changes_before_the_daemon_reads_the_decision_is_left_and_reported(
    page_backend: PageBackend,
) -> None:
    """The decision was made while no daemon ran, and the picture was cut again when one started."""
    (a,) = held(page_backend, 1)
    page_backend.ask("decide", verb="accept", items=page_backend.seen(a))
    with page_backend.journal.store.transaction():
        page_backend.journal.store.write("UPDATE output SET sha256 = 'other'")
    daemon(page_backend).poll()
    assert decision(page_backend, a) == ""
    assert "replaced since the decision" in job_on_page(page_backend, a)["refused"]
    assert page_backend.asked() == []


def test_a_batch_is_undone_before_a_daemon_has_read_it(page_backend: PageBackend) -> None:
    """Nothing is left to do; a second undo finds nothing."""
    numbers = held(page_backend, 3)
    batch = page_backend.ask("decide", verb="reject", items=page_backend.seen(*numbers))["batch"]
    found = page_backend.ask("undo", batch=batch)
    assert (found["done"], page_backend.asked()) == (3, [])
    assert job_on_page(page_backend, numbers[0])["decision"] == ""
    with pytest.raises(RefusedError) as refused:
        page_backend.ask("undo", batch=batch)
    assert (refused.value.status, refused.value.code) == (409, "undone")


def test_recorded_or_completed_decisions_are_undone_by_the_daemon(page_backend: PageBackend) -> None:
    """Each goes back into review; one that somebody has decided about again stays."""
    a, b, c = held(page_backend, 3)
    items = page_backend.seen(a, b, c)
    batch = page_backend.ask("decide", verb="accept", items=items)["batch"]
    daemon(page_backend).poll()
    published(page_backend, b)
    page_backend.ask("decide", verb="reject", items=[[*items[2], "accept"]])
    found = page_backend.ask("undo", batch=batch)
    assert (found["done"], codes(found)) == (2, ["decided_again"])
    assert page_backend.asked() == [("reject", str(c)), ("hold", str(a)), ("hold", str(b))]
    daemon(page_backend).poll()
    assert decision(page_backend, b) == "hold"


def published(page_backend: PageBackend, number: int, sha256: str = "", **detail: bool) -> None:
    """Record that the delivery has carried out an accept, or published a later cutout."""
    found = job(page_backend, number)
    ((_, shown),) = page_backend.seen(number)
    result = Published(rendition=0, path=f"{found.path}.png", sha256=sha256 or shown, review=False)
    page_backend.journal.finish_publishing(
        found, JobState.DONE, sha256="s", published=[result], detail=detail
    )


def test_an_accepted_cutout_is_not_rejected_by_a_person_who_has_not_seen_the_accept(
    page_backend: PageBackend,
) -> None:
    """Its bytes are those that were shown in review; so the earlier decision counts, even after it was carried out."""
    (a,) = held(page_backend, 1)
    items = page_backend.seen(a)
    page_backend.ask("decide", verb="accept", items=items)
    daemon(page_backend).poll()
    published(page_backend, a)
    assert codes(page_backend.ask("decide", verb="reject", items=items)) == ["accepted"]
    assert job_on_page(page_backend, a)["decision_in_force"] == "accept"
    assert page_backend.ask("decide", verb="reject", items=[[*items[0], "accept"]])["done"] == 1
    assert page_backend.asked() == [("hold", str(a)), ("reject", str(a))]


def test_another_cutout_of_an_accepted_picture_needs_a_new_decision(page_backend: PageBackend) -> None:
    """The picture was cut again, or corrected: nobody has accepted the new cutout."""
    (a,) = held(page_backend, 1)
    page_backend.ask("decide", verb="accept", items=page_backend.seen(a))
    daemon(page_backend).poll()
    published(page_backend, a)
    replaced(page_backend)
    assert job_on_page(page_backend, a)["decision_in_force"] == ""
    assert page_backend.ask("decide", verb="reject", items=page_backend.seen(a))["done"] == 1


def replaced(page_backend: PageBackend) -> None:
    """Record that each cutout was replaced, as where it was cut again by another model."""
    with page_backend.journal.store.transaction():
        page_backend.journal.store.write("UPDATE output SET sha256 = :sha256", sha256="c" * 64)


@pytest.mark.parametrize("verb", ["undecided", "undo", "reject"])
@pytest.mark.parametrize("state", [JobState.REVIEW, JobState.DONE], ids=["hold", "doubt"])
def test_no_decision_is_taken_back_about_a_cutout_that_nobody_has_seen(
    page_backend: PageBackend, state: JobState, verb: str
) -> None:
    """It was replaced after the decision was sent, and before the daemon could carry it out: it stays as it is."""
    number = page_backend.cut("a.jpg", state, doubtful=True)
    items = page_backend.seen(number)
    batch = page_backend.ask("decide", verb="accept", items=items)["batch"]
    daemon(page_backend).poll()
    if state is JobState.REVIEW:
        published(page_backend, number, accepted=True)
    if verb == "undo":
        page_backend.ask("undo", batch=batch)
    else:
        page_backend.ask("decide", verb=verb, items=[[*items[0], "accept"]])
    first = page_backend.asked()[0][0]
    assert first == ("hold" if state is JobState.REVIEW or verb == "reject" else "doubt")
    replaced(page_backend)
    daemon(page_backend).poll()
    after = job(page_backend, number)
    assert (after.wanted, decision(page_backend, number), page_backend.asked()) == (None, "", [])
    assert "replaced" in job_on_page(page_backend, number)["refused"]
    assert not JobResult.of(after).doubtful


def test_a_published_doubtful_cutout_is_accepted_where_it_is(page_backend: PageBackend) -> None:
    """It is then not doubtful any more, and after an undo it is again. One that is not doubtful cannot be accepted."""
    a, b = page_backend.cut("a.jpg", doubtful=True, why="doubtful"), page_backend.cut("b.jpg")
    found = page_backend.ask("decide", verb="accept", items=page_backend.seen(a, b))
    assert codes(found) == ["no_cutout"]
    handler = daemon(page_backend)
    handler.poll()
    assert page_backend.ask("jobs", state="doubtful")["total"] == 0
    assert job(page_backend, a).state is JobState.DONE
    page_backend.ask("undo", batch=found["batch"])
    handler.poll()
    assert page_backend.ask("jobs", state="doubtful")["total"] == 1
    assert page_backend.asked() == []


def test_a_single_decision_is_undone(page_backend: PageBackend) -> None:
    """One that was not carried out is withdrawn; an undecided picture is unchanged; and this can be undone as well."""
    a, b = held(page_backend, 2)
    page_backend.ask("decide", verb="accept", items=page_backend.seen(a))
    found = page_backend.ask("decide", verb="undecided", items=page_backend.seen(a, b))
    assert (found["done"], found["conflicts"], page_backend.asked()) == (2, [], [])
    page_backend.ask("undo", batch=found["batch"])
    assert page_backend.asked() == [("accept", str(a))]


def test_a_rejected_cutout_comes_back(page_backend: PageBackend) -> None:
    """The rejected job has no files to show, and is cut again."""
    number = page_backend.end("a.jpg", JobState.FAILED, failure={"code": "Rejected"})
    assert job_on_page(page_backend, number)["decision_in_force"] == "reject"
    found = page_backend.ask("decide", verb="undecided", items=[[number, ""]])
    assert (found["done"], page_backend.asked()) == (1, [("hold", str(number))])


@pytest.mark.parametrize(
    "items",
    [None, [], {}, [1], [[1]], [["1", ""]], [[1, "x"]], [[True, ""]], [[1, "", "maybe"]], [[-1, ""]], [[1, "", "", ""]]],
)  # fmt: skip
def test_items_that_are_none_are_refused(page_backend: PageBackend, items: object) -> None:
    """The process that answers browsers may be compromised."""
    with pytest.raises(RefusedError) as refused:
        page_backend.ask("decide", verb="accept", items=items)
    assert refused.value.status == 400


def test_pictures_are_cut_again_also_by_another_model(page_backend: PageBackend) -> None:
    """Except those in work."""
    a, b = held(page_backend, 2)
    page_backend.end("c.jpg", JobState.QUEUED)
    page_backend.journal.queue.retry(b)
    found = page_backend.ask("retry", items=page_backend.seen(a, b, a), model="other")
    assert (found["done"], codes(found)) == (1, ["busy"])
    assert page_backend.asked() == [("retry", f"{a} model=other")]
    with pytest.raises(RefusedError):
        page_backend.ask("retry", items=page_backend.seen(a), model="../x")


def test_an_undo_leaves_a_cutout_that_came_after_the_decision(page_backend: PageBackend) -> None:
    """Such as a correction of what was accepted; the others of that decision are taken back."""
    corrected, same = held(page_backend, 2)
    batch = page_backend.ask("decide", verb="accept", items=page_backend.seen(corrected, same))["batch"]
    for command in page_backend.journal.commands.pending():
        page_backend.journal.commands.done(command)
    published(page_backend, same)
    published(page_backend, corrected, "c" * 64)
    found = page_backend.ask("undo", batch=batch)
    assert [(one["job"], one["code"]) for one in found["conflicts"]] == [(corrected, "changed")]
    assert page_backend.asked() == [("hold", str(same))]


def test_nothing_but_requests_is_written(page_backend: PageBackend) -> None:
    """The rest of the journal belongs to the daemon."""
    numbers = held(page_backend, 3)

    def rest() -> dict[str, list[tuple[Any, ...]]]:
        store = page_backend.journal.store
        tables = [row["name"] for row in store.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [tuple(row) for row in store.rows(f"SELECT * FROM {name}")]  # noqa: S608 -- names of ours
            for name in tables
            if name not in ("command", "sqlite_sequence", "batch", "decided")
        }

    before = rest()
    batch = page_backend.ask("decide", verb="accept", items=page_backend.seen(*numbers))["batch"]
    page_backend.ask("decide", verb="undecided", items=page_backend.seen(numbers[0]))
    page_backend.ask("undo", batch=batch)
    page_backend.ask("retry", items=page_backend.seen(*numbers))
    page_backend.ask("pause", paused=True)
    assert rest() == before


def test_work_is_paused_and_resumed(page_backend: PageBackend) -> None:
    """As with the commands."""
    assert page_backend.ask("pause", paused=True) == {"paused": True}
    handler = daemon(page_backend)
    handler.poll()
    assert handler.paused
    assert page_backend.ask("overview")["paused"]
    page_backend.ask("pause", paused=False)
    handler.poll()
    assert not page_backend.ask("session")["paused"]


def test_a_portion_is_written_down_whole_or_not_at_all(
    page_backend: PageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk refuses in the middle, it is repeated; nothing is lost or done twice."""
    monkeypatch.setattr(handler_module, "PORTION", 4)
    monkeypatch.setattr(handler_module, "AT_ONCE_S", 60.0)
    numbers = held(page_backend, 10)
    page_backend.ask("decide", verb="accept", items=page_backend.seen(*numbers))
    handler = daemon(page_backend)
    decisions = handler._decisions  # noqa: SLF001 -- where a fault comes in
    folders, decided = decisions._folders, []  # noqa: SLF001 -- likewise

    class Faulty:
        """Folders whose seventh decision is refused once."""

        def decide(self, number: int, choice: Any) -> bool:  # noqa: ANN401 -- passed on
            decided.append(number)
            if len(decided) == 7:
                raise JournalError("no room")
            return folders.decide(number, choice)

    monkeypatch.setattr(decisions, "_folders", Faulty())
    with pytest.raises(JournalError):
        handler.poll()
    assert [decision(page_backend, one) for one in numbers] == ["accept"] * 4 + [""] * 6
    assert len(page_backend.asked()) == 6
    handler.poll()
    assert {decision(page_backend, one) for one in numbers} == {"accept"}
    assert page_backend.asked() == []


def test_the_main_loop_is_not_held_up_by_many(
    page_backend: PageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main loop continues with the next portion in its next turn."""
    monkeypatch.setattr(handler_module, "PORTION", 3)
    monkeypatch.setattr(handler_module, "AT_ONCE_S", 0.0)
    numbers = held(page_backend, 8)
    page_backend.ask("decide", verb="accept", items=page_backend.seen(*numbers))
    handler = daemon(page_backend)
    left = []
    for _ in range(4):
        handler.poll()
        left.append(len(page_backend.asked()))
    assert left == [5, 2, 0, 0]
    assert {decision(page_backend, one) for one in numbers} == {"accept"}


def test_a_daemon_that_is_killed_amid_a_batch_finishes_it_when_it_starts(
    make: Callable[..., DeliveryRun], clock: FakeClock
) -> None:
    """Some are published, one has half of its names, some are recorded, the rest not even read."""
    faults: list[Any] = []
    delivery_run = make(faults=faults)
    jobs = []
    for number in range(9):
        job = delivery_run.begin(f"{number}.jpg", JPEG + str(number).encode())
        cut = delivery_run.cut(
            job,
            b"veiled %d" % number,
            b"cut %d" % number,
            source=JPEG + str(number).encode(),
            review=True,
            rendition=-1,
        )
        delivery_run.delivery.deliver(job, cut)
        delivery_run.settle()
        jobs.append(job)
    numbers = [job.id for job in jobs]
    seen = Listing(delivery_run.journal.store).first_results(numbers)
    items = [BatchItem(job=number, seen=seen[number]) for number in numbers]
    assert Batches(delivery_run.journal.store).decide(Decision.ACCEPT, items, clock).done == 9
    for command in delivery_run.journal.commands.pending(limit=6):  # the daemon has come to the sixth
        decided = delivery_run.journal.review_decisions.decide(int(command.argument), ReviewDecision.ACCEPT)
        assert decided is not None
        delivery_run.journal.commands.done(command)
        if len(delivery_run.journal.commands.pending()) == 6:
            delivery_run.settle()
            faults.append(Power())
        if delivery_run.delivery.failure is None:
            delivery_run.delivery.carry_out_decision(decided)
    until(lambda: delivery_run.delivery.failure is not None, "the crash")
    again = recovered(delivery_run, make)
    folders = FolderSet.of(
        again.journal, {NAME: cast("HotFolder", again)}
    )  # it has a delivery, which is all that is asked
    CommandHandler(again.journal, folders, lambda _: None).poll()
    again.settle()
    assert {again.job(job).state for job in jobs} == {JobState.DONE}
    assert again.files() == {f"{number}.png": b"cut %d" % number for number in range(9)}
    assert again.staged() == []


def test_undecided_leaves_published_cutouts_without_a_decision_unchanged(page_backend: PageBackend) -> None:
    """Doubtful or not, it stays in the output. A decision that was not started is withdrawn."""
    doubtful, plain = page_backend.cut("a.jpg", doubtful="score 0.3"), page_backend.cut("b.jpg")
    found = page_backend.ask("decide", verb="undecided", items=page_backend.seen(doubtful, plain))
    assert (found["done"], page_backend.asked()) == (2, [])
    assert page_backend.ask("undo", batch=found["batch"])["done"] == 2
    assert page_backend.asked() == []
    page_backend.ask("decide", verb="reject", items=page_backend.seen(doubtful))
    assert [verb for verb, _ in page_backend.asked()] == ["hold", "reject"]
    page_backend.ask("decide", verb="undecided", items=page_backend.seen(doubtful))
    assert page_backend.asked() == []


def test_undecided_makes_a_published_cutout_that_was_accepted_doubtful_again(
    page_backend: PageBackend,
) -> None:
    """At its place; and this can be undone like any decision."""
    number = page_backend.cut("a.jpg", doubtful="score 0.3")
    handler = daemon(page_backend)
    page_backend.ask("decide", verb="accept", items=page_backend.seen(number))
    handler.poll()
    assert page_backend.ask("jobs", state="doubtful")["total"] == 0
    cleared = page_backend.ask("decide", verb="undecided", items=page_backend.seen(number))
    assert page_backend.asked() == [("doubt", str(number))]
    handler.poll()
    assert page_backend.ask("jobs", state="doubtful")["total"] == 1
    assert job(page_backend, number).state is JobState.DONE
    page_backend.ask("undo", batch=cleared["batch"])
    handler.poll()
    assert page_backend.ask("jobs", state="doubtful")["total"] == 0


def test_undecided_puts_back_into_review_what_was_accepted_from_there(page_backend: PageBackend) -> None:
    """That is where it was before the decision."""
    number = page_backend.cut("a.jpg", accepted=True)
    page_backend.ask("decide", verb="undecided", items=page_backend.seen(number))
    assert page_backend.asked() == [("hold", str(number))]


def test_undecided_publishes_a_rejected_cutout_again_that_was_published(page_backend: PageBackend) -> None:
    """It is cut again, and is as doubtful as before."""
    number = page_backend.cut("a.jpg", doubtful="score 0.3")
    page_backend.ask("decide", verb="reject", items=page_backend.seen(number))
    store = page_backend.journal.store
    with store.transaction():
        store.write("DELETE FROM command")
        rejected = '{"failure": {"code": "Rejected"}}'
        store.write(
            "UPDATE job SET state = 'failed', detail = :detail WHERE id = :job", detail=rejected, job=number
        )
    found = page_backend.ask("decide", verb="undecided", items=[[number, ""]])
    assert found["done"] == 1
    assert [verb for verb, _ in page_backend.asked()] == ["hold", "republish_doubtful"]
    page_backend.ask("decide", verb="undecided", items=[[number, ""]])
    assert [verb for verb, _ in page_backend.asked()] == ["hold", "republish_doubtful"]


@pytest.mark.parametrize(("detail", "verb"), [({"doubtful": True}, "republish_doubtful"), ({}, "republish")])
def test_an_undone_rejection_of_a_published_cutout_leaves_no_acceptance(
    page_backend: PageBackend, detail: dict[str, Any], verb: str
) -> None:
    """Nobody has accepted it: it is published as doubtful as it was."""
    number = page_backend.cut("a.jpg", **detail)
    batch = page_backend.ask("decide", verb="reject", items=page_backend.seen(number))["batch"]
    store = page_backend.journal.store
    with store.transaction():
        store.write("DELETE FROM command")
        rejected = '{"failure": {"code": "Rejected"}}'
        store.write(
            "UPDATE job SET state = 'failed', detail = :detail WHERE id = :job", detail=rejected, job=number
        )
    page_backend.ask("undo", batch=batch)
    assert [asked for asked, _ in page_backend.asked()] == ["hold", verb]
    assert job_on_page(page_backend, number)["decision_in_force"] != "accept"


def test_undecided_publishes_what_was_rejected_and_accepted_after_all(page_backend: PageBackend) -> None:
    """It was published and doubtful before both decisions, and is not held back after they are undone."""
    number = page_backend.cut("a.jpg", doubtful=True)
    items = page_backend.seen(number)
    page_backend.ask("decide", verb="reject", items=items)
    page_backend.ask("decide", verb="accept", items=[[*items[0], "reject"]])
    store = page_backend.journal.store
    with store.transaction():
        store.write("DELETE FROM command")
        store.write("""UPDATE job SET detail = '{"accepted": true}' WHERE id = :job""", job=number)
    page_backend.ask("decide", verb="undecided", items=items)
    assert [asked for asked, _ in page_backend.asked()] == ["hold", "republish_doubtful"]
