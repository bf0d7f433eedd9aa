"""Commands of the owner: they get what they need, are ended in time, and disturb nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from cutoutd.errors import ModelError
from cutoutd.events import AlarmChanged, JobEnded
from cutoutd.hooks.dispatch import HookDispatch
from cutoutd.hooks.runner import QUEUED, HookCommand, HookRunner, run
from cutoutd.jobs import JobState
from cutoutd.settings.schema import CommonHooks, Folder, Hooks, Settings
from tests.integration.parts import Heard, until

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = (
    "import pathlib, sys, time; any(time.sleep(0.01) for _ in iter(pathlib.Path(sys.argv[1]).exists, True))"
)
WRITE = """
import json, os, sys
facts = {key: value for key, value in os.environ.items() if key.startswith("HOOK_")}
with open(sys.argv[1], "a") as file:
    file.write(json.dumps([sys.argv[2:], facts]) + "\\n")
"""


def hook(*command: str, timeout_s: float = 20.0) -> HookCommand:
    """Return a command for a finished cutout."""
    return HookCommand(event="on_done", command=command, facts={"HOOK_X": "y"}, timeout_s=timeout_s)


def python(code: str, *arguments: str, timeout_s: float = 20.0) -> HookCommand:
    """Return a command that runs Python code."""
    return hook(sys.executable, "-c", code, *arguments, timeout_s=timeout_s)


def lines(path: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Return what that command has written."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [(record[0], record[1]) for record in map(json.loads, text.splitlines())]


def test_a_command_gets_its_arguments_and_facts_and_no_shell(tmp_path: Path) -> None:
    """Whatever characters they contain."""
    out = tmp_path / "out"
    nasty = f"$(touch {tmp_path}/pwned); `id` 'x' \n caf\udce9"
    assert run(python(WRITE, os.fspath(out), nasty)) == ""
    assert lines(out) == [([nasty], {"HOOK_X": "y"})]
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import sys; sys.exit('no such\\nplace')", "code 1: no such / place"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("import sys; sys.stderr.write('x' * 10_000_000); sys.exit(3)", "code 3: xxx"),
    ],
)
def test_a_command_that_fails_says_why(code: str, expected: str) -> None:
    """With the end of its output, however long that is."""
    why = run(python(code))
    assert expected in why
    assert len(why) < 600


def test_a_command_that_is_not_there_is_no_fault_of_ours(tmp_path: Path) -> None:
    """Neither is one that may not be executed."""
    assert "No such file" in run(hook("/no/such/program"))
    file = tmp_path / "script"
    file.write_text("#!/bin/sh\n")
    assert "Permission denied" in run(hook(os.fspath(file)))


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    """The command's children are ended too."""
    mark = tmp_path / "pid"
    code = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    assert "timeout_s = 1" in run(python(code, os.fspath(mark), timeout_s=1.0))

    def is_gone() -> bool:
        try:
            text = Path(f"/proc/{mark.read_text()}/status").read_text(encoding="utf-8")
        except FileNotFoundError:
            return True
        return "State:\tZ" in text

    until(is_gone, "its child's end")


def test_background_processes_of_a_command_are_not_waited_for(tmp_path: Path) -> None:
    """Such as a desktop notification that stays on the screen; even if it keeps the pipe open."""
    go = tmp_path / "go"
    code = f"import os\nif os.fork() == 0:\n    {WAIT}"
    assert run(python(code, os.fspath(go), timeout_s=100.0)) == ""  # or it would wait for ever
    go.touch()


def test_the_number_of_running_commands_is_limited_and_the_caller_never_waits(tmp_path: Path) -> None:
    """What does not fit in the queue is dropped, and logged once."""
    before = sum(one.name == "hooks" for one in threading.enumerate())
    go, run_at_once = tmp_path / "go", tmp_path / "run"
    run_at_once.mkdir()
    code = f"import os, sys; open(os.path.join(sys.argv[2], str(os.getpid())), 'w'); {WAIT}"
    with capture_logs() as logged:
        hooks = HookRunner(2)
        for _ in range(QUEUED + 20):  # none of them ends meanwhile
            hooks.enqueue(python(code, os.fspath(go), os.fspath(run_at_once), timeout_s=100.0))
    assert [one["event"] for one in logged].count("hook.dropped") == 1
    until(lambda: len(list(run_at_once.iterdir())) == 2, "two of them")
    assert sum(one.name == "hooks" for one in threading.enumerate()) - before == 2
    assert not hooks.end(0.0)
    go.touch()
    assert len(list(run_at_once.iterdir())) == 2


def test_a_failure_is_reported_once_until_the_hook_works_again(tmp_path: Path) -> None:
    """A disk that is full for a day must not fill the log as well."""
    mark = tmp_path / "works"
    code = "import os, sys; sys.exit(0 if os.path.exists(sys.argv[1]) else 'no')"
    with capture_logs() as logged:
        hooks = HookRunner(1)
        for number in range(7):
            if number == 5:
                until(lambda: hooks.is_idle, "five failures")
                mark.touch()
            hooks.enqueue(python(code, os.fspath(mark)))
            if number == 5:
                until(lambda: hooks.is_idle, "one that worked")
                mark.unlink()
        assert hooks.end(20)
    assert [one["event"] for one in logged].count("hook.failed") == 2


class TwoFolders:
    """Hooks for two folders, one of which has its own."""

    def __init__(self, root: Path) -> None:
        self.common, self.own = root / "common", root / "own"
        self.heard = Heard()

        def write(to: Path) -> tuple[str, ...]:
            return (sys.executable, "-c", WRITE, os.fspath(to))

        common, own = write(self.common), write(self.own)
        self.settings = Settings(
            hooks=CommonHooks(
                on_done=common,
                on_review=common,
                on_doubtful=common,
                on_failed=common,
                on_attention=common,
                at_once=1,
            ),
            folder=(
                Folder(name="a", input=root / "a", output=root / "out"),
                Folder(
                    name="b",
                    input=root / "b",
                    output=root / "out",
                    sidecar_dir=root / "s",
                    hooks=Hooks(on_done=own),
                ),
            ),
        )
        self.dispatch = HookDispatch(self.heard, self.settings)


@pytest.fixture
def two_folders(tmp_path: Path) -> Iterator[TwoFolders]:
    """Two folders for one test."""
    two_folders = TwoFolders(tmp_path)
    yield two_folders
    two_folders.dispatch.close(patient=True)


def ended(folder: str, state: JobState, output: Path | None = None) -> JobEnded:
    """Return the end of a job."""
    outputs = (os.fspath(output),) if output is not None else ()
    return JobEnded(job=1, folder=folder, path="sub/x.jpg", state=state, outputs=outputs, why="because")


def test_each_event_runs_its_command_with_the_path_of_what_was_written(
    two_folders: TwoFolders, tmp_path: Path
) -> None:
    """The folder's own command if it has one; the next event sink gets everything."""
    out = tmp_path / "out"
    for result in (
        ended("a", JobState.DONE, out / "sub/x.png"),
        ended("b", JobState.DONE, out / "sub/x-jpg.png"),
        ended("a", JobState.REVIEW, out / "review/sub/x.png"),
        ended("b", JobState.FAILED),
        ended("a", JobState.UNCHANGED),
        ended("gone from the configuration", JobState.DONE, out / "y.png"),
        ended("a", JobState.DONE, tmp_path / "its output before a reload" / "z.png"),
    ):
        two_folders.dispatch(result)
    two_folders.dispatch(AlarmChanged(folder="b", kind="standing-by", message="standing by: away"))
    error = ModelError("it was altered")
    two_folders.dispatch(
        AlarmChanged(folder="", kind="model", message=f"it has ended: {error.title}: {error}")
    )
    two_folders.dispatch.close(patient=True)
    common = lines(two_folders.common)
    assert [arguments for arguments, _ in common] == [
        [os.fspath(out / "sub/x.png.json")],
        [os.fspath(out / "review/sub/x.png.json")],
        [os.fspath(out / "failed/sub/x.jpg.error.json")],
        [],
        ["cutoutd: b: standing by: away"],
        [f"cutoutd: it has ended: {ModelError.title}: it was altered. {ModelError.advice}"],
    ]
    ((own, facts),) = lines(two_folders.own)
    assert own == [os.fspath(tmp_path / "s/sub/x-jpg.png.json")]
    assert facts == {
        "HOOK_EVENT": "on_done",
        "HOOK_FOLDER": "b",
        "HOOK_SOURCE": os.fspath(tmp_path / "b/sub/x.jpg"),
        "HOOK_OUTPUT": os.fspath(out / "sub/x-jpg.png"),
        "HOOK_STATE": "done",
        "HOOK_SIDECAR": own[0],
        "HOOK_MESSAGE": "because",
    }
    assert [facts["HOOK_EVENT"] for _, facts in common][-2:] == ["on_attention", "on_attention"]
    assert len(two_folders.heard.results) == 7


def test_a_doubtful_cutout_runs_both_commands(two_folders: TwoFolders, tmp_path: Path) -> None:
    """on_done runs as usual; on_doubtful runs as well."""
    done = ended("a", JobState.DONE, tmp_path / "out/x.png")
    two_folders.dispatch(replace(done, doubtful=True, why="doubtful, score 0.44"))
    two_folders.dispatch.close(patient=True)
    facts_of_all = [facts for _, facts in lines(two_folders.common)]
    assert [facts["HOOK_EVENT"] for facts in facts_of_all] == ["on_done", "on_doubtful"]
    assert [facts["HOOK_STATE"] for facts in facts_of_all] == ["done", "doubtful"]


def test_commands_that_a_reload_changed_are_the_new_ones(two_folders: TwoFolders, tmp_path: Path) -> None:
    """From the next event on."""
    two_folders.dispatch.follow(lambda: Settings(folder=two_folders.settings.folder))
    two_folders.dispatch(ended("a", JobState.DONE, tmp_path / "out/x.png"))
    two_folders.dispatch.close(patient=True)
    assert lines(two_folders.common) == []


def test_signals_of_the_terminal_do_not_reach_a_command() -> None:
    """The command has its own session: Ctrl-C is for the daemon, which lets the command finish."""
    code = f"import os, sys; sys.exit(0 if os.getsid(0) == os.getpid() != {os.getsid(0)} else 'shared')"
    assert run(python(code)) == ""
    assert signal.getsignal(signal.SIGINT) is not None


def test_commands_run_once_there_are_threads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that could not be started counted as one that runs, and no command ran any more."""
    runner, out = HookRunner(1), os.fspath(tmp_path / "out")

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        runner.enqueue(python(WRITE, out, "1"))
    runner.enqueue(python(WRITE, out, "2"))
    assert runner.end(20.0)
    assert [arguments for arguments, _ in lines(tmp_path / "out")] == [["1"], ["2"]]
