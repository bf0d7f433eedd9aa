"""Corrections of cutouts are kept, cut, undone, refused with a reason, and dropped when their picture changes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.clock import Clock
from cutoutd.daemon.commands import CommandHandler
from cutoutd.errors import FailureCode, JournalError
from cutoutd.jobs import JobState, Published, Version, Wanted
from cutoutd.journal.commands import Commands, ReviewDecision, Verb
from cutoutd.journal.corrections import KEPT
from cutoutd.journal.fix_request import FixAction, FixRequest
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.journal.store import FILE_NAME, SQL, Store
from cutoutd.strokes import Stroke, StrokeKind
from tests.integration.parts import Heard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.jobs import Job
    from tests.conftest import FakeClock

SHA256 = "5" * 64
CLICK = Stroke(kind=StrokeKind.KEEP, points=((3.5, 4.0),), radius=2.0)
LINE = Stroke(kind=StrokeKind.REMOVE, points=((0.0, 0.0), (9.25, 1.0)), radius=1.5)


class Folders:
    """Records decisions without carrying them out."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.active: dict[str, Any] = {}

    def decide(self, number: int, decision: ReviewDecision) -> bool:
        """Record a decision."""
        return self._journal.review_decisions.decide(number, decision) is not None


class World:
    """A journal with a cutout, and the handler of commands."""

    def __init__(self, directory: Path, clock: FakeClock) -> None:
        self.journal = Journal(directory, session="r", clock=clock)
        self.heard = Heard()
        folders: Any = Folders(self.journal)
        self.handler = CommandHandler(self.journal, folders, self.heard)
        # Commands come from other processes: the daemon looks when another connection has written.
        self.elsewhere = Store(directory / FILE_NAME)
        self.number = self.publish()

    def publish(self, *, mtime_ns: int = 1, sha256: str = SHA256, state: JobState = JobState.DONE) -> int:
        """Publish a version of the picture."""
        (number,) = self.journal.sources.accept("f", [Version(path="a.jpg", size=9, mtime_ns=mtime_ns)])
        self.finish(self.claim(), sha256=sha256, state=state)
        return number

    def claim(self) -> Job:
        """Claim the waiting job, as for a worker."""
        job = self.journal.queue.next_in("f", newest_first=False)
        assert job is not None
        self.journal.queue.claim(job)
        return job

    def finish(self, job: Job, *, sha256: str = SHA256, state: JobState = JobState.DONE) -> int:
        """Publish the result. Returns how many corrections were dropped."""
        review = state is JobState.REVIEW
        result = Published(rendition=0, path="a.png", sha256=f"{job.id}" * 64, review=review)
        self.journal.begin_publishing(job, sha256=sha256, claims=[b"/out/a.png"], detail={})
        return self.journal.finish_publishing(job, state, sha256=sha256, published=[result], detail={})

    def ask(self, verb: Verb, argument: str) -> str | None:
        """Post a command and carry it out. Returns the answer."""
        commands = Commands(self.elsewhere, Clock())
        request = commands.post(verb, argument)
        for _ in range(3):  # it goes on with what takes long at its next look
            self.handler.poll()
        return commands.answer(request)

    def draw(self, *strokes: Stroke, **more: Any) -> str | None:  # noqa: ANN401 -- fields of a request
        """Draw over the cutout."""
        request = FixRequest(job=self.number, strokes=strokes, **more)
        return self.ask(Verb.FIX, request.to_argument())

    @property
    def job(self) -> Job:
        """Return the job as it is now."""
        found = Reader(self.journal.store).job(self.number)
        assert found is not None
        return found


@pytest.fixture
def world(tmp_path: Path, clock: FakeClock) -> Iterator[World]:
    """A world with a published cutout."""
    created = World(tmp_path, clock)
    yield created
    created.elsewhere.close()
    created.journal.close()


def test_strokes_are_kept_with_the_bytes_they_are_about_and_the_picture_is_cut_again(world: World) -> None:
    """The daemon counts one more waiting job."""
    assert world.draw(CLICK, LINE, suggestion=1) == ""
    job = world.job
    assert (job.state, job.forced, job.wanted) == (JobState.QUEUED, True, None)
    kept = world.journal.corrections.of(job)
    assert kept is not None
    assert (kept.number, kept.sha256, kept.strokes, kept.suggestion) == (1, SHA256, (CLICK, LINE), 1)
    assert world.heard.count == 1


def test_undo_brings_back_the_former_strokes_and_then_the_cutout_as_it_was(world: World) -> None:
    """Published as before, whatever its score."""
    world.draw(CLICK)
    world.draw(CLICK, LINE)
    undo = FixRequest(job=world.number, action=FixAction.UNDO).to_argument()
    assert world.ask(Verb.FIX, undo) == ""
    former = world.journal.corrections.of(world.job)
    assert former is not None
    assert (former.number, former.strokes, world.job.wanted) == (1, (CLICK,), None)
    assert world.ask(Verb.FIX, undo) == ""
    assert world.journal.corrections.of(world.job) is None
    assert world.job.wanted is Wanted.PUBLISHED
    assert world.ask(Verb.FIX, undo) == "there are no strokes on its cutout"


def test_undo_of_what_was_drawn_in_review_puts_it_back_into_review(tmp_path: Path, clock: FakeClock) -> None:
    """Together with what was published of it since."""
    world = World(tmp_path, clock)
    world.number = world.publish(mtime_ns=2, sha256="6" * 64, state=JobState.REVIEW)
    world.draw(CLICK)
    world.finish(world.claim(), sha256="6" * 64)
    world.draw(CLICK, LINE)
    assert world.ask(Verb.FIX, FixRequest(job=world.number, action=FixAction.CLEAR).to_argument()) == ""
    assert world.job.wanted is Wanted.RECALLED
    world.elsewhere.close()
    world.journal.close()


def test_cleared_strokes_are_restored_by_undo(world: World) -> None:
    """Clearing is a correction without strokes; it cannot be done twice."""
    undo, clear = (
        FixRequest(job=world.number, action=action).to_argument()
        for action in (FixAction.UNDO, FixAction.CLEAR)
    )
    world.draw(CLICK)
    world.draw(CLICK, LINE, suggestion=1)
    assert world.ask(Verb.FIX, clear) == ""
    cleared = world.journal.corrections.of(world.job)
    assert cleared is not None
    assert (cleared.number, cleared.strokes, world.job.wanted) == (3, (), Wanted.PUBLISHED)
    assert world.ask(Verb.FIX, clear) == "there are no strokes on its cutout"
    world.draw(LINE)
    assert world.ask(Verb.FIX, undo) == ""
    assert world.journal.corrections.of(world.job) == cleared
    assert world.job.wanted is Wanted.PUBLISHED
    assert world.ask(Verb.FIX, undo) == ""
    back = world.journal.corrections.of(world.job)
    assert back is not None
    assert (back.number, back.strokes, back.suggestion) == (2, (CLICK, LINE), 1)


def test_requests_that_wait_for_the_daemon_count_for_later_ones(world: World) -> None:
    """As if the daemon had carried it out: clearing is undone like a stroke."""
    world.draw(CLICK)
    expected = world.journal.corrections.expected
    clear, undo = (FixRequest(job=world.number, action=one) for one in (FixAction.CLEAR, FixAction.UNDO))
    cleared, back = expected(world.job, [clear, clear]), expected(world.job, [clear, undo])
    assert cleared is not None
    assert back is not None
    assert ((cleared.number, cleared.strokes), back.strokes) == ((2, ()), (CLICK,))


def test_a_correction_waits_for_a_worker_that_has_the_picture_in_hand(world: World) -> None:
    """The first request is finished first; nothing is lost."""
    world.draw(CLICK)
    in_work = world.claim()
    assert world.draw(CLICK, LINE) is None
    kept = world.journal.corrections.of(world.job)
    assert kept is not None
    assert kept.strokes == (CLICK,)
    world.finish(in_work)
    world.handler.poll()
    assert world.job.state is JobState.QUEUED
    kept = world.journal.corrections.of(world.job)
    assert kept is not None
    assert (kept.number, kept.strokes) == (2, (CLICK, LINE))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("replaced", "its picture was replaced meanwhile"),
        ("another cutout", "was replaced by another one meanwhile"),
        ("missing", "is not in its folder any more"),
        ("gone", "has no cutout"),
        ("no job", "there is no job"),
        ("nonsense", "cannot be understood"),
    ],
)
def test_a_cutout_that_cannot_be_corrected_is_refused_with_the_reason(
    world: World, spoil: str, why: str
) -> None:
    """No correction is recorded."""
    seen = ""
    argument = None
    match spoil:
        case "replaced":
            world.publish(mtime_ns=2, sha256="6" * 64)
        case "another cutout":
            seen = "e" * 64
        case "missing":
            world.journal.sources.note_places("f", {"a.jpg": 5})
        case "gone":
            world.journal.queue.finish(world.number, JobState.GONE, detail={})
        case "no job":
            argument = FixRequest(job=77, strokes=(CLICK,)).to_argument()
        case "nonsense":
            argument = '{"job": 1, "action": "draw", "strokes": [{"kind": "keep"}]}'
    before = world.job.state
    answer = world.ask(Verb.FIX, argument) if argument is not None else world.draw(CLICK, seen=seen)
    assert answer is not None
    assert why in answer
    assert world.job.state is before
    assert world.journal.corrections.last("f", "a.jpg", 0) is None


@pytest.mark.parametrize("moves", [True, False])
def test_a_rejected_cutout_whose_original_was_moved_away_can_be_corrected(
    world: World, *, moves: bool
) -> None:
    """If the folder moves originals, the original is searched there; otherwise it is gone, and the person is told so."""
    folders: Any = world.handler._folders  # noqa: SLF001 -- which has no folder of its own
    folders.active["f"] = SimpleNamespace(
        folder=SimpleNamespace(originals_dir="/put/away" if moves else None)
    )
    world.journal.queue.finish(
        world.number, JobState.FAILED, detail={"failure": {"code": FailureCode.REJECTED}}, sha256=SHA256
    )
    world.journal.sources.note_places("f", {"a.jpg": 5})
    answer = world.draw(CLICK)
    if moves:
        assert answer == ""
        assert (world.job.state, world.job.forced) == (JobState.QUEUED, True)
    else:
        assert "is not in its folder any more" in str(answer)


def test_strokes_that_a_worker_could_not_follow_can_be_undone(world: World) -> None:
    """As for lack of memory: the former cutout is still there."""
    world.draw(CLICK)
    world.journal.queue.finish(world.claim().id, JobState.FAILED, detail={})
    assert world.ask(Verb.FIX, FixRequest(job=world.number, action=FixAction.UNDO).to_argument()) == ""
    assert world.job.state is JobState.QUEUED


def test_strokes_over_other_bytes_are_dropped_once_the_new_ones_are_published(world: World) -> None:
    """The strokes are kept until then, since the new version may never be cut."""
    world.draw(CLICK)
    world.finish(world.claim())
    world.journal.sources.accept("f", [Version(path="a.jpg", size=9, mtime_ns=2)])
    newer = world.claim()
    assert world.journal.corrections.last("f", "a.jpg", 0) is not None
    assert world.finish(newer, sha256="6" * 64) == 1
    assert world.journal.corrections.last("f", "a.jpg", 0) is None


def test_a_picture_of_which_the_metadata_alone_changed_keeps_what_was_drawn(world: World) -> None:
    """A rating is no reason to drop it."""
    world.draw(CLICK)
    world.finish(world.claim())
    world.journal.sources.accept("f", [Version(path="a.jpg", size=9, mtime_ns=2)])
    rated = world.claim()
    world.journal.leave_unchanged(rated, sha256="6" * 64, generation=0, detail={}, cleanup_pending=False)
    found = Reader(world.journal.store).job(rated.id)
    assert found is not None
    kept = world.journal.corrections.of(found)
    assert kept is not None
    assert kept.strokes == (CLICK,)


@pytest.mark.parametrize("action", [FixAction.DRAW, FixAction.UNDO])
def test_a_daemon_that_is_killed_once_a_correction_is_written_down_does_not_do_it_again(
    world: World, monkeypatch: pytest.MonkeyPatch, action: FixAction
) -> None:
    """Otherwise an undo would take two steps back; the correction and the removal of its request are one transaction."""
    world.draw(CLICK)
    world.draw(CLICK, LINE)
    drawn = (CLICK, LINE, CLICK) if action is FixAction.DRAW else ()
    monkeypatch.setattr(world.handler, "_answer", lambda *_: pytest.fail("killed", pytrace=False))
    with pytest.raises(pytest.fail.Exception):
        world.ask(Verb.FIX, FixRequest(job=world.number, action=action, strokes=drawn).to_argument())
    assert world.journal.commands.pending() == []
    kept = world.journal.corrections.of(world.job)
    assert kept is not None
    assert kept.strokes == (drawn or (CLICK,))


def test_only_the_last_corrections_of_a_picture_are_kept(world: World) -> None:
    """The journal does not grow without limit, however long somebody draws."""
    for number in range(KEPT + 3):
        world.draw(replace(CLICK, radius=1.0 + number))
    kept = world.journal.store.rows("SELECT number FROM correction")
    assert [row["number"] for row in kept] == list(range(4, KEPT + 4))


def test_a_folder_that_is_called_otherwise_keeps_what_was_drawn(world: World) -> None:
    """A folder is identified by its marker; its name is a label."""
    world.draw(CLICK)
    with world.journal.store.transaction():
        world.journal.store.write(SQL.rename_folder, before="f", after="g")
    assert world.journal.corrections.last("g", "a.jpg", 0) is not None


def test_a_source_that_is_forgotten_takes_what_was_drawn_with_it(world: World) -> None:
    """Nothing of it stays in the journal."""
    world.draw(CLICK)
    world.finish(world.claim())
    world.journal.history.forget("f", ["a.jpg"])
    assert world.journal.store.rows("SELECT * FROM correction") == []


def full(store: Store) -> Callable[[], None]:
    """Fill the disk of a journal for this connection. Returns a function that makes room again."""
    connection = store._connection  # noqa: SLF001 -- a disk that is full for one process alone
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    def make_room() -> None:
        connection.execute("PRAGMA max_page_count = 1073741823")

    return make_room


MANY = tuple(replace(LINE, points=LINE.points * 20) for _ in range(500))
"""Strokes that need more room than the full disk has."""


def test_strokes_that_a_full_disk_cannot_store_are_refused_with_the_reason_and_can_be_sent_again(
    world: World,
) -> None:
    """The person is told, and still has them; the journal is unchanged."""
    make_room = full(world.elsewhere)
    with pytest.raises(JournalError, match="full"):
        world.draw(*MANY)
    assert world.journal.commands.pending() == []
    make_room()
    assert world.draw(*MANY) == ""
    kept = world.journal.corrections.of(world.job)
    assert kept is not None
    assert kept.strokes == MANY


def test_strokes_that_the_daemon_cannot_write_down_wait_for_room(world: World) -> None:
    """Strokes are never recorded without their job, nor a job without its strokes."""
    make_room = full(world.journal.store)
    with pytest.raises(JournalError, match="full"):
        world.draw(*MANY)
    before = world.job.state
    make_room()
    world.handler.poll()
    assert (before, world.job.state) == (JobState.DONE, JobState.QUEUED)
    kept = world.journal.corrections.of(world.job)
    assert kept is not None
    assert kept.strokes == MANY
    assert world.journal.commands.pending() == []


def test_a_decision_is_undone_by_a_command_and_decided_again(world: World) -> None:
    """A later decision waits until the cutout is in review again."""
    assert world.ask(Verb.HOLD, str(world.number)) == ""
    assert world.job.detail["decision"] == "hold"
    assert world.ask(Verb.REJECT, str(world.number)) is None
    world.finish(world.job, state=JobState.REVIEW)
    world.handler.poll()
    assert world.job.detail["decision"] == "reject"


@pytest.mark.parametrize("argument", ["77", "x", "1 2"])
def test_a_decision_about_another_job_cannot_be_undone(world: World, argument: str) -> None:
    """The answer gives the reason."""
    assert world.ask(Verb.HOLD, argument)


def test_a_picture_is_cut_again_by_another_model(world: World) -> None:
    """By the folder's own model again once `retry` names none."""
    assert world.ask(Verb.RETRY, f"{world.number} model=isnet") == ""
    assert world.job.model == "isnet"
    world.finish(world.claim())
    world.draw(CLICK)
    assert world.job.model == "isnet"
    world.finish(world.claim())
    assert world.ask(Verb.RETRY, str(world.number)) == ""
    assert world.job.model == ""
