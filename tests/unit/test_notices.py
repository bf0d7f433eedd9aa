"""Notices on the desktop: only where a person is needed, few at a time, and no name is a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.doctor import hooks as doctor
from cutoutd.doctor.finding import Level
from cutoutd.events import JobEnded
from cutoutd.hooks import desktop_notices
from cutoutd.hooks.desktop_notices import PAUSE_S, DesktopNotices
from cutoutd.jobs import JobState
from cutoutd.settings.schema import CommonHooks, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class RecordingQueue:
    """A queue of hooks that records the notices' bodies."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    def enqueue(self, hook: Any) -> None:  # noqa: ANN401 -- a HookCommand
        """Record the hook's last argument, which is the notice's body."""
        self.bodies.append(hook.command[-1])


def result(state: JobState = JobState.FAILED, *, doubtful: bool = False) -> JobEnded:
    """Return the event of a job whose end a person should know."""
    return JobEnded(
        job=1,
        folder="a",
        path="x.jpg",
        state=state,
        why="it is cut short",
        outputs=(),
        seconds=0.0,
        doubtful=doubtful,
    )


def test_nothing_is_shown_unless_configured() -> None:
    """Notices are off by default."""
    given = RecordingQueue()
    DesktopNotices(given, CommonHooks).result("a", result())  # type: ignore[arg-type]
    assert given.bodies == []


def test_a_burst_of_failures_is_one_notice_and_then_a_number() -> None:
    """A shoot in which everything fails must not bury the screen."""
    given, now = RecordingQueue(), [0.0]
    notices = DesktopNotices(
        given,  # type: ignore[arg-type]
        lambda: CommonHooks(notify=True),
        monotonic=lambda: now[0],
        later=lambda _, __: None,
    )
    for _ in range(100):
        notices.result("a", result())
    assert given.bodies == ["a: x.jpg could not be cut: it is cut short"]
    now[0] = PAUSE_S
    notices.result("a", result(JobState.REVIEW))
    notices.say("a: the share is gone")
    assert given.bodies[1:] == [
        "a: x.jpg needs a look: it is cut short (and 99 more before it)",
        "a: the share is gone",
    ]


def test_events_during_the_pause_are_shown_after_it_though_nothing_more_comes() -> None:
    """The number is shown when the pause ends, without waiting for a next result."""
    given, now = RecordingQueue(), [100.0]
    due: list[tuple[float, Callable[[], None]]] = []
    notices = DesktopNotices(
        given,  # type: ignore[arg-type]
        lambda: CommonHooks(notify=True),
        monotonic=lambda: now[0],
        later=lambda delay_s, deed: due.append((delay_s, deed)),
    )
    for _ in range(100):
        notices.result("a", result())
        now[0] += 0.1
    ((delay_s, deed),) = due
    assert delay_s == pytest.approx(PAUSE_S - 0.1)
    now[0] = 100.0 + PAUSE_S
    deed()
    deed()
    assert given.bodies[1:] == ["a: 99 more pictures need a look"]
    for folder in ("a", "b"):
        notices.result(folder, result())
    notices.tell_rest()
    assert given.bodies[2:] == ["2 folders: 2 more pictures need a look"]


def test_texts_are_arguments_whatever_they_contain() -> None:
    """A text acts as no option, markup or script, and is one line."""
    hostile = '--help <b>&"; $(x)\n' + "\ud800"
    linux = desktop_notices.command(hostile, platform="linux")
    assert linux[:4] == ("notify-send", "--app-name=cutoutd", "--", "cutoutd")
    assert linux[4] == '--help &lt;b&gt;&amp;"; $(x)  '
    mac = desktop_notices.command(hostile, platform="darwin")
    assert mac[0] == "osascript"
    assert mac[-2] == "cutoutd"
    assert not any("--help" in word for word in mac[:-1])
    assert len(desktop_notices.command("x" * 9999, platform="linux")[4]) <= 400


@pytest.mark.parametrize(("path", "level"), [("/nowhere", Level.PROBLEM), (None, Level.OK)])
def test_doctor_looks_for_the_program(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    path: str | None,
    level: Level,
) -> None:
    """The finding says how to install it."""
    program = tmp_path / desktop_notices.program()
    program.write_text("", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", path or str(tmp_path))
    (finding,) = doctor.judge(Settings(hooks=CommonHooks(notify=True)))
    assert finding.level is level
    assert list(doctor.judge(Settings())) == []
