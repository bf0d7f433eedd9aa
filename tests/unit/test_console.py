"""The output on a terminal while pictures are cut."""

from __future__ import annotations

import errno
import io
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from cutoutd.cli.console import Live
from cutoutd.events import Accepted, FolderChanged, JobEnded, QueueCounts
from cutoutd.folder.status import FolderState, closed_by_system, describe
from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def live() -> Iterator[Live]:
    """The terminal's live display."""
    one = Live("watching in (Ctrl-C ends)")
    yield one
    one.close()


def result(state: JobState, why: str = "") -> JobEnded:
    """Return the event for the end of a picture's job."""
    return JobEnded(job=1, folder="in", path="broken.jpg", state=state, why=why)


def bar(live: Live) -> str:
    """Return the text beside the progress bar."""
    return live._progress.tasks[0].description  # noqa: SLF001 -- rich draws it on terminals alone


def test_a_picture_that_is_retried_is_reported_once(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    """The line says that it is retried; meanwhile no picture counts as being cut."""
    live(Accepted(count=1))
    assert bar(live) == "cutting"
    for _ in range(3):
        live(result(JobState.RETRY, "it ends too early"))
    assert capsys.readouterr().out.count("it ends too early; it is tried again") == 1
    assert bar(live) == "watching in (Ctrl-C ends), 1 to be tried again"
    live(result(JobState.FAILED, "it ends too early"))
    assert bar(live) == "watching in (Ctrl-C ends)"


def test_a_folder_that_is_not_there_is_waited_for_and_not_watched(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its path is named with advice; once the folder exists, the warning is gone."""
    gone = closed_by_system(
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/home/me/in"), "/home/me/in"
    )
    live(FolderChanged(folder="in", is_open=False, message=describe(gone.watching, gone.why)))
    assert bar(live) == "waiting for in (Ctrl-C ends)"
    live(FolderChanged(folder="in", is_open=True, message=describe(FolderState.NATIVE, "")))
    assert bar(live) == "watching in (Ctrl-C ends)"
    shown = capsys.readouterr().out
    assert "! in: standing by: /home/me/in is not there; make it" in shown
    assert "+ in: is watched" in shown


def test_whether_a_folder_is_open_is_not_told_by_the_words_about_it(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before, a message had to begin with certain words."""
    live(FolderChanged(folder="in", is_open=False, message="is watched by nobody"))
    assert bar(live) == "waiting for in (Ctrl-C ends)"
    live(FolderChanged(folder="in", is_open=True, message="works again"))
    assert bar(live) == "watching in (Ctrl-C ends)"
    shown = capsys.readouterr().out
    assert "! in: is watched by nobody" in shown
    assert "+ in: works again" in shown


@pytest.mark.parametrize("code", [errno.EEXIST, errno.ENOTDIR])
def test_a_file_where_a_folder_belongs_is_named(code: int) -> None:
    """Mostly in the output."""
    closed = closed_by_system(OSError(code, os.strerror(code), "/out"), "/in")
    assert closed.why == "/out is a file, or lies below one; a folder belongs there"
    assert closed_by_system(OSError(errno.EIO, "Input/output error"), "/in").why == "/in: Input/output error"


def progress(waiting: int = 0, in_work: int = 0, resting: int = 0, *, is_paused: bool = False) -> QueueCounts:
    """Return the journal's counts of the queue."""
    return QueueCounts(waiting=waiting, in_work=in_work, resting=resting, is_paused=is_paused)


def drawn(live: Live) -> str:
    """Return the progress bar itself."""
    return str(live._progress.tasks[0].fields["bar"])  # noqa: SLF001 -- as above


def test_the_bar_counts_what_an_earlier_run_has_left(live: Live) -> None:
    """By the journal: after a restart, and with renamed or recut pictures."""
    live(progress(waiting=8, in_work=2))
    assert (bar(live), drawn(live)[-5:]) == ("cutting", " 0/10")
    live(result(JobState.DONE))
    live(progress(waiting=7, in_work=2))
    assert drawn(live).endswith(" 1/10")
    live(progress(resting=2))
    assert bar(live) == "watching in (Ctrl-C ends), 2 to be tried again"
    assert drawn(live) == ""


def test_a_paused_daemon_does_not_look_as_if_it_worked(live: Live) -> None:
    """Pictures in work are finished first; the text says how to resume."""
    live(progress(waiting=3, in_work=1, is_paused=True))
    assert bar(live) == "cutting, then paused"
    live(progress(waiting=3, is_paused=True))
    assert bar(live) == "PAUSED, 3 waiting; `cutoutd resume` continues"
    assert drawn(live) == ""
    live(progress(waiting=3))
    assert bar(live) == "cutting"


def test_the_remaining_time_is_estimated_from_finished_pictures() -> None:
    """From the third picture of an uninterrupted stretch on; an idle hour does not count."""
    now_s = 0.0
    live = Live("watching", clock=lambda: now_s)
    try:
        live(progress(waiting=103))
        for _ in range(3):
            live(result(JobState.DONE))
            now_s += 2.0
        assert bar(live) == "cutting, 30 a minute, about 3 min left"
        live(progress())
        now_s += 3600.0
        live(progress(waiting=10))
        assert bar(live) == "cutting"
        for _ in range(3):
            live(result(JobState.DONE))
            now_s += 1.0
        assert bar(live) == "cutting, 60 a minute, about 7 s left"
    finally:
        live.close()


def test_a_path_with_brackets_is_shown_as_it_is() -> None:
    """Rich takes some brackets for colours."""
    live = Live("watching [red]in")
    live(progress())
    console = Console(file=io.StringIO(), width=80)
    console.print(live._progress.get_renderable())  # noqa: SLF001 -- as above
    live.close()
    assert isinstance(console.file, io.StringIO)
    assert "watching [red]in" in console.file.getvalue()


def test_a_failure_has_advice(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    """The advice follows the reason, without its usual opening words."""
    advice = "The original is untouched. Export it as JPEG and put that in its place."
    live(replace(result(JobState.FAILED, "it seems to be a drawing"), advice=advice))
    output = " ".join(capsys.readouterr().out.split())
    assert "✗ broken.jpg (it seems to be a drawing) Export it as JPEG and put that in its place." in output
    assert "untouched" not in output


def test_lines_are_broken_at_words_and_paths_are_short(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 80 columns; a text without a blank is left whole."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    live = Live("watching")
    try:
        long = f"/{'x' * 90}.png"
        words = "perhaps background " * 6
        live(replace(result(JobState.DONE), outputs=(f"{tmp_path}/out/a.png",), seconds=3.0))
        live(result(JobState.FAILED, words.strip()))
        live(replace(result(JobState.DONE), outputs=(long,)))
        live(replace(result(JobState.DONE), outputs=("/o/a.png", "/o/b.png", "/o/c.png")))
    finally:
        live.close()
    lines = capsys.readouterr().out.splitlines()
    assert "✓ broken.jpg → out/a.png 3.0 s" in lines
    assert f"  {long}" in lines
    assert "✓ broken.jpg → /o/a.png and 2 more" in lines
    lines_with_background = [line.rstrip() for line in lines if "background" in line]
    assert len(lines_with_background) == 2
    assert all(
        len(line) <= 80 and line.rstrip(")").endswith(("perhaps", "background"))
        for line in lines_with_background
    )


def test_a_cutout_under_another_name_has_the_reason(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason follows the name."""
    why = "a.png was changed by hand and stays, so this cutout is a-jpg.png"
    live(replace(result(JobState.DONE), outputs=("/out/a-jpg.png",), note=why))
    assert f"/out/a-jpg.png ({why})" in " ".join(capsys.readouterr().out.split())


def test_a_line_says_whether_a_cutout_is_held_back_doubtful_or_tried_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark alone does not: the first two have the same."""
    monkeypatch.setenv("COLUMNS", "120")
    live = Live("watching")
    try:
        live(result(JobState.REVIEW, "no subject"))
        live(replace(result(JobState.DONE, "a part may be missing"), doubtful=True))
        live(
            replace(result(JobState.DONE, "doubtful, score 0.57; two things of equal weight"), doubtful=True)
        )
        live(result(JobState.RETRY, "it is not whole yet"))
        live(result(JobState.FAILED, "no picture"))
    finally:
        live.close()
    printed = capsys.readouterr().out
    assert "(no subject; held back for review)" in printed
    assert "(a part may be missing; doubtful)" in printed
    assert "(doubtful, score 0.57; two things of equal weight)" in printed
    assert "(it is not whole yet; it is tried again)" in printed
    assert "(no picture)" in printed
