"""Status for people and metrics for machines, from a test's own journal and status file."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.cli import board
from cutoutd.cli.closing import rate, time_left
from cutoutd.cli.status import as_document
from cutoutd.daemon.status_file import StatusFile
from cutoutd.daemon.tally import Tally
from cutoutd.errors import FailureCode, UsageError
from cutoutd.folder.status import FolderState, FolderStatus, PendingFile
from cutoutd.jobs import JobState, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.state import StateDirectory
from cutoutd.overview import metrics
from cutoutd.overview.overview import Overview, midnight_us, per_minute, room_of, summarise
from cutoutd.settings.schema import Folder, Service, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FakeClock

NASTY = 'shop "1\\2"'
SAMPLE = re.compile(
    r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"(,[a-z]+="[^"]*")*\})? -?[0-9.]+(e[+-]?[0-9]+)?'
)


class OverviewSetup:
    """A state directory, its journal, and two folders."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.clock = clock
        self.state = StateDirectory(root / "state")
        self.journal = Journal(root / "state", session=self.state.session, clock=clock)
        self.settings = Settings(
            service=Service(state_dir=root / "state"),
            folder=(
                Folder(name="shop", input=root / "in", output=root / "out"),
                Folder(name=NASTY, input=root / "in2", output=root / "out2"),
            ),
        )

    def job(self, name: str, state: JobState = JobState.DONE, **detail: Any) -> None:  # noqa: ANN401 -- JSON
        """Add a picture that ended in this state."""
        (number,) = self.journal.sources.accept("shop", [Version(path=name, size=1, mtime_ns=1)])
        if state is not JobState.QUEUED:
            self.journal.queue.finish(number, state, detail=detail)

    def show(self, status: FolderStatus) -> None:
        """Write the daemon's status of the folder."""
        file = StatusFile(self.settings.service.state_dir, self.state.session)
        file.show({"shop": status}, workers=2, facts=None, paused=False)

    def summarise(self) -> Overview:
        """Return the overview."""
        overview_setup = {str(self.settings.folder[0].output): 5 << 30}
        return summarise(self.settings, self.journal.store, self.clock, overview_setup)


@pytest.fixture
def overview_setup(tmp_path: Path, clock: FakeClock) -> Iterator[OverviewSetup]:
    """A state directory of the test's own, with a running daemon."""
    overview_setup = OverviewSetup(tmp_path, clock)
    with overview_setup.state:
        yield overview_setup
    overview_setup.journal.close()


def text(overview: Overview) -> str:
    """Return the status as a pipe receives it."""
    return "\n".join(map(board.plain, board.lines(overview)))


def test_published_cutouts_that_may_well_be_wrong_are_counted(overview_setup: OverviewSetup) -> None:
    """For people, programs and metrics; those in review have their own count."""
    overview_setup.job("a.jpg", outputs=["/out/a.png"])
    overview_setup.job("b.jpg", outputs=["/out/b.png"], doubtful=True, why="doubtful, score 0.44")
    overview = overview_setup.summarise()
    assert "  1 published cutout is doubtful (`cutoutd jobs --doubtful`)" in text(overview)
    assert "last: b.png" in text(overview)
    assert ", doubtful" in text(overview)
    assert as_document(overview)["folders"][0]["doubtful"] == 1
    assert 'cutoutd_doubtful{folder="shop"} 1' in metrics.render(overview)


def test_the_status_shows_the_state_of_a_folder(overview_setup: OverviewSetup) -> None:
    """Watching, waiting, cut today, failed, in review, seconds per picture, the last picture, free space."""
    for number, seconds in enumerate((1.0, 9.0, 2.0)):
        overview_setup.job(f"{number}.jpg", outputs=[f"/out/{number}.png"], seconds=seconds)
    overview_setup.job("bad.jpg", JobState.FAILED)
    overview_setup.job("doubtful.jpg", JobState.REVIEW, seconds=3.0)
    overview_setup.job("waits.jpg", JobState.QUEUED)
    overview_setup.show(FolderStatus(watching=FolderState.NATIVE, settling=4))
    output = text(overview_setup.summarise())
    for part in (
        "cutoutd is running (process",
        "1 waiting, 0 in work, 4 arriving, 3 cut today, 1 to review, 1 failed",
        "2.5 s a picture",
        "5.4 GB free",
        "  watching",
    ):
        assert part in output, output
    assert "last: " in output


def test_rejected_pictures_are_counted_apart_from_failed_ones(overview_setup: OverviewSetup) -> None:
    """As on the page; in JSON `failed` has both, as before, and `rejected` says how many of them were rejected."""
    overview_setup.job("bad.jpg", JobState.FAILED, failure={"code": "Other", "cause": "it is torn"})
    assert " 1 failed\n" in text(overview_setup.summarise())
    overview_setup.job(
        "no.jpg", JobState.FAILED, failure={"code": FailureCode.REJECTED, "cause": "rejected in review"}
    )
    output = text(overview_setup.summarise())
    assert "0 to review, 1 failed, 1 rejected\n" in output
    assert "lists all that failed" not in output
    (folder, other) = as_document(overview_setup.summarise())["folders"]
    assert (folder["failed"], folder["rejected"], other["rejected"]) == (2, 1, 0)


def test_a_picture_that_failed_and_was_tried_again_counts_once() -> None:
    """In the closing line, as in `status`: the count is of failed pictures, not of failures."""
    tally = Tally()
    for job, state in ((1, JobState.FAILED), (1, JobState.FAILED), (2, JobState.FAILED), (2, JobState.DONE)):
        tally.add(job, state)
    tally.add(3, JobState.GONE)
    assert tally.counts() == {"done": 1, "review": 0, "failed": 1, "unchanged": 0, "doubtful": 0}


def test_retried_pictures_do_not_count_as_waiting(overview_setup: OverviewSetup) -> None:
    """Retries have their own count, as on the terminal; in JSON `waiting` includes both."""
    for name in ("waits.jpg", "torn.jpg", "late.jpg"):
        overview_setup.job(name, JobState.QUEUED)
    for number in (2, 3):
        overview_setup.journal.queue.delay(number, 60.0, detail={})
    assert "  1 waiting, 2 to be tried again, 0 in work" in text(overview_setup.summarise())
    assert as_document(overview_setup.summarise())["folders"][0]["waiting"] == 3


def test_held_back_and_doubtful_cutouts_have_separate_lines(overview_setup: OverviewSetup) -> None:
    """Each line has the command that lists its pictures."""
    overview_setup.job("a.jpg", JobState.REVIEW, why="no subject")
    overview_setup.job("b.jpg", outputs=["/out/b.png"], doubtful=True)
    output = text(overview_setup.summarise())
    assert "1 is held back for review (`cutoutd review list`)" in output
    assert "1 published cutout is doubtful (`cutoutd jobs --doubtful`)" in output


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (10.3, "10 s"), (59.7, "1 min"), (200.0, "3 min"), (7500.0, "2 h 5 min")],
)
def test_the_remaining_time_is_shown_in_whole_seconds(seconds: float, words: str) -> None:
    """An estimate has no decimals."""
    assert time_left(seconds) == words


@pytest.mark.parametrize(
    ("per_minute", "words"), [(0.42, "0.42"), (9.23, "9.2"), (44.7, "45"), (1234.0, "1234")]
)
def test_a_rate_is_shown_without_an_exponent(per_minute: float, words: str) -> None:
    """Also for a fast machine."""
    assert rate(per_minute) == words


def test_originals_that_are_still_to_be_moved_are_counted(overview_setup: OverviewSetup) -> None:
    """The disk that they go to may be full, while cutting goes on."""
    for number in range(3):
        (job,) = overview_setup.journal.sources.accept(
            "shop", [Version(path=f"{number}.jpg", size=1, mtime_ns=1)]
        )
        overview_setup.journal.queue.finish(job, JobState.DONE, detail={}, cleanup_pending=number > 0)
    document = as_document(overview_setup.summarise())
    assert [folder["originals_to_go"] for folder in document["folders"]] == [2, 0]
    assert "2 originals are still to be moved or deleted" in text(overview_setup.summarise())


def test_skipped_pictures_have_their_reason(overview_setup: OverviewSetup) -> None:
    """With a count for each reason, as text and as JSON."""
    overview_setup.job("a.jpg", JobState.SKIPPED, why="it was there before the first start")
    overview_setup.job("b.jpg", JobState.SKIPPED, why="it was there before the first start")
    overview_setup.job("c.nef", JobState.SKIPPED, why="the jpg of the same shot is cut")
    output = text(overview_setup.summarise())
    assert "skipped: 2 (it was there before the first start)" in output
    assert "skipped: 1 (the jpg of the same shot is cut)" in output
    assert list(as_document(overview_setup.summarise())["folders"][0]["skipped"].values()) == [2, 1]


def test_a_folder_that_stands_by_has_the_reason(overview_setup: OverviewSetup) -> None:
    """A file that is not accepted yet is named on one line, whatever its name contains."""
    held = PendingFile(path="x\n\x1b[31m.jpg", why="still being written")
    overview_setup.show(
        FolderStatus(watching=FolderState.STANDING_BY, why="the share is away", held_up=(held,))
    )
    output = text(overview_setup.summarise())
    assert "STANDING BY: the share is away" in output
    assert "\x1b" not in output
    assert "not taken yet: x\\n" in output


def test_links_and_what_cannot_be_read_are_counted(overview_setup: OverviewSetup) -> None:
    """As text and as JSON, if there are any; the log has their names."""
    assert "skipped" not in text(overview_setup.summarise())
    overview_setup.show(FolderStatus(watching=FolderState.NATIVE, links=3, unreadable=2))
    assert "links skipped: 3" in text(overview_setup.summarise())
    assert "cannot be read: 2" in text(overview_setup.summarise())
    folder = as_document(overview_setup.summarise())["folders"][0]
    assert (folder["links_skipped"], folder["unreadable"]) == (3, 2)


def test_a_daemon_that_is_down_is_not_shown_as_watching(
    overview_setup: OverviewSetup, tmp_path: Path
) -> None:
    """Its last status is outdated; the journal still counts."""
    overview_setup.job("a.jpg")
    overview_setup.show(FolderStatus(watching=FolderState.NATIVE))
    other = Settings(service=Service(state_dir=tmp_path / "elsewhere"), folder=overview_setup.settings.folder)
    down = summarise(other, overview_setup.journal.store, overview_setup.clock, {})
    assert not down.running
    assert "is not running" in text(down)
    assert "watching" not in text(down)
    assert "1 cut today" in text(down)


def test_today_begins_at_midnight_here_and_counts_what_is_published(overview_setup: OverviewSetup) -> None:
    """Earlier pictures count for yesterday, and one that is held back counts where it waits for a decision."""
    overview_setup.job("a.jpg")
    overview_setup.job("b.jpg", JobState.REVIEW)
    assert overview_setup.summarise().folders[0].done_today == 1
    overview_setup.clock.advance(24 * 3600)
    assert overview_setup.summarise().folders[0].done_today == 0
    begun = datetime.fromtimestamp(midnight_us(overview_setup.clock.now_us()) / 1e6, tz=UTC).astimezone()
    assert (begun.hour, begun.minute, begun.second) == (0, 0, 0)


def test_the_document_keeps_its_fields_and_has_more(overview_setup: OverviewSetup) -> None:
    """The schema cutoutd.status/1 is read by machines already."""
    overview_setup.job("a.jpg", outputs=["/out/a.png"], seconds=1.5)
    overview_setup.show(FolderStatus(watching=FolderState.POLL, why="as configured"))
    document = json.loads(json.dumps(as_document(overview_setup.summarise())))
    assert document["schema"] == "cutoutd.status/1"
    assert {"running", "pid", "paused", "rebuilt", "workers", "worker", "state_dir", "folders"} <= set(
        document
    )
    folder = document["folders"][0]
    before = {
        "name",
        "watching",
        "why",
        "note",
        "settling",
        "held_up",
        "queue",
        "states",
        "images_per_minute",
        "last",
    }
    assert before | {"input", "output"} <= set(folder)
    assert (folder["states"], folder["queue"], folder["median_s"]) == ({"done": 1}, 0, 1.5)
    assert folder["trouble"] is None
    assert folder["free_bytes"] == 5 << 30
    assert folder["last"]["outputs"] == ["/out/a.png"]


def test_metrics_are_well_formed_and_end_with_their_mark(overview_setup: OverviewSetup) -> None:
    """Each line is a comment or a sample; each family is declared once, before its samples.

    Names are escaped.
    """
    overview_setup.job("a.jpg", seconds=1.0)
    overview_setup.show(FolderStatus(watching=FolderState.NATIVE))
    rendered = metrics.render(overview_setup.summarise())
    assert rendered.endswith("\n# EOF\n")
    declared: set[str] = set()
    for line in rendered.splitlines()[:-1]:
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in declared
            assert kind == "gauge"
            declared.add(name)
        elif not line.startswith("# HELP "):
            assert SAMPLE.fullmatch(line), line
            assert re.split(r"[{ ]", line)[0] in declared
    assert 'cutoutd_pictures{folder="shop",state="done"} 1' in rendered
    assert 'cutoutd_folder_open{folder="shop"} 1' in rendered
    assert 'folder="shop \\"1\\\\2\\""' in rendered
    assert "cutoutd_up 1" in rendered


def test_metrics_exist_where_no_daemon_has_ever_run(overview_setup: OverviewSetup) -> None:
    """An alert needs to know exactly that."""
    nothing = summarise(overview_setup.settings, None, overview_setup.clock, {})
    assert "cutoutd_up 0" in metrics.render(nothing)


def test_a_file_of_metrics_is_complete_and_readable_by_others(
    overview_setup: OverviewSetup, tmp_path: Path
) -> None:
    """node_exporter runs as another user; it never reads a draft's name."""
    path = tmp_path / "cutoutd.prom"
    path.write_text("old")
    metrics.write(metrics.render(overview_setup.summarise()), path)
    assert path.read_text(encoding="utf-8").endswith("# EOF\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.glob("*.prom*")] == [path.name]
    with pytest.raises(UsageError):
        metrics.write("", tmp_path / "nowhere" / "cutoutd.prom")


def test_free_space_is_shown_once_for_each_place_and_not_for_missing_ones(tmp_path: Path) -> None:
    """Free space is queried in a separate process."""
    found = room_of([str(tmp_path), str(tmp_path / "nowhere"), str(tmp_path)])
    assert found[str(tmp_path)]
    assert found[str(tmp_path / "nowhere")] is None


def test_a_paused_daemon_shows_how_to_resume(overview_setup: OverviewSetup) -> None:
    """The first line has the command."""
    overview_setup.show(FolderStatus(watching=FolderState.NATIVE))
    assert "`cutoutd resume`" in text(replace(overview_setup.summarise(), paused=True)).splitlines()[0]


def test_the_pace_counts_working_time_only(overview_setup: OverviewSetup) -> None:
    """Idle minutes do not count, nor minutes that have not passed since the start."""
    assert per_minute([]) == 0.0
    two_workers = [(round(end_s * 1e6), 2.0) for end_s in (2, 2, 4, 4, 6, 6)]
    assert per_minute(two_workers) == pytest.approx(60.0)
    later = [(end_us + 200_000_000, seconds) for end_us, seconds in two_workers]
    assert per_minute(later + two_workers) == pytest.approx(60.0)
    assert per_minute([(1, 0.0)]) == 0.0
    overview_setup.job("a.jpg", seconds=2.0)
    for name in ("b.jpg", "c.jpg"):
        overview_setup.job(name, JobState.QUEUED)
    overview_setup.show(FolderStatus(watching=FolderState.NATIVE))
    output = text(overview_setup.summarise())
    assert "about 4 s left, about 30 a minute while it works, 1 in the last 5 minutes" in output
    folder = as_document(overview_setup.summarise())["folders"][0]
    assert (folder["images_per_minute"], folder["eta_s"], folder["recent"]) == (30.0, 4, 1)
    assert "left" not in text(replace(overview_setup.summarise(), paused=True))
