"""The registry of daemons: which run, which ran last, and which entries are not trusted."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cutoutd.cli.registry import (
    KEPT,
    Invocation,
    RegisteredDaemon,
    entries,
    is_waiting,
    make,
    registered,
    waiting,
)

PAIR = Invocation(pair=(Path("/pictures/to-cut"), Path("/pictures/cutouts")))


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The path of a directory that does not exist yet."""
    return tmp_path / "state" / "running"


def state(number: int) -> Path:
    """Return a state directory's path, made of a number."""
    return Path(f"/state/{number}")


def enter(registry: Path, number: int) -> None:
    """Register a daemon that has ended already."""
    with registered(registry, state(number), PAIR, now_us=number):
        pass


def test_a_daemon_runs_as_long_as_it_holds_its_entry(registry: Path) -> None:
    """Afterwards the entry tells which daemon was used last."""
    assert entries(registry) == []
    config = Invocation(config=Path("/etc/c.toml"))
    with registered(registry, state(1), PAIR, now_us=1), registered(registry, state(2), config, now_us=2):
        assert [(one.state_dir, one.origin, one.is_running) for one in entries(registry)] == [
            (state(2), config, True),
            (state(1), PAIR, True),
        ]
    assert [one.is_running for one in entries(registry)] == [False, False]


def test_a_killed_daemon_does_not_run(registry: Path) -> None:
    """The kernel's lock ends with the process, whatever the file says."""
    program = (
        "import sys, pathlib; from cutoutd.cli.registry import Invocation, registered\n"
        "with registered(pathlib.Path(sys.argv[1]), pathlib.Path('/s'), Invocation(config=pathlib.Path('/c')), now_us=1):\n"
        "    print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, registry], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as one:
        assert one.stdout is not None
        one.stdout.readline()
        assert [entry.is_running for entry in entries(registry)] == [True]
        one.send_signal(signal.SIGKILL)
        one.wait()
    assert [entry.is_running for entry in entries(registry)] == [False]


def test_a_later_run_takes_the_place_of_an_earlier_one(registry: Path) -> None:
    """One entry for each state directory; of ended ones only a few are kept."""
    for number in range(KEPT + 5):
        enter(registry, number)
    enter(registry, 30)
    with registered(registry, state(KEPT + 4), PAIR, now_us=99):
        found = entries(registry)
    assert found[0] == RegisteredDaemon(
        state_dir=state(KEPT + 4), origin=PAIR, started_us=99, is_running=True
    )
    assert len(found) <= KEPT
    assert {one.state_dir for one in found} >= {state(30), state(KEPT + 3)}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"\xff{",
        b'{"schema": "cutoutd.running/1"}',
        json.dumps(
            {"schema": "cutoutd.running/1", "state_dir": "s", "config": "/c", "pair": None, "started_us": 1}
        ),
        json.dumps(
            {
                "schema": "cutoutd.running/1",
                "state_dir": "/s",
                "config": "/c",
                "pair": ["/a"],
                "started_us": 1,
            }
        ),
        json.dumps(
            {"schema": "cutoutd.running/1", "state_dir": "/s", "config": None, "pair": None, "started_us": 1}
        ),
        json.dumps(
            {
                "schema": "cutoutd.running/1",
                "state_dir": "/s\0",
                "config": "/c",
                "pair": None,
                "started_us": 1,
            }
        ),
        json.dumps({"schema": "other/1", "state_dir": "/s", "config": "/c", "pair": None, "started_us": 1}),
        b"[" * 60_000,
    ],
)
def test_invalid_entries_are_skipped(registry: Path, document: bytes | str) -> None:
    """The other entries are still listed."""
    enter(registry, 1)
    (registry / "a.json").write_bytes(document if isinstance(document, bytes) else document.encode())
    assert [one.state_dir for one in entries(registry)] == [state(1)]


def test_no_link_is_followed(registry: Path, tmp_path: Path) -> None:
    """Neither to read nor to write an entry; nor is a directory used that others can write to."""
    enter(registry, 1)
    (created,) = registry.iterdir()
    elsewhere = tmp_path / "elsewhere.json"
    created.rename(elsewhere)
    created.symlink_to(elsewhere)
    os.mkfifo(registry / "pipe.json")
    assert entries(registry) == []
    before = elsewhere.read_bytes()
    with registered(registry, state(1), PAIR, now_us=2):
        assert [one.started_us for one in entries(registry)] == [2]
    assert elsewhere.read_bytes() == before
    registry.chmod(0o777)
    assert entries(registry) == []
    (tmp_path / "link").symlink_to(registry)
    registry.chmod(0o700)
    assert entries(tmp_path / "link") == []


def test_a_registry_that_cannot_be_written_costs_the_entry_alone(tmp_path: Path) -> None:
    """The daemon still works."""
    (tmp_path / "file").touch()
    with registered(tmp_path / "file" / "running", state(1), PAIR, now_us=1):
        assert entries(tmp_path / "file" / "running") == []


def test_all_that_is_made_for_the_registry_is_this_users_alone(tmp_path: Path) -> None:
    """A umask may allow group access; a state directory made inside later would be refused."""
    before = os.umask(0o002)
    try:
        enter(tmp_path / "a" / "b" / "running", 1)
    finally:
        os.umask(before)
    created = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "running"]
    assert [stat.S_IMODE(one.stat().st_mode) for one in created] == [0o700] * 3


def test_a_draft_is_its_daemons_until_it_is_old(registry: Path) -> None:
    """Two daemons that start at once keep each other's drafts; a dead one's draft is removed later."""
    enter(registry, 1)
    draft, left = registry / "x.json.1.new", registry / "y.json.2.new"
    draft.touch()
    left.touch()
    os.utime(left, (1, 1))
    enter(registry, 2)
    assert draft.exists()
    assert not left.exists()


def test_a_daemon_whose_draft_was_locked_by_a_reader_tries_once_more(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would have no entry while it runs."""
    flock, refused = fcntl.flock, [True]

    def once(descriptor: int, how: int) -> None:
        if how & fcntl.LOCK_EX and refused:
            refused.pop()
            raise BlockingIOError
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", once)
    with registered(registry, state(1), PAIR, now_us=1):
        assert [one.is_running for one in entries(registry)] == [True]
    assert not refused


@pytest.mark.timeout(20)
def test_a_fifo_in_place_of_the_lock_holds_up_no_first_start(registry: Path) -> None:
    """It waited for a reader for ever, deaf to every signal."""
    make(registry)
    os.mkfifo(registry / "first-run.lock")
    with waiting(registry):
        assert not is_waiting(registry)
