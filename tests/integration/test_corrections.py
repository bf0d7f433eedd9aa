"""Corrections of cutouts are kept, cut, undone, refused with a reason, and dropped when their picture changes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.clock import Clock
from cutoutd.daemon.commands import CommandHandler
from cutoutd.errors import FailureCode, JournalError
from cutoutd.job_detail import JobResult
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


class CutoutJournal:
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
def cutout_journal(tmp_path: Path, clock: FakeClock) -> Iterator[CutoutJournal]:
    """A world with a published cutout."""
    created = CutoutJournal(tmp_path, clock)
    yield created
    created.elsewhere.close()
    created.journal.close()


def test_strokes_are_kept_with_the_bytes_they_are_about_and_the_picture_is_cut_again(
    cutout_journal: CutoutJournal,
) -> None:
    """The daemon counts one more waiting job."""
    assert cutout_journal.draw(CLICK, LINE, suggestion=1) == ""
    job = cutout_journal.job
    assert (job.state, job.forced, job.wanted) == (JobState.QUEUED, True, None)
    kept = cutout_journal.journal.corrections.of(job)
    assert kept is not None
    assert (kept.number, kept.sha256, kept.strokes, kept.suggestion) == (1, SHA256, (CLICK, LINE), 1)
    assert cutout_journal.heard.count == 1


def test_the_pictures_size_is_known_while_a_correction_is_carried_out(cutout_journal: CutoutJournal) -> None:
    """A further stroke is checked against it, and gets its radius from it; before, both depended on the moment."""
    size = {"width": 400, "height": 300}
    cutout_journal.journal.queue.finish(cutout_journal.number, JobState.DONE, detail=size, sha256=SHA256)
    for _ in range(2):
        assert cutout_journal.draw(CLICK) == ""
        result = JobResult.of(cutout_journal.job)
        assert (cutout_journal.job.state, result.width, result.height) == (JobState.QUEUED, 400, 300)


def test_undo_brings_back_the_former_strokes_and_then_the_cutout_as_it_was(
    cutout_journal: CutoutJournal,
) -> None:
    """Published as before, whatever its score."""
    cutout_journal.draw(CLICK)
    cutout_journal.draw(CLICK, LINE)
    undo = FixRequest(job=cutout_journal.number, action=FixAction.UNDO).to_argument()
    assert cutout_journal.ask(Verb.FIX, undo) == ""
    former = cutout_journal.journal.corrections.of(cutout_journal.job)
    assert former is not None
    assert (former.number, former.strokes, cutout_journal.job.wanted) == (1, (CLICK,), None)
    assert cutout_journal.ask(Verb.FIX, undo) == ""
    assert cutout_journal.journal.corrections.of(cutout_journal.job) is None
    assert cutout_journal.job.wanted is Wanted.PUBLISHED
    assert cutout_journal.ask(Verb.FIX, undo) == "there are no strokes on its cutout"


def test_undo_of_what_was_drawn_in_review_puts_it_back_into_review(tmp_path: Path, clock: FakeClock) -> None:
    """Together with what was published of it since."""
    cutout_journal = CutoutJournal(tmp_path, clock)
    cutout_journal.number = cutout_journal.publish(mtime_ns=2, sha256="6" * 64, state=JobState.REVIEW)
    cutout_journal.draw(CLICK)
    cutout_journal.finish(cutout_journal.claim(), sha256="6" * 64)
    cutout_journal.draw(CLICK, LINE)
    assert (
        cutout_journal.ask(
            Verb.FIX, FixRequest(job=cutout_journal.number, action=FixAction.CLEAR).to_argument()
        )
        == ""
    )
    assert cutout_journal.job.wanted is Wanted.RECALLED
    cutout_journal.elsewhere.close()
    cutout_journal.journal.close()


def test_cleared_strokes_are_restored_by_undo(cutout_journal: CutoutJournal) -> None:
    """Clearing is a correction without strokes; it cannot be done twice."""
    undo, clear = (
        FixRequest(job=cutout_journal.number, action=action).to_argument()
        for action in (FixAction.UNDO, FixAction.CLEAR)
    )
    cutout_journal.draw(CLICK)
    cutout_journal.draw(CLICK, LINE, suggestion=1)
    assert cutout_journal.ask(Verb.FIX, clear) == ""
    cleared = cutout_journal.journal.corrections.of(cutout_journal.job)
    assert cleared is not None
    assert (cleared.number, cleared.strokes, cutout_journal.job.wanted) == (3, (), Wanted.PUBLISHED)
    assert cutout_journal.ask(Verb.FIX, clear) == "there are no strokes on its cutout"
    cutout_journal.draw(LINE)
    assert cutout_journal.ask(Verb.FIX, undo) == ""
    assert cutout_journal.journal.corrections.of(cutout_journal.job) == cleared
    assert cutout_journal.job.wanted is Wanted.PUBLISHED
    assert cutout_journal.ask(Verb.FIX, undo) == ""
    back = cutout_journal.journal.corrections.of(cutout_journal.job)
    assert back is not None
    assert (back.number, back.strokes, back.suggestion) == (2, (CLICK, LINE), 1)


def test_requests_that_wait_for_the_daemon_count_for_later_ones(cutout_journal: CutoutJournal) -> None:
    """As if the daemon had carried it out: clearing is undone like a stroke."""
    cutout_journal.draw(CLICK)
    expected = cutout_journal.journal.corrections.expected
    clear, undo = (
        FixRequest(job=cutout_journal.number, action=one) for one in (FixAction.CLEAR, FixAction.UNDO)
    )
    cleared, back = expected(cutout_journal.job, [clear, clear]), expected(cutout_journal.job, [clear, undo])
    assert cleared is not None
    assert back is not None
    assert ((cleared.number, cleared.strokes), back.strokes) == ((2, ()), (CLICK,))


def test_a_correction_waits_for_a_worker_that_has_the_picture_in_hand(cutout_journal: CutoutJournal) -> None:
    """The first request is finished first; nothing is lost."""
    cutout_journal.draw(CLICK)
    in_work = cutout_journal.claim()
    assert cutout_journal.draw(CLICK, LINE) is None
    kept = cutout_journal.journal.corrections.of(cutout_journal.job)
    assert kept is not None
    assert kept.strokes == (CLICK,)
    cutout_journal.finish(in_work)
    cutout_journal.handler.poll()
    assert cutout_journal.job.state is JobState.QUEUED
    kept = cutout_journal.journal.corrections.of(cutout_journal.job)
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
    cutout_journal: CutoutJournal, spoil: str, why: str
) -> None:
    """No correction is recorded."""
    seen = ""
    argument = None
    match spoil:
        case "replaced":
            cutout_journal.publish(mtime_ns=2, sha256="6" * 64)
        case "another cutout":
            seen = "e" * 64
        case "missing":
            cutout_journal.journal.sources.note_places("f", {"a.jpg": 5})
        case "gone":
            cutout_journal.journal.queue.finish(cutout_journal.number, JobState.GONE, detail={})
        case "no job":
            argument = FixRequest(job=77, strokes=(CLICK,)).to_argument()
        case "nonsense":
            argument = '{"job": 1, "action": "draw", "strokes": [{"kind": "keep"}]}'
    before = cutout_journal.job.state
    answer = (
        cutout_journal.ask(Verb.FIX, argument)
        if argument is not None
        else cutout_journal.draw(CLICK, seen=seen)
    )
    assert answer is not None
    assert why in answer
    assert cutout_journal.job.state is before
    assert cutout_journal.journal.corrections.last("f", "a.jpg", 0) is None


@pytest.mark.parametrize("moves", [True, False])
def test_a_rejected_cutout_whose_original_was_moved_away_can_be_corrected(
    cutout_journal: CutoutJournal, *, moves: bool
) -> None:
    """If the folder moves originals, the original is searched there; otherwise it is gone, and the person is told so."""
    folders: Any = cutout_journal.handler._folders  # noqa: SLF001 -- which has no folder of its own
    folders.active["f"] = SimpleNamespace(
        folder=SimpleNamespace(originals_dir="/put/away" if moves else None)
    )
    cutout_journal.journal.queue.finish(
        cutout_journal.number,
        JobState.FAILED,
        detail={"failure": {"code": FailureCode.REJECTED}},
        sha256=SHA256,
    )
    cutout_journal.journal.sources.note_places("f", {"a.jpg": 5})
    answer = cutout_journal.draw(CLICK)
    if moves:
        assert answer == ""
        assert (cutout_journal.job.state, cutout_journal.job.forced) == (JobState.QUEUED, True)
    else:
        assert "is not in its folder any more" in str(answer)


def test_strokes_that_a_worker_could_not_follow_can_be_undone(cutout_journal: CutoutJournal) -> None:
    """As for lack of memory: the former cutout is still there."""
    cutout_journal.draw(CLICK)
    cutout_journal.journal.queue.finish(cutout_journal.claim().id, JobState.FAILED, detail={})
    assert (
        cutout_journal.ask(
            Verb.FIX, FixRequest(job=cutout_journal.number, action=FixAction.UNDO).to_argument()
        )
        == ""
    )
    assert cutout_journal.job.state is JobState.QUEUED


def test_strokes_over_other_bytes_are_dropped_once_the_new_ones_are_published(
    cutout_journal: CutoutJournal,
) -> None:
    """The strokes are kept until then, since the new version may never be cut."""
    cutout_journal.draw(CLICK)
    cutout_journal.finish(cutout_journal.claim())
    cutout_journal.journal.sources.accept("f", [Version(path="a.jpg", size=9, mtime_ns=2)])
    newer = cutout_journal.claim()
    assert cutout_journal.journal.corrections.last("f", "a.jpg", 0) is not None
    assert cutout_journal.finish(newer, sha256="6" * 64) == 1
    assert cutout_journal.journal.corrections.last("f", "a.jpg", 0) is None


def test_a_picture_of_which_the_metadata_alone_changed_keeps_what_was_drawn(
    cutout_journal: CutoutJournal,
) -> None:
    """A rating is no reason to drop it."""
    cutout_journal.draw(CLICK)
    cutout_journal.finish(cutout_journal.claim())
    cutout_journal.journal.sources.accept("f", [Version(path="a.jpg", size=9, mtime_ns=2)])
    rated = cutout_journal.claim()
    cutout_journal.journal.leave_unchanged(
        rated, sha256="6" * 64, generation=0, detail={}, cleanup_pending=False
    )
    found = Reader(cutout_journal.journal.store).job(rated.id)
    assert found is not None
    kept = cutout_journal.journal.corrections.of(found)
    assert kept is not None
    assert kept.strokes == (CLICK,)


@pytest.mark.parametrize("action", [FixAction.DRAW, FixAction.UNDO])
def test_a_daemon_that_is_killed_once_a_correction_is_written_down_does_not_do_it_again(
    cutout_journal: CutoutJournal, monkeypatch: pytest.MonkeyPatch, action: FixAction
) -> None:
    """Otherwise an undo would take two steps back; the correction and the removal of its request are one transaction."""
    cutout_journal.draw(CLICK)
    cutout_journal.draw(CLICK, LINE)
    drawn = (CLICK, LINE, CLICK) if action is FixAction.DRAW else ()
    monkeypatch.setattr(cutout_journal.handler, "_answer", lambda *_: pytest.fail("killed", pytrace=False))
    with pytest.raises(pytest.fail.Exception):
        cutout_journal.ask(
            Verb.FIX, FixRequest(job=cutout_journal.number, action=action, strokes=drawn).to_argument()
        )
    assert cutout_journal.journal.commands.pending() == []
    kept = cutout_journal.journal.corrections.of(cutout_journal.job)
    assert kept is not None
    assert kept.strokes == (drawn or (CLICK,))


def test_only_the_last_corrections_of_a_picture_are_kept(cutout_journal: CutoutJournal) -> None:
    """The journal does not grow without limit, however long somebody draws."""
    for number in range(KEPT + 3):
        cutout_journal.draw(replace(CLICK, radius=1.0 + number))
    kept = cutout_journal.journal.store.rows("SELECT number FROM correction")
    assert [row["number"] for row in kept] == list(range(4, KEPT + 4))


def test_a_folder_that_is_called_otherwise_keeps_what_was_drawn(cutout_journal: CutoutJournal) -> None:
    """A folder is identified by its marker; its name is a label."""
    cutout_journal.draw(CLICK)
    with cutout_journal.journal.store.transaction():
        cutout_journal.journal.store.write(SQL.rename_folder, before="f", after="g")
    assert cutout_journal.journal.corrections.last("g", "a.jpg", 0) is not None


def test_a_source_that_is_forgotten_takes_what_was_drawn_with_it(cutout_journal: CutoutJournal) -> None:
    """Nothing of it stays in the journal."""
    cutout_journal.draw(CLICK)
    cutout_journal.finish(cutout_journal.claim())
    cutout_journal.journal.history.forget("f", ["a.jpg"])
    assert cutout_journal.journal.store.rows("SELECT * FROM correction") == []


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
    cutout_journal: CutoutJournal,
) -> None:
    """The person is told, and still has them; the journal is unchanged."""
    make_room = full(cutout_journal.elsewhere)
    with pytest.raises(JournalError, match="full"):
        cutout_journal.draw(*MANY)
    assert cutout_journal.journal.commands.pending() == []
    make_room()
    assert cutout_journal.draw(*MANY) == ""
    kept = cutout_journal.journal.corrections.of(cutout_journal.job)
    assert kept is not None
    assert kept.strokes == MANY


def test_strokes_that_the_daemon_cannot_write_down_wait_for_room(cutout_journal: CutoutJournal) -> None:
    """Strokes are never recorded without their job, nor a job without its strokes."""
    make_room = full(cutout_journal.journal.store)
    with pytest.raises(JournalError, match="full"):
        cutout_journal.draw(*MANY)
    before = cutout_journal.job.state
    make_room()
    cutout_journal.handler.poll()
    assert (before, cutout_journal.job.state) == (JobState.DONE, JobState.QUEUED)
    kept = cutout_journal.journal.corrections.of(cutout_journal.job)
    assert kept is not None
    assert kept.strokes == MANY
    assert cutout_journal.journal.commands.pending() == []


def test_a_decision_is_undone_by_a_command_and_decided_again(cutout_journal: CutoutJournal) -> None:
    """A later decision waits until the cutout is in review again."""
    assert cutout_journal.ask(Verb.HOLD, str(cutout_journal.number)) == ""
    assert cutout_journal.job.detail["decision"] == "hold"
    assert cutout_journal.ask(Verb.REJECT, str(cutout_journal.number)) is None
    cutout_journal.finish(cutout_journal.job, state=JobState.REVIEW)
    cutout_journal.handler.poll()
    assert cutout_journal.job.detail["decision"] == "reject"


@pytest.mark.parametrize("argument", ["77", "x", "1 2"])
def test_a_decision_about_another_job_cannot_be_undone(cutout_journal: CutoutJournal, argument: str) -> None:
    """The answer gives the reason."""
    assert cutout_journal.ask(Verb.HOLD, argument)


def test_a_picture_is_cut_again_by_another_model(cutout_journal: CutoutJournal) -> None:
    """By the folder's own model again once `retry` names none."""
    assert cutout_journal.ask(Verb.RETRY, f"{cutout_journal.number} model=isnet") == ""
    assert cutout_journal.job.model == "isnet"
    cutout_journal.finish(cutout_journal.claim())
    cutout_journal.draw(CLICK)
    assert cutout_journal.job.model == "isnet"
    cutout_journal.finish(cutout_journal.claim())
    assert cutout_journal.ask(Verb.RETRY, str(cutout_journal.number)) == ""
    assert cutout_journal.job.model == ""
