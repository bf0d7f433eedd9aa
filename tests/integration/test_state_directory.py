"""The state directory, with everything that another user could have done to it before the start."""

from __future__ import annotations

import os
import socket
from contextlib import chdir, closing
from typing import TYPE_CHECKING

import pytest

from cutoutd.cli.queue import JournalGoneError, NotRunYetError, open_journal
from cutoutd.doctor import state as doctor
from cutoutd.doctor.finding import Level
from cutoutd.errors import CutoutdError
from cutoutd.exchange.spool import SpoolPaths, announce, announcement, uploader_status
from cutoutd.exchange.upload_records import KnownUploads, read_known, write_known
from cutoutd.fs.permissions import writers_above, writers_in
from cutoutd.fs.private_directory import NotPrivateError
from cutoutd.journal import store
from cutoutd.journal.folders import FolderMemory
from cutoutd.journal.journal import Journal
from cutoutd.journal.rebuild import open_or_rebuild, rebuilt
from cutoutd.journal.state import StateDirectory, check_state, has_run, running
from tests.integration.tools import give_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import FakeClock

ANOTHER_USER = 65533


def link_as(name: str) -> Callable[[Path], None]:
    """Return a function that makes a link to a victim's file under a name of cutoutd."""

    def plant(state: Path) -> None:
        victim = state.parent / "victim"
        victim.write_bytes(b"precious")
        (state / name).symlink_to(victim)

    return plant


def fifo_as(name: str) -> Callable[[Path], None]:
    """Return a function that makes a FIFO, which would block a process that opens it."""
    return lambda state: os.mkfifo(state / name)


def socket_as(name: str) -> Callable[[Path], None]:
    """Return a function that makes a socket, which cannot be opened at all."""

    def plant(state: Path) -> None:
        with socket.socket(socket.AF_UNIX) as one, chdir(state):  # a socket's path is short
            one.bind(name)

    return plant


def second_name_of(name: str) -> Callable[[Path], None]:
    """Return a function that makes a hard link to a victim's file."""

    def plant(state: Path) -> None:
        victim = state.parent / "victim"
        victim.write_bytes(b"precious")
        (state / name).hardlink_to(victim)

    return plant


def foreign(name: str) -> Callable[[Path], None]:
    """Return a function that makes a file of another user."""

    def plant(state: Path) -> None:
        (state / name).touch()
        os.chown(state / name, ANOTHER_USER, -1)

    return plant


LAYOUTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "the lock is a link": (link_as("lock"), "this is a link"),
    "the lock is a FIFO": (fifo_as("lock"), "not a regular file"),
    "the lock is a socket": (socket_as("lock"), "not a regular file"),
    "the lock is a directory": (lambda state: (state / "lock").mkdir(), "not a regular file"),
    "the lock has a second name": (second_name_of("lock"), "a second name outside"),
    "the lock is another user's": (foreign("lock"), f"belongs to user id {ANOTHER_USER}"),
    "the journal is a link": (link_as("journal.sqlite"), "this is a link"),
    "the journal has a second name": (second_name_of("journal.sqlite"), "a second name outside"),
    "the journal is another user's": (foreign("journal.sqlite"), f"belongs to user id {ANOTHER_USER}"),
    "what SQLite plays back is a link": (link_as("journal.sqlite-journal"), "this is a link"),
    "what SQLite plays back is a FIFO": (fifo_as("journal.sqlite-journal"), "not a regular file"),
    "the journal's draft is a link": (link_as("journal.sqlite.new"), "this is a link"),
    "the status is a FIFO": (fifo_as("status.json"), "not a regular file"),
    "the status's draft is a link": (link_as("status.new"), "this is a link"),
    "the uploader's directory is a link": (link_as("hosted"), "this is a link"),
    "the uploader's directory is a file": (lambda state: (state / "hosted").touch(), "not a directory"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_entries_planted_in_a_state_directory_are_refused(
    tmp_path: Path, layout: str, clock: FakeClock
) -> None:
    """By the start, and before it by doctor; nothing is written through it, and nothing hangs."""
    plant, why = LAYOUTS[layout]
    if "another user" in layout and os.geteuid():
        give_up("only root can give a file away")
    state = tmp_path / "state"
    state.mkdir(mode=0o777)
    plant(state)
    with pytest.raises(NotPrivateError) as refused:
        StateDirectory(state)
    assert why in str(refused.value)
    assert "move it away" in refused.value.advice
    with pytest.raises(NotPrivateError):
        check_state(state)
    found = doctor.collect(state, [], min_free_mb=0, clock=clock).findings
    assert [one.level for one in found] == [Level.PROBLEM]
    assert why in found[0].seen
    victim = tmp_path / "victim"
    assert not victim.exists() or victim.read_bytes() == b"precious"


def test_a_state_directory_that_others_could_enter_is_closed_to_them(tmp_path: Path) -> None:
    """Whatever its mode was: only its owner needs access."""
    for mode in (0o755, 0o770, 0o777, 0o1777):
        state = tmp_path / f"state-{mode:o}"
        state.mkdir()
        state.chmod(mode)
        with StateDirectory(state):
            assert state.stat().st_mode & 0o777 == 0o700


def test_a_new_state_directory_is_closed_to_other_users(tmp_path: Path) -> None:
    """Nor do new directories above it, whatever the umask is."""
    before = os.umask(0)
    try:
        with StateDirectory(tmp_path / "above" / "state"):
            pass
    finally:
        os.umask(before)
    assert [one.stat().st_mode & 0o777 for one in (tmp_path / "above", tmp_path / "above" / "state")] == [
        0o700,
        0o700,
    ]


def test_a_state_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Anybody who can change the link would choose where the journal is; the directory itself can be configured."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotPrivateError, match="this is a link"):
        StateDirectory(tmp_path / "state")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_state_directory_below_one_that_others_can_write_in_is_refused(tmp_path: Path) -> None:
    """Other users could replace it; a sticky directory, such as /tmp, prevents that."""
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    with pytest.raises(NotPrivateError, match=f"everybody may write in {above}"):
        StateDirectory(above / "state")
    assert list(above.iterdir()) == []
    above.chmod(0o1777)
    with StateDirectory(above / "state"):
        pass


def test_the_path_to_a_directory_is_checked_with_its_links(tmp_path: Path) -> None:
    """The target of a link counts, and so does the directory that contains the link."""
    if os.geteuid():
        give_up("only root can give a directory away")
    mine, theirs, both = tmp_path / "mine", tmp_path / "theirs", tmp_path / "both"
    for one in (mine, theirs, both):
        one.mkdir()
    (theirs / "below").mkdir()
    os.chown(theirs, ANOTHER_USER, -1)
    both.chmod(0o1777)
    (mine / "away").symlink_to(theirs / "below")
    assert writers_above(mine / "away" / "x") == f"{theirs} belongs to user id {ANOTHER_USER}"
    (both / "way").symlink_to(mine)
    assert writers_above(both / "way" / "x") == ""
    os.lchown(both / "way", ANOTHER_USER, -1)
    assert writers_above(both / "way" / "x") == f"everybody may write in {both}"
    mine.chmod(0o775)
    os.chown(mine, -1, ANOTHER_USER)
    assert writers_in(mine) == f"group id {ANOTHER_USER} may write in {mine}"
    os.chown(mine, -1, 0)
    assert writers_in(mine) == ""


def test_a_journal_that_a_crash_left_with_the_name_of_its_backup_is_opened(
    tmp_path: Path, clock: FakeClock
) -> None:
    """An upgrade first gives the earlier file its second name; both are in the directory itself."""
    with StateDirectory(tmp_path / "state") as state:
        store.make(state.path / store.FILE_NAME)
    (state.path / "journal-v2-20250101T000000Z.sqlite").hardlink_to(state.path / store.FILE_NAME)
    with StateDirectory(tmp_path / "state"):
        pass
    assert [one.level for one in doctor.collect(state.path, [], min_free_mb=0, clock=clock).findings].count(
        Level.PROBLEM
    ) == 0


@pytest.mark.timeout(20)
def test_a_journal_that_is_a_fifo_is_set_aside(tmp_path: Path, clock: FakeClock) -> None:
    """Like any other file that is no journal; before, it blocked the start for ever."""
    with StateDirectory(tmp_path / "state") as state:
        os.mkfifo(state.path / store.FILE_NAME)
        with closing(open_or_rebuild(state.path / store.FILE_NAME, clock)) as journal:
            assert rebuilt(journal) is not None


def test_a_journal_without_the_last_recorded_session_is_known_for_an_earlier_one(
    tmp_path: Path, clock: FakeClock
) -> None:
    """A start that fails before the journal records it changes nothing of that."""

    def begin(*, fails: bool = False) -> bool:
        with (
            StateDirectory(tmp_path / "state") as state,
            closing(Journal(state.path, session=state.session, clock=clock)) as journal,
        ):
            if not fails:
                dead = journal.sessions.begin(state.previous_session, state.recorded_session)
                assert state.previous_session is None or state.previous_session in dead
                state.note_recorded()
            misses = journal.folders.misses_results("photos")
            journal.folders.mark_caught_up("photos")
            memory = FolderMemory(input="/in", marker="m", device=1, inode=1, read_only=False)
            journal.folders.remember("photos", memory)
            return misses

    file = tmp_path / "state" / store.FILE_NAME
    assert not begin()
    earlier = file.read_bytes()
    assert not begin()
    assert not begin(fails=True)
    assert not begin()
    file.write_bytes(earlier)
    assert not begin(fails=True)
    assert begin()
    assert not begin()


def test_a_start_that_was_refused_leaves_no_journal_to_be_missed(tmp_path: Path) -> None:
    """Every command then said that the journal is gone, and to put it back; and the next start held the refused one for recorded."""
    place = tmp_path / "state"
    assert not has_run(place)
    with StateDirectory(place) as state:
        assert not has_run(place)
    assert not has_run(place)
    with StateDirectory(place) as state:
        assert (state.previous_session is None, state.recorded_session) == (False, None)
        state.note_recorded()
    assert has_run(place)
    (place / "lock").write_text(f"{'a' * 32}\n17\n")  # as earlier versions write it
    assert has_run(place)


def test_a_folder_that_has_results_to_adopt_keeps_that_under_another_name(
    tmp_path: Path, clock: FakeClock
) -> None:
    """A folder is renamed before it adopts."""
    with closing(Journal(tmp_path, session="run-2", clock=clock)) as journal:
        memory = FolderMemory(input="/in", marker="m", device=1, inode=1, read_only=False)
        journal.folders.remember("photos", memory)
        journal.sessions.begin(recorded="f" * 32)
        journal.folders.relabel("photos", "products")
        assert not journal.folders.misses_results("photos")
        assert journal.folders.misses_results("products")


def test_a_lock_that_is_a_fifo_does_not_hold_up_a_command(tmp_path: Path) -> None:
    """`cutoutd status` checks whether the lock is held."""
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(CutoutdError, match="not a regular file"):
        running(tmp_path)


def test_entries_planted_by_a_hostile_uploader_do_not_mislead_the_supervisor(tmp_path: Path) -> None:
    """The uploader may write in its own directory, which the supervisor uses as well."""
    places = SpoolPaths.under(tmp_path)
    places.make()
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for draft in ("announced.new", "uploaded.new"):
        (places.root / draft).symlink_to(victim)
    announce(places, "a" * 64)
    write_known(places.uploaded, KnownUploads(count=1, last="b" * 32, at="2025-01-01T00:00:00Z"))
    assert victim.read_bytes() == b"precious"
    assert announcement(places).startswith("a" * 64)
    for name in ("announced", "uploaded.json", "status.json"):
        (places.root / name).unlink(missing_ok=True)
        os.mkfifo(places.root / name)
    assert (announcement(places), read_known(places.uploaded), uploader_status(places)) == ("", None, {})


def test_a_journal_that_is_gone_is_told_from_one_that_never_was(tmp_path: Path) -> None:
    """What to do differs: put it back, or start the daemon."""
    with pytest.raises(NotRunYetError, match="has not run"):
        open_journal(tmp_path / "state")
    with StateDirectory(tmp_path / "state") as state:
        with pytest.raises(NotRunYetError, match="has not run"):  # it may be refused yet
            open_journal(state.path)
        state.note_recorded()
    with pytest.raises(JournalGoneError, match="though cutoutd has run here") as raised:
        open_journal(tmp_path / "state")
    assert "Put it back" in str(raised.value)
