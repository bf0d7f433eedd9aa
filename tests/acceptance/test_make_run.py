"""`make run` as a newcomer uses it: on a terminal, with existing folders, and with mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.terminals import Terminal

if TYPE_CHECKING:
    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model  # the matte is of no concern here

ROOT = Path(__file__).parents[2]


@pytest.fixture
def make(bench: Bench) -> list[str]:
    """The command `make run`, with this test's environment in place of the one that it would set up."""
    venv = bench.root / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    command = venv / "bin" / "cutoutd"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m cutoutd "$@"\n', encoding="ascii")
    command.chmod(0o755)
    (venv / ".installed").touch()
    return ["make", "-C", os.fspath(ROOT), "--no-print-directory", "run", f"VENV={venv}"]


def test_make_run_prints_instructions_and_ctrl_c_ends_it_without_an_error(
    bench: Bench, make: list[str]
) -> None:
    """It prints two lines, no command of make itself, and a summary; a picture is cut in between."""
    command = [*make, f"INPUT={bench.input}", f"OUTPUT={bench.output}"]
    bench.drop("a.jpg")
    with Terminal(command, bench.environment, bench.root) as terminal:
        terminal.wait_for(
            f"Drop pictures into {bench.input}; cutouts appear in {bench.output}.\r\nCtrl-C ends."
        )
        terminal.wait_for("a.png")
        terminal.type("\x03")
        terminal.wait_for("Stopped. 1 cut, 0 to review, 0 failed")
        terminal.wait_for(f"See {bench.output}.")
        assert terminal.end() == 0
    assert terminal.text.startswith("Drop pictures into")
    assert "Interrupt" not in terminal.text


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (None, "there is no python-of-mine. On Debian and Ubuntu: sudo apt install python3-venv"),
        ("[ $# = 2 ] && exit 1", "python-of-mine is older. Name a newer one"),
        ('case "$2" in *venv*) exit 1;; esac', "cutoutd needs venv"),
    ],
)
def test_a_python_that_is_missing_old_or_without_venv_is_reported_with_advice(
    tmp_path: Path, python: str | None, message: str
) -> None:
    """Before anything is created; the message says to call make again."""
    if python is not None:
        program = tmp_path / "python-of-mine"
        program.write_text(f"#!/bin/sh\n{python}\nexit 0\n", encoding="ascii")
        program.chmod(0o755)
    ended = subprocess.run(
        ["make", "-C", os.fspath(ROOT), "env", f"VENV={tmp_path}/venv", "PYTHON=python-of-mine"],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Then call make" in ended.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(("place", "moved"), [("/an/old/place", True), (os.fspath(ROOT), False), ("", False)])
def test_a_clone_that_was_moved_is_set_up_again(tmp_path: Path, place: str, *, moved: bool) -> None:
    """Its programs name the former place, and did not start; a stamp of an earlier version does not count."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / ".installed").write_text(place, encoding="utf-8")
    ended = subprocess.run(
        ["make", "-C", os.fspath(ROOT), "--dry-run", "run", f"VENV={tmp_path}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ("This folder was moved" in ended.stdout, "-m venv --clear" in ended.stdout) == (moved, moved)
    assert ("--editable ." in ended.stdout) == moved


@pytest.mark.parametrize(("missing", "other"), [("INPUT", "OUTPUT"), ("OUTPUT", "INPUT")])
def test_a_missing_folder_is_created_after_a_question(
    bench: Bench, make: list[str], missing: str, other: str
) -> None:
    """It is created if a person agrees, and not after a typing mistake; without a terminal it is an error."""
    there, slip = bench.input if other == "INPUT" else bench.output, bench.root / "slip"
    command = [*make, f"{missing}={slip}", f"{other}={there}"]
    with Terminal(command, bench.environment, bench.root) as terminal:
        terminal.wait_for("slip is not there. Make it? [y/N]")
        terminal.type("\n")
        assert terminal.end() == 2
    alone = subprocess.run(
        command, env=bench.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert alone.returncode == 2
    assert f"slip: this folder is not there. Make it (mkdir -p {slip})" in alone.stderr
    assert not slip.exists()
    with Terminal(command, bench.environment, bench.root) as terminal:
        terminal.wait_for("Make it?")
        terminal.type("y\n")
        terminal.wait_for("Drop pictures into")
        terminal.wait_for("watching")
        terminal.type("\x03")
        assert terminal.end() == 0
    assert slip.is_dir()
