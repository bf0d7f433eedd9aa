"""What a person at a terminal reads while pictures are cut."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from cutoutd.cli.console import Live
from cutoutd.daemon.listener import Result
from cutoutd.daemon.standing import Watching, of_refusal, told
from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def live() -> Iterator[Live]:
    """A listener that draws."""
    one = Live("watching in (Ctrl-C ends)")
    yield one
    one.close()


def result(state: JobState, why: str = "") -> Result:
    """What became of one picture."""
    return Result(job=1, folder="in", path="broken.jpg", state=state, why=why)


def bar(live: Live) -> str:
    """What stands beside the bar."""
    return live._progress.tasks[0].description  # noqa: SLF001 -- rich draws it on terminals alone


def test_a_picture_that_is_tried_again_is_told_once(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    """With the word that it is; and nothing is being cut meanwhile."""
    live.accepted(1)
    assert bar(live) == "cutting"
    for _ in range(3):
        live.result(result(JobState.RETRY, "it ends too early"))
    assert capsys.readouterr().out.count("it ends too early; it is tried again") == 1
    assert bar(live) == "watching in (Ctrl-C ends), 1 to be tried again"
    live.result(result(JobState.FAILED, "it ends too early"))
    assert bar(live) == "watching in (Ctrl-C ends)"


def test_a_folder_that_is_not_there_is_waited_for_and_not_watched(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its place is named, with what to do; and once it is there, that is no warning."""
    gone = of_refusal(
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/home/me/in"), "/home/me/in"
    )
    live.attention("in", told(Watching.STANDING_BY, gone))
    assert bar(live) == "waiting for in (Ctrl-C ends)"
    live.attention("in", told(Watching.NATIVE, ""))
    assert bar(live) == "watching in (Ctrl-C ends)"
    shown = capsys.readouterr().out
    assert "! in: standing by: /home/me/in is not there; make it" in shown
    assert "+ in: is watched" in shown


@pytest.mark.parametrize("code", [errno.EEXIST, errno.ENOTDIR])
def test_a_file_where_a_folder_belongs_is_named(code: int) -> None:
    """The output, most often."""
    said = of_refusal(OSError(code, os.strerror(code), "/out"), "/in")
    assert said == "/out is a file, or lies below one; a folder belongs there"
    assert of_refusal(OSError(errno.EIO, "Input/output error"), "/in") == "/in: Input/output error"
