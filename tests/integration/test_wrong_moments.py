"""Another program saves a file while it is removed or replaced: at each system call in between, and with kills.

A file that was never cut, or that somebody retouched, is never lost; and an action that was started is finished.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import StorageError
from cutoutd.fs.tree import Tree
from cutoutd.publish.original_file import CleanupOutcome, delete_original
from cutoutd.publish.verified import PRIVATE
from tests.integration.publishing import digest
from tests.integration.taking_away import CUT, SAVED, TARGETS, carry_out, carry_out_when_told, prepare
from tests.integration.tools import need

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

DEEDS = tuple(TARGETS)
CALLS = "?renameat,renameat2,linkat,unlinkat"
_SLOW_US = 400_000
_MODULE = "tests.integration.taking_away"

# A process that has loaded everything forks for each try: an interpreter's start and imports would be nearly all of its cost.
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["__main__", _MODULE])


class Slowed:
    """An action under strace, which stops for a while before one of its calls.

    Args:
        deed: name of the action.
        root: the action's prepared directory.
        faults: faults for strace.
    """

    def __init__(self, deed: str, root: Path, *faults: str) -> None:
        self._log = root / "calls"
        ours, theirs = _FORKING.Pipe()
        self._deed: BaseProcess = _FORKING.Process(
            target=carry_out_when_told, args=(theirs, deed, root), daemon=True
        )
        self._deed.start()
        theirs.close()
        ours.recv()
        words = [word for fault in faults for word in ("-e", f"inject={fault}")]
        command = ["strace", "-f", "--quiet=exit,personality", "-o", str(self._log), "-e", f"trace={CALLS}"]
        self._strace = subprocess.Popen(
            [*command, *words, "-p", str(self._deed.pid)], stderr=subprocess.PIPE, text=True
        )
        assert self._strace.stderr is not None
        output = self._strace.stderr.readline()
        assert output.endswith(" attached\n"), output
        ours.send(None)
        ours.close()

    def stop_before(self, place: int) -> int:
        """Wait until the action stops before the call at this position. Returns its process id."""
        end_s = time.monotonic() + 60.0
        while self._strace.poll() is None and time.monotonic() < end_s:
            *ended, last = self._log.read_text().split("\n") if self._log.exists() else [""]
            if len(ended) == place and last:
                return int(last.split()[0])
            time.sleep(0.01)  # strace tells nobody
        pytest.fail(f"it does not come to call {place}")

    def end(self) -> int:
        """Wait for the end of the action. Returns its exit status."""
        self._strace.communicate(timeout=60.0)
        self._deed.join(60.0)
        code = self._deed.exitcode
        assert code is not None
        return code

    def calls(self) -> list[tuple[str, str]]:
        """Return the action's calls: the name, and the trace of each."""
        lines = self._log.read_text().splitlines()
        return [(match[1], line) for line in lines if (match := re.match(r"\d+ +(\w+)\(", line))]


def straight(deed: str, root: Path) -> list[tuple[int, str, int, str]]:
    """Return the calls of an undisturbed action: position among all, name, use of that name, and trace."""
    prepare(deed, root)
    slowed = Slowed(deed, root)
    assert slowed.end() == 0
    uses: Counter[str] = Counter()
    found = []
    for place, (name, line) in enumerate(slowed.calls()):
        uses[name] += 1
        found.append((place, name, uses[name], line))
    assert len(found) >= 2
    return found


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """A directory with a sub-directory for each attempt."""
    need("strace")
    return tmp_path


def save(target: Path, how: str) -> None:
    """Save as other programs do: write aside and rename, or overwrite."""
    if how == "renamed in":
        draft = target.with_name(".draft")
        draft.write_bytes(SAVED)
        draft.rename(target)
    else:
        target.write_bytes(SAVED)


def visible(root: Path) -> dict[str, bytes]:
    """Return every file that a person sees, by its path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for place in ("in", "out", "kept")
        for path in (root / place).rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    }


def is_tidy(root: Path) -> bool:
    """Return whether nothing is left under a private or staged name."""
    return not [path for path in root.rglob("*") if PRIVATE in path.name or path.suffix == ".original"]


@pytest.mark.parametrize("how", ["renamed in", "written over"])
@pytest.mark.parametrize("deed", DEEDS)
def test_a_file_saved_at_the_wrong_moment_is_not_lost(rooms: Path, deed: str, how: str) -> None:
    """Before each call that renames, links or removes, with one attempt each."""
    for place, name, use, line in straight(deed, rooms / "straight"):
        root = rooms / str(place)
        prepare(deed, root)
        slowed = Slowed(deed, root, f"{name}:delay_enter={_SLOW_US}:when={use}")
        slowed.stop_before(place)
        save(root / TARGETS[deed], how)
        assert slowed.end() == 0
        assert SAVED in visible(root).values(), line
        assert is_tidy(root), line


@pytest.mark.parametrize("deed", DEEDS)
def test_an_action_that_is_killed_is_finished_by_the_next_start(rooms: Path, deed: str) -> None:
    """Before each call; a file that another program saved before that start stays, and is not removed in place of the intended one."""
    calls = straight(deed, rooms / "straight")
    wanted = visible(rooms / "straight")
    for place, name, use, line in calls:
        left, saved = rooms / f"left-{place}", rooms / f"saved-{place}"
        for root in (left, saved):
            prepare(deed, root)
            assert Slowed(deed, root, f"{name}:signal=SIGKILL:when={use}").end() != 0
        carry_out(deed, left)
        assert _alike(visible(left), wanted), line
        assert is_tidy(left), line
        save(saved / TARGETS[deed], "renamed in")
        carry_out(deed, saved)
        assert visible(saved)[TARGETS[deed]] == SAVED, line
        assert is_tidy(saved), line


def _alike(found: dict[str, bytes], wanted: dict[str, bytes]) -> bool:
    """Return whether both have the same files with the same bytes, ignoring times in documents."""
    plain = re.compile(rb'"(job|publish|total|published_at)": [^\n]*')
    return {name: plain.sub(b"", data) for name, data in found.items()} == {
        name: plain.sub(b"", data) for name, data in wanted.items()
    }


@pytest.mark.parametrize("deed", ["delete", "move", "review"])
def test_a_kill_before_a_saved_file_has_its_name_back_loses_nothing(rooms: Path, deed: str) -> None:
    """The file was saved under its private name before the rename: the next start gives it its name back."""
    prepare(deed, rooms)
    private = f'{PRIVATE}{TARGETS[deed].rpartition("/")[2]}"'
    place, name, use, _ = next(call for call in straight(deed, rooms / "straight") if private in call[3])
    slowed = Slowed(deed, rooms, f"{name}:delay_enter={_SLOW_US}:when={use}..{use + 1}")
    slowed.stop_before(place)
    save(rooms / TARGETS[deed], "renamed in")
    os.kill(slowed.stop_before(place + 1), signal.SIGKILL)
    assert slowed.end() != 0
    assert SAVED not in visible(rooms).values()
    carry_out(deed, rooms)
    assert visible(rooms)[TARGETS[deed]] == SAVED
    assert is_tidy(rooms)


def test_an_original_that_another_program_has_open_for_writing_waits(tmp_path: Path) -> None:
    """Data that the other program writes would be lost with the original."""
    prepare("delete", tmp_path)
    with (
        (tmp_path / "in/shoot/a.jpg").open("r+b"),
        pytest.raises(StorageError, match="open for writing"),
    ):
        delete_original(Tree(tmp_path / "in"), "shoot/a.jpg", digest(CUT))
    assert visible(tmp_path) == {"in/shoot/a.jpg": CUT}
    result = delete_original(Tree(tmp_path / "in"), "shoot/a.jpg", digest(CUT))
    assert result.outcome is CleanupOutcome.DELETED
    assert visible(tmp_path) == {}
