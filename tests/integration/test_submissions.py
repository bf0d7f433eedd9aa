"""Submitted pictures get a name and a job exactly once, wherever the monitor was interrupted."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.clock import Clock
from cutoutd.folder import submissions as module
from cutoutd.folder.scope import FolderScope
from cutoutd.folder.submissions import SubmissionIntake
from cutoutd.fs.tree import Tree
from cutoutd.intake import incoming
from cutoutd.intake.rules import Rules
from cutoutd.job_options import JobOptions
from cutoutd.jobs import JobState
from cutoutd.journal.reader import Reader
from cutoutd.journal.submissions import Submission
from cutoutd.submission_refusals import SubmissionRefusal
from cutoutd.submitted_names import plain_name
from cutoutd.submitting import submit
from tests.integration.parts import JPEG, NAME, states, until
from tests.integration.test_folder_monitor import MonitoredFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.jobs import Job

OPTIONS = JobOptions(background="#ffffff")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., MonitoredFolder]]:
    """A function that makes monitored folders; they are ended with the test."""
    created: list[MonitoredFolder] = []

    def build(**given: Any) -> MonitoredFolder:  # noqa: ANN401 -- as of MonitoredFolder
        created.append(MonitoredFolder(tmp_path, **given))
        return created[-1]

    yield build
    for watched in created:
        watched.monitor.stop()
        watched.monitor.thread.join(20.0)
        watched.journal.close()


def submit_picture(
    watched: MonitoredFolder, name: str = "a.jpg", *, key: str = "k", content: bytes = JPEG
) -> Submission:
    """Submit a picture as a program beside the daemon does."""
    with incoming.new_file(watched.root) as file:
        os.write(file.descriptor, content)
        wanted = Submission(key=key, folder=NAME, spool=file.name, name=name, options=OPTIONS)
        return submit(watched.journal.store, Clock(), watched.root, file, wanted)


def ended(watched: MonitoredFolder, key: str = "k") -> Submission:
    """Wait for the end of a request; return it."""

    def is_over() -> bool:
        found = watched.journal.submissions.find(key)
        return found is not None and found.is_over

    until(is_over, "the end of the request")
    found = watched.journal.submissions.find(key)
    assert found is not None
    return found


def jobs(watched: MonitoredFolder) -> list[Job]:
    """Return all jobs in the journal."""
    return list(Reader(watched.journal.store).jobs())


def spooled(watched: MonitoredFolder) -> list[str]:
    """Return the names in the incoming directory."""
    return sorted(path.name for path in (watched.root / incoming.DIRECTORY).iterdir())


def test_a_submission_is_accepted_at_once_with_its_options(make: Callable[..., MonitoredFolder]) -> None:
    """Under its name, whatever the quiet time; once, whatever later scans and events find."""
    watched = make(settle_s=60.0, poll_interval_s=0.1, watch="poll")
    watched.begin()
    assert submit_picture(watched).job is None
    watched.monitor.take_submissions()
    submission = ended(watched)
    (job,) = jobs(watched)
    assert (submission.job, submission.path) == (job.id, "a.jpg")
    assert (job.path, job.state, JobOptions.parse(job.options)) == ("a.jpg", JobState.QUEUED, OPTIONS)
    assert (watched.root / "a.jpg").read_bytes() == JPEG
    assert spooled(watched) == []
    looks = watched.monitor.snapshot.looks
    until(lambda: watched.monitor.snapshot.looks > looks + 3, "more scans")
    assert [one.id for one in jobs(watched)] == [job.id]
    assert watched.heard.count == 1


def test_a_submission_that_is_announced_while_another_is_taken_is_not_forgotten(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the very moment at which the monitor looks whether any is to be tried again."""
    watched = make(watch="poll", poll_interval_s=60.0, rescan_interval_s=3600.0)
    watched.begin()
    some_are_delayed: property = vars(SubmissionIntake)["some_are_delayed"]
    announced: list[Submission] = []

    def announce(intake: SubmissionIntake) -> bool:
        if not announced and watched.journal.submissions.find("first") is not None:
            announced.append(submit_picture(watched, "second.jpg", key="second"))
            watched.monitor.take_submissions()
        return bool(some_are_delayed.__get__(intake))

    monkeypatch.setattr(SubmissionIntake, "some_are_delayed", property(announce))
    submit_picture(watched, "first.jpg", key="first")
    watched.monitor.take_submissions()
    assert ended(watched, "first").path == "first.jpg"
    assert ended(watched, "second").path == "second.jpg"


def test_submissions_from_before_the_start_come_first(make: Callable[..., MonitoredFolder]) -> None:
    """Also where existing files are skipped at the first start."""
    watched = make(existing="skip", settle_s=0.1)
    watched.put("old.jpg")
    submit_picture(watched)
    watched.begin()
    ended(watched)
    until(lambda: "old.jpg" in states(watched.journal), "the first scan")
    assert states(watched.journal) == {"old.jpg": JobState.SKIPPED, "a.jpg": JobState.QUEUED}


def test_a_second_request_with_a_key_is_the_first_one(make: Callable[..., MonitoredFolder]) -> None:
    """Before and after it is accepted; the second file is removed."""
    watched = make()
    first = submit_picture(watched)
    assert submit_picture(watched, "b.jpg").spool == first.spool
    assert spooled(watched) == [first.spool]
    watched.begin()
    job = ended(watched).job
    assert submit_picture(watched, "c.jpg").job == job
    assert [one.path for one in jobs(watched)] == ["a.jpg"]
    assert spooled(watched) == []


def test_a_name_that_is_taken_gets_a_number(make: Callable[..., MonitoredFolder]) -> None:
    """The name of a file, or of a picture that the journal knows although its file is away.

    Nothing is overwritten.
    """
    watched = make(settle_s=0.1)
    watched.put("a.jpg", JPEG + b"other")
    watched.begin()
    watched.accepts("a.jpg")
    submit_picture(watched)
    submit_picture(watched, key="l")
    watched.monitor.take_submissions()
    assert {ended(watched).path, ended(watched, "l").path} == {"a-2.jpg", "a-3.jpg"}
    assert (watched.root / "a.jpg").read_bytes() == JPEG + b"other"


@pytest.mark.parametrize(
    ("given", "name", "path"),
    [
        ({}, "x.part", "x.jpg"),
        ({"include": ("*.jpg",)}, "q.tif", "q.jpg"),
        ({"include": ("*.jpg",)}, "noext", "noext.jpg"),
        ({"exclude": ("*.jpg",)}, "a.jpg", "a.png"),
    ],
)
def test_a_name_that_the_folder_does_not_take_becomes_one_that_it_takes(
    make: Callable[..., MonitoredFolder], given: dict[str, Any], name: str, path: str
) -> None:
    """The client was told that the picture is accepted, so it must not be refused later."""
    watched = make(**given)
    watched.begin()
    submit_picture(watched, name)
    watched.monitor.take_submissions()
    assert ended(watched).path == path


@pytest.mark.parametrize(
    ("given", "content", "refusal", "why"),
    [
        ({}, b"<html>" + b"x" * 100, SubmissionRefusal.NO_PICTURE, "not a picture"),
        ({}, b"", SubmissionRefusal.NO_PICTURE, "not a picture"),
        ({"include": ("only-this.png",)}, JPEG, SubmissionRefusal.NAME, "takes no file with a name"),
    ],
)
def test_a_submission_that_cannot_be_accepted_is_refused_with_a_reason(
    make: Callable[..., MonitoredFolder],
    given: dict[str, Any],
    content: bytes,
    refusal: SubmissionRefusal,
    why: str,
) -> None:
    """And its code; none of its files is left."""
    watched = make(**given)
    watched.begin()
    submit_picture(watched, "page", content=content)
    watched.monitor.take_submissions()
    submission = ended(watched)
    assert submission.refusal is refusal
    assert why in (submission.refused or "")
    until(lambda: spooled(watched) == [], "the removal of its file")
    assert jobs(watched) == []


def test_a_file_that_was_removed_is_reported(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody cleans up in the input."""
    monkeypatch.setattr(module, "MISSING_S", 0)
    watched = make()
    submission = submit_picture(watched)
    (watched.root / incoming.path_of(submission.spool)).unlink()
    watched.begin()
    refused = ended(watched)
    assert refused.refusal is SubmissionRefusal.GONE
    assert "not there any more" in (refused.refused or "")


@pytest.mark.parametrize("reached", ["named", "renamed", "both names"])
def test_an_interrupted_submission_is_finished(
    make: Callable[..., MonitoredFolder], reached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its name was recorded, after its rename, and between the two steps of a rename by links.

    The directories are synced in any case, since it is unknown whether they were.
    """
    synced: list[str] = []
    monkeypatch.setattr(Tree, "sync", lambda _, directory: synced.append(directory))
    watched = make(settle_s=60.0)
    submission = submit_picture(watched)
    watched.journal.submissions.name(submission.key, "a.jpg")
    spool, target = watched.root / incoming.path_of(submission.spool), watched.root / "a.jpg"
    if reached == "both names":
        os.link(spool, target)
    elif reached == "renamed":
        spool.rename(target)
    watched.begin()
    assert ended(watched).path == "a.jpg"
    assert [job.path for job in jobs(watched)] == ["a.jpg"]
    assert spooled(watched) == []
    assert target.stat().st_nlink == 1
    assert synced[-2:] == ["", incoming.DIRECTORY]


def test_a_name_that_another_file_took_meanwhile_is_left_to_it(make: Callable[..., MonitoredFolder]) -> None:
    """The name was recorded, and then another file got it."""
    watched = make(settle_s=60.0)
    submission = submit_picture(watched)
    watched.journal.submissions.name(submission.key, "a.jpg")
    watched.put("a.jpg", JPEG + b"other")
    watched.begin()
    assert ended(watched).path == "a-2.jpg"
    assert (watched.root / "a.jpg").read_bytes() == JPEG + b"other"


def test_submissions_that_wait_together_share_transactions_and_syncs(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction for all names and one for all acceptances, and one sync of each directory.

    Each picture has its own name and options.
    """
    watched = make(settle_s=60.0)
    for number in range(5):
        submit_picture(watched, "a.jpg" if number < 3 else f"{number}.jpg", key=f"k{number}")
    commits: list[str] = []
    watched.journal.store._connection.set_trace_callback(  # noqa: SLF001 -- what reaches the disk
        lambda sql: commits.append(sql) if sql == "COMMIT" else None
    )
    synced: list[str] = []
    monkeypatch.setattr(Tree, "sync", lambda _, directory: synced.append(directory))
    scope = FolderScope(
        name=NAME,
        root=os.fspath(watched.root),
        rules=Rules(),
        sources=watched.journal.sources,
        clock=Clock(),
    )
    taken = SubmissionIntake(scope, watched.journal.submissions).take()
    assert sorted(taken) == ["3.jpg", "4.jpg", "a-2.jpg", "a-3.jpg", "a.jpg"]
    assert {(job.path, job.options) for job in jobs(watched)} == {(path, OPTIONS.text()) for path in taken}
    assert len(commits) == 2
    assert synced == ["", incoming.DIRECTORY]
    assert spooled(watched) == []


def test_submissions_that_were_interrupted_together_are_each_finished(
    make: Callable[..., MonitoredFolder],
) -> None:
    """All names were recorded; some were renamed, and one was not checked yet."""
    watched = make(settle_s=60.0)
    for number in range(4):
        submission = submit_picture(watched, f"{number}.jpg", key=f"k{number}", content=JPEG + b"%d" % number)
        if number < 3:
            watched.journal.submissions.name(submission.key, f"{number}.jpg")
        if number < 2:
            (watched.root / incoming.path_of(submission.spool)).rename(watched.root / f"{number}.jpg")
    watched.begin()
    for number in range(4):
        assert ended(watched, f"k{number}").path == f"{number}.jpg"
        assert (watched.root / f"{number}.jpg").read_bytes() == JPEG + b"%d" % number
    assert len(jobs(watched)) == 4


def test_a_name_that_a_directory_has_is_left_to_it(make: Callable[..., MonitoredFolder]) -> None:
    """A directory that only the rename finds; the other waiting pictures keep their names."""
    watched = make(settle_s=60.0)
    (watched.root / "a.jpg").mkdir()
    for name in ("a.jpg", "b.jpg"):
        submit_picture(watched, name, key=name)
    watched.begin()
    assert ended(watched, "a.jpg").path == "a-2.jpg"
    assert ended(watched, "b.jpg").path == "b.jpg"


def test_an_error_over_one_of_several_refuses_that_submission(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its name or its acceptance; the transaction is repeated for each picture by itself."""
    watched = make(settle_s=60.0)
    accept = watched.journal.sources.accept_submitted

    def failing(folder: str, submitted: Any, names: Any) -> Any:  # noqa: ANN401 -- as of what it stands for
        if "named" in names or any(one.key == "accepted" for _, one in submitted):
            raise LookupError("a fault")
        return accept(folder, submitted, names)

    monkeypatch.setattr(watched.journal.sources, "accept_submitted", failing)
    for key in ("named", "accepted", "good"):
        submit_picture(watched, f"{key}.jpg", key=key)
    watched.begin()
    assert ended(watched, "good").path == "good.jpg"
    for key in ("named", "accepted"):
        assert "a fault" in (ended(watched, key).refused or "")
        assert ended(watched, key).refusal is SubmissionRefusal.INTERNAL


@pytest.mark.parametrize("code", [None, "of-later"])
def test_a_refusal_without_a_known_code_is_shown_as_an_internal_error(
    make: Callable[..., MonitoredFolder], code: str | None
) -> None:
    """Of a journal that was edited, or to which an earlier version wrote no code."""
    watched = make()
    submit_picture(watched)
    with watched.journal.store.transaction():
        watched.journal.store.write("UPDATE submission SET refused = 'why', refusal = ?", (code,))
    assert ended(watched).refusal is SubmissionRefusal.INTERNAL


@pytest.mark.parametrize("step", ["rename_new", "scan_file"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS, errno.EACCES])
def test_an_error_of_the_disk_delays_that_submission(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    """The client was told that its picture is accepted, so it must not be refused now."""
    watched = make(settle_s=60.0, poll_interval_s=0.1, watch="poll")
    works = getattr(module, step)
    failed: list[int] = []

    def failing(*given: Any) -> Any:  # noqa: ANN401 -- as of what it stands for
        if "bad.jpg" in str(given) and len(failed) < 2:
            failed.append(number)
            raise OSError(number, os.strerror(number))
        return works(*given)

    monkeypatch.setattr(module, step, failing)
    for name in ("bad.jpg", "good.jpg"):
        submit_picture(watched, name, key=name)
    watched.begin()
    assert ended(watched, "good.jpg").path == "good.jpg"
    assert ended(watched, "bad.jpg").path == "bad.jpg"
    assert len(failed) == 2
    assert (watched.root / "bad.jpg").read_bytes() == JPEG
    assert len(jobs(watched)) == 2


def test_a_file_that_is_away_for_a_while_is_waited_for(make: Callable[..., MonitoredFolder]) -> None:
    """Another directory was mounted in the folder's place; the picture must not be refused for good."""
    watched = make(settle_s=60.0, poll_interval_s=0.1, watch="poll")
    submission = submit_picture(watched)
    submit_picture(watched, "good.jpg", key="good")
    spool = watched.root / incoming.path_of(submission.spool)
    spool.rename(watched.root.with_name("away.jpg"))
    watched.begin()
    assert ended(watched, "good").path == "good.jpg"
    found = watched.journal.submissions.find("k")
    assert found is not None
    assert not found.is_over
    watched.root.with_name("away.jpg").rename(spool)
    assert ended(watched).path == "a.jpg"


def test_a_request_whose_file_is_gone_gets_no_other_one(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name was recorded, and another picture has the name by now."""
    monkeypatch.setattr(module, "MISSING_S", 0)
    watched = make(settle_s=0.1)
    watched.put("a.jpg")
    watched.begin()
    watched.accepts("a.jpg")
    submission = submit_picture(watched)
    watched.journal.submissions.name(submission.key, "a.jpg")
    (watched.root / incoming.path_of(submission.spool)).unlink()
    watched.monitor.take_submissions()
    assert "not there any more" in (ended(watched).refused or "")
    assert len(jobs(watched)) == 1


def test_any_number_of_pictures_can_have_one_name(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many clients name all of theirs `image.jpg`, also more than ten thousand."""
    monkeypatch.setattr("cutoutd.folder.submissions._NUMBERED", 2)
    watched = make(settle_s=60.0)
    for number in range(4):
        submit_picture(watched, key=f"k{number}")
    watched.begin()
    names = {ended(watched, f"k{number}").path for number in range(4)}
    assert {"a.jpg", "a-2.jpg"} < names
    assert len(names) == 4


def test_interrupted_uploads_are_swept_after_a_day(make: Callable[..., MonitoredFolder]) -> None:
    """Except files that were written to since, and files of a waiting request."""
    watched = make()
    yesterday = time.time() - incoming.UNCLAIMED_S - 60
    with incoming.new_file(watched.root) as file:
        old = file.name
    os.utime(watched.root / incoming.path_of(old), (yesterday, yesterday))
    with incoming.new_file(watched.root) as file:
        young = file.name
    watched.begin()
    until(lambda: spooled(watched) == [young], "the sweep")


def test_old_ended_requests_are_forgotten_and_waiting_ones_are_not(
    make: Callable[..., MonitoredFolder],
) -> None:
    """The same key means a new request a day later."""
    watched = make()
    submissions = watched.journal.submissions
    for key in ("over", "waits"):
        submit_picture(watched, key=key)
    submissions.refuse("over", SubmissionRefusal.GONE, "why")
    with watched.journal.store.transaction():
        watched.journal.store.write("UPDATE submission SET posted_us = 1")
    assert submissions.forget_old() == 1
    assert submissions.find("over") is None
    assert submissions.find("waits") is not None


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("a.jpg", "a.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\b.png", "b.png"),
        ("x\0y\n\u202ez.jpg", "xyz.jpg"),
        ("", "picture"),
        ("..", "picture"),
        (" .hidden.jpg", "hidden.jpg"),
    ],
)
def test_a_submitted_name_is_made_a_plain_one(sent: str, name: str) -> None:
    """The name has no directories and no hidden characters."""
    assert plain_name(sent) == name


def test_a_long_name_is_shortened_with_its_extension() -> None:
    """File systems limit names to 255 bytes."""
    name = plain_name("ä" * 400 + ".jpeg")
    assert len(os.fsencode(name)) <= 255
    assert name.endswith(".jpeg")
