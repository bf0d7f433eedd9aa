"""Processes that are forked for the tests are as those that start with an interpreter of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests import preloaded
from tests.acceptance.disks import Disks

COMMAND = (sys.executable, "-P", "-m", "cutoutd")


@pytest.mark.parametrize(
    "words",
    [["--version"], ["run", "--nonsense"], ["check", "--input", "in", "--output", "out"]],
    ids=" ".join,
)
def test_a_forked_command_answers_as_a_new_one(tmp_path: Path, words: list[str]) -> None:
    """Its exit code and what it prints, in its directory and with its environment."""
    environment = {**os.environ, "CUTOUTD_POOL__WORKERS": "none", "COLUMNS": "70"}

    def answer() -> tuple[int, str, str]:
        done = subprocess.run(
            [*COMMAND, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    forked = answer()
    with preloaded.new_interpreters():
        assert forked == answer()


def test_a_forked_command_whose_output_is_lost_reports_it_as_a_new_one(tmp_path: Path) -> None:
    """By its exit code, and by what it says of it."""

    def answer() -> tuple[int, str]:
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*COMMAND, "--version"],
                cwd=tmp_path,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        return done.returncode, done.stderr

    forked = answer()
    assert forked[0] != 0
    with preloaded.new_interpreters():
        assert forked == answer()


def test_a_forked_command_sees_the_mounts_of_a_namespace_as_a_new_one(tmp_path: Path) -> None:
    """And the same working directory."""
    with Disks() as disks:
        disk = disks.mount(tmp_path / "disk", 1000)
        (disk / "in").mkdir()
        (disk / "out").mkdir()
        place = str(tmp_path / "disk")
        words = ["check", "--input", f"{place}/in", "--output", f"{place}/out"]

        def answer(*command: str) -> tuple[int, str, str]:
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout, done.stderr

        forked = answer(*disks.inside(*COMMAND, *words))
        relative = answer(*disks.inside(*COMMAND, "check", "--input", "disk/in", "--output", "disk/out"))
        assert forked != answer(*COMMAND, *words)
        with preloaded.new_interpreters():
            assert forked == answer(*disks.inside(*COMMAND, *words))
            assert relative == answer(
                *disks.inside(*COMMAND, "check", "--input", "disk/in", "--output", "disk/out")
            )


def test_a_forked_command_is_a_child_that_signals_end(tmp_path: Path) -> None:
    """Its return code is the signal's, and the command leads its session.

    No file of the process that asked for the command is open in it.
    """
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    held = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(held, True)
    words = ["run", "--input", "in", "--output", "out"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "CUTOUTD_PAGE__ENABLED": "false"}
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert b"daemon.started" in process.stdout.readline()
        assert os.getsid(process.pid) == process.pid
        for one in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile; what was inherited stays open
                assert one.readlink() != tmp_path
    finally:
        process.kill()
        process.communicate()
        os.close(held)
    assert process.returncode == -signal.SIGKILL
