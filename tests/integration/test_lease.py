"""The lease on a folder, on real files: claimed by one machine, kept, lost, released, and never held by two."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cutoutd.errors import StorageError
from cutoutd.lease import challenge, epochs, lease, marker
from cutoutd.lease.lease import Lease, NotOwnerError
from cutoutd.lease.policy import HEARTBEAT_S, LEASE_S, SILENCE_S
from tests.conftest import FakeClock
from tests.integration.share import Share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = "11111111-1111-4111-8111-111111111111"


class Machine:
    """A machine with its own state directory."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.root = os.fspath(root)
        self.clock = clock
        self.dead: set[str] = set()
        self.run = ""
        self.start()

    def start(self) -> None:
        """Start a run; the one before is dead, however it ended."""
        self.dead.add(self.run)
        self.run = uuid.uuid4().hex
        self.lease = Lease(run=self.run, is_dead=self.dead.__contains__, clock=self.clock)

    def attends(self) -> bool:
        """Renew the lease. Returns whether the machine holds it."""
        return self.lease.acquire(self.root, FOLDER).ours

    def may_publish(self) -> bool:
        """Return whether it can prove its lease."""
        try:
            self.lease.prove()
        except NotOwnerError:
            return False
        return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A marked folder."""
    root = tmp_path / "in"
    root.mkdir()
    marker.create(str(root), FOLDER)
    return root


def pair(folder: Path, clock: FakeClock) -> tuple[Machine, Machine]:
    """Return two machines that share a folder."""
    return Machine(folder, clock), Machine(folder, clock)


def epoch_of(folder: Path) -> int:
    """Return the epoch in the marker."""
    epoch: int = json.loads((folder / marker.NAME).read_text())["owner"]["term"]
    return epoch


def names(folder: Path) -> list[str]:
    """Return the names in the folder."""
    return sorted(path.name for path in folder.iterdir())


def wait_for_silence(machine: Machine) -> float:
    """Renew every few seconds until the machine has the folder. Returns how long that took."""
    started_s = machine.clock.monotonic_s()
    while not machine.attends():
        machine.clock.advance(5.0)
        assert machine.clock.monotonic_s() < started_s + 2 * SILENCE_S
    return machine.clock.monotonic_s() - started_s


def test_the_first_machine_works_and_the_other_stands_by_and_names_it(folder: Path, clock: FakeClock) -> None:
    """As long as the first gives signs of life."""
    first, second = pair(folder, clock)
    assert first.attends()
    for _ in range(60):
        clock.advance(HEARTBEAT_S)
        assert first.lease.renew()
        held = second.lease.acquire(second.root, FOLDER)
        assert not held.ours
    assert os.uname().nodename in held.note
    assert "since 20" in held.note
    assert (first.may_publish(), second.may_publish()) == (True, False)


def test_another_machine_is_named_only_where_there_is_one(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second cutoutd on the same machine is reported as such."""
    first, second = pair(folder, clock)
    assert first.attends()
    here = second.lease.acquire(second.root, FOLDER).note
    assert here.startswith(f"another cutoutd on this machine ({os.uname().nodename}) has been working")
    assert "another machine" not in here
    monkeypatch.setattr(lease, "_host", lambda: "elsewhere")
    there = second.lease.acquire(second.root, FOLDER).note
    assert there.startswith(f"another machine, {os.uname().nodename}, has been working on this folder")


def test_the_marker_names_the_owner_and_keeps_its_size(folder: Path, clock: FakeClock) -> None:
    """Anyone can read it, and a share that caches sizes is not misled."""
    first, _ = pair(folder, clock)
    before = (folder / marker.NAME).stat()
    assert first.attends()
    after = (folder / marker.NAME).stat()
    assert (after.st_size, after.st_ino) == (before.st_size, before.st_ino)
    document = json.loads((folder / marker.NAME).read_text())
    assert document["uuid"] == FOLDER
    assert (document["owner"]["host"], document["owner"]["run"]) == (os.uname().nodename, first.run)
    assert (document["owner"]["term"], document["owner"]["beat"]) == (1, 0)


def test_a_marker_of_an_older_version_is_given_an_owner(folder: Path, clock: FakeClock) -> None:
    """The old marker has no field for an owner, and is replaced."""
    (folder / marker.NAME).write_text(json.dumps({"schema": marker.SCHEMA, "uuid": FOLDER}))
    first, second = pair(folder, clock)
    assert first.attends()
    assert not second.attends()
    assert marker.read(str(folder)) == FOLDER


def test_silence_hands_the_folder_over_and_the_silent_machine_detects_it(
    folder: Path, clock: FakeClock
) -> None:
    """Before it publishes anything, by its lease and by what it reads; the new owner knows that its journal lacks something."""
    first, second = pair(folder, clock)
    assert first.attends()
    assert not second.attends()
    assert SILENCE_S - HEARTBEAT_S <= wait_for_silence(second) <= SILENCE_S + HEARTBEAT_S
    assert (first.may_publish(), second.may_publish()) == (False, True)
    assert second.lease.inherited
    assert not first.attends()
    second.lease.mark_caught_up()
    assert not second.lease.inherited


def test_a_suspended_machine_reads_that_it_was_succeeded(folder: Path, clock: FakeClock) -> None:
    """Even if its own clock stood still meanwhile."""
    first, second = pair(folder, clock)
    second.clock = FakeClock()
    second.start()
    assert first.attends()
    wait_for_silence(second)
    assert first.lease.is_held
    assert not first.may_publish()


def test_a_machine_that_slept_and_was_not_succeeded_goes_on_at_once(folder: Path, clock: FakeClock) -> None:
    """With a new epoch, and nothing to learn."""
    first, _ = pair(folder, clock)
    assert first.attends()
    clock.advance(LEASE_S + 1)
    assert not first.may_publish()
    assert not first.lease.renew()
    assert first.attends()
    assert first.may_publish()
    assert not first.lease.inherited


def test_an_orderly_end_frees_the_folder_at_once(folder: Path, clock: FakeClock) -> None:
    """Only the marker stays; the other machine knows that its journal lacks something."""
    first, second = pair(folder, clock)
    assert first.attends()
    assert not second.attends()
    first.lease.release()
    assert not first.may_publish()
    assert names(folder) == [marker.NAME]
    assert second.attends()
    assert second.lease.inherited


def test_a_restart_takes_over_from_its_own_dead_run_at_once(folder: Path, clock: FakeClock) -> None:
    """The lock on the state directory proves that it is dead; the journal is the same."""
    first, second = pair(folder, clock)
    assert first.attends()
    assert not second.attends()
    first.start()
    assert first.attends()
    assert not first.lease.inherited
    assert not second.attends()


def test_the_next_run_learns_what_a_dead_run_had_not(folder: Path, clock: FakeClock) -> None:
    """The dead run ended between the take-over and its first complete scan."""
    first, second = pair(folder, clock)
    assert first.attends()
    wait_for_silence(second)
    second.start()
    assert second.attends()
    assert second.lease.inherited


def test_a_claim_of_a_dead_run_is_removed_in_the_end(folder: Path, clock: FakeClock) -> None:
    """After the silence limit it is ignored, and removed."""
    first, _ = pair(folder, clock)
    (folder / f"{marker.NAME}.term-1").write_text("of nobody")
    assert not first.attends()
    assert wait_for_silence(first) <= SILENCE_S + HEARTBEAT_S
    assert names(folder) == [marker.NAME, f"{marker.NAME}.term-2"]


def test_a_run_that_dies_while_claiming_leaves_no_empty_claim(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty claim would have no known owner, and the next run would wait for nobody."""
    first, _ = pair(folder, clock)

    def die(*_: object) -> int:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", die)
        with pytest.raises(SystemExit):
            first.attends()
    first.start()
    assert first.attends()
    assert names(folder) == [marker.NAME, f"{marker.NAME}.term-1"]


def test_a_claim_that_the_share_wrongly_denies_is_valid(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS repeats a call whose answer was lost, and reports that the name is taken: by this machine itself."""
    first, second = pair(folder, clock)
    link = os.link

    def link_twice(*names: str, **given: Any) -> None:  # noqa: ANN401 -- as os.link
        link(*names, **given)
        link(*names, **given)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", link_twice)
        assert first.attends()
    assert not second.attends()
    assert set(names(folder)) == {marker.NAME, challenge.NAME, f"{marker.NAME}.term-1"}


def test_a_claim_is_valid_though_its_draft_cannot_be_removed(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The draft is removed with the next claim, or at the next start."""
    first, _ = pair(folder, clock)
    unlink = os.unlink

    def refuse(path: str, **given: Any) -> None:  # noqa: ANN401 -- as os.unlink
        if str(path).endswith(".new"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        unlink(path, **given)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        assert first.attends()
    first.lease.release()
    first.start()
    assert first.attends()
    assert names(folder) == [marker.NAME, f"{marker.NAME}.term-2"]


def test_leftovers_of_an_unfinished_claim_are_removed_by_the_next(folder: Path, clock: FakeClock) -> None:
    """After a kill, or a power failure that undoes its removal."""
    first, _ = pair(folder, clock)
    (folder / f"{marker.NAME}.term-1.0123456789abcdef.new").write_text("0123456789abcdef")
    assert first.attends()
    assert names(folder) == [marker.NAME, f"{marker.NAME}.term-1"]


def test_a_folder_without_second_names_for_a_file_is_claimed_by_one_too(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as FAT, which has no hard links."""
    first, second = pair(folder, clock)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    assert first.attends()
    assert not second.attends()
    assert first.may_publish()
    assert set(names(folder)) == {marker.NAME, challenge.NAME, f"{marker.NAME}.term-1"}


def test_a_claim_that_a_power_failure_restored_is_removed_by_the_next(folder: Path, clock: FakeClock) -> None:
    """Its removal was not on the disk yet when the marker was."""
    first, _ = pair(folder, clock)
    assert first.attends()
    first.lease.release()
    (folder / f"{marker.NAME}.term-1").write_text(first.run)
    first.start()
    assert first.attends()
    first.lease.release()
    assert names(folder) == [marker.NAME]


def test_a_machine_whose_claim_was_removed_says_so_and_goes_on(folder: Path, clock: FakeClock) -> None:
    """Before, it said that another cutoutd on this machine had the folder, which was itself."""
    first, _ = pair(folder, clock)
    assert first.attends()
    (folder / f"{marker.NAME}.term-1").unlink()
    clock.advance(HEARTBEAT_S)
    assert "the claim of this machine was removed" in first.lease.acquire(first.root, FOLDER).note
    started_s = clock.monotonic_s()
    while not first.attends():
        clock.advance(5.0)
        assert clock.monotonic_s() < started_s + 3 * SILENCE_S


@pytest.mark.parametrize("put_back", ["written again", "an older one", "an older one of an owner that ended"])
def test_a_marker_that_does_not_know_the_owner_makes_no_second_one(
    folder: Path, clock: FakeClock, put_back: str
) -> None:
    """The claims beside it count, however far it is behind them; before, an early epoch was claimed beside the owner's."""
    first, second = pair(folder, clock)
    assert first.attends()
    if put_back == "an older one of an owner that ended":
        first.lease.release()
        first.start()
    text = marker.text(FOLDER) if put_back == "written again" else (folder / marker.NAME).read_text()
    for _ in range(4):
        first.start()
        assert first.attends()
    assert second.attends() is False
    (folder / marker.NAME).write_text(text)
    for _ in range(2):
        assert second.attends() is False
        assert (first.may_publish(), second.may_publish()) == (True, False)
    assert first.attends()
    assert json.loads((folder / marker.NAME).read_text())["owner"]["run"] == first.run
    (folder / marker.NAME).write_text(text)
    clock.advance(LEASE_S)  # the first one is gone
    started_s = clock.monotonic_s()
    while not second.attends():
        clock.advance(5.0)
        assert clock.monotonic_s() < started_s + 3 * SILENCE_S
    assert [name for name in names(folder) if "term" in name] == [f"{marker.NAME}.term-{epoch_of(folder)}"]
    assert first.may_publish() is False


def test_another_folder_in_its_place_is_not_written_to(folder: Path, clock: FakeClock) -> None:
    """Neither is a folder whose marker is damaged."""
    first, _ = pair(folder, clock)
    assert first.attends()
    other = marker.text("22222222-2222-4222-8222-222222222222")
    for held in (other, "{"):
        (folder / marker.NAME).write_text(held)
        with pytest.raises((NotOwnerError, StorageError)):
            first.attends()
        assert (folder / marker.NAME).read_text() == held


def test_a_read_only_input_is_worked_on_with_a_warning(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless another machine visibly works on it."""
    first, second = pair(folder, clock)

    def refuse(*_: object) -> bool:
        # No permission stops the tests if they run as root.
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(epochs, "claim", refuse)
        held = first.lease.acquire(first.root, FOLDER)
        assert held.ours
        assert "read-only" in held.note
        assert first.may_publish()
    assert second.attends()
    assert not first.attends()
    assert not first.may_publish()


CLAIM = """
import sys
from cutoutd.clock import Clock
from cutoutd.lease.lease import Lease
sys.stdin.readline()
held = Lease(run=sys.argv[2], is_dead=lambda _: False, clock=Clock())
print(held.acquire(sys.argv[1], sys.argv[3]).ours)
"""


def starts_at_once(roots: list[Path], count: int) -> list[str]:
    """Let processes claim a folder at the same instant. Returns the outcome of each."""
    begun = [
        subprocess.Popen(
            [sys.executable, "-Bc", CLAIM, roots[number % len(roots)], f"run-{number}", FOLDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    for process in begun:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0].strip() for process in begun]


def test_of_many_that_start_at_once_one_wins(folder: Path) -> None:
    """The one that creates the claim."""
    assert starts_at_once([folder], 6).count("True") == 1


def test_of_two_machines_on_a_share_without_hard_links_one_wins(tmp_path: Path) -> None:
    """Each has its own mount, so that only the far side decides."""
    one = Share(tmp_path, "one")
    two = Share(tmp_path, "two", far=one.far)
    marker.create(str(one.far), FOLDER)
    try:
        one.attach()
        two.attach()
        assert starts_at_once([one.mount, two.mount], 4).count("True") == 1
    finally:
        one.detach()
        two.detach()


class Interleaved:
    """Machines whose every access to the folder waits for its turn, so that a test decides about the order."""

    TOUCHES = (
        *((epochs, name) for name in ("claim", "claimant_of", "end")),
        *((challenge, name) for name in ("read_digest", "write", "remove")),
        (marker, "read_in"),
        (marker, "_overwrite"),
    )

    def __init__(self, root: Path, count: int) -> None:
        # A clock each: one that is suspended with its whole machine stands still.
        self.machines = [Machine(root, FakeClock()) for _ in range(count)]
        self._threads: dict[int, threading.Thread | None] = dict.fromkeys(range(count))
        self._turns = [threading.Semaphore(0) for _ in range(count)]
        self._came_to_rest = threading.Semaphore(0)
        self._mine = threading.local()
        self._over = False
        self._kept: list[tuple[object, str, Callable[..., object]]] = []
        for module, name in self.TOUCHES:
            real = getattr(module, name)
            self._kept.append((module, name, real))
            setattr(module, name, self._in_turn(real))

    def _in_turn(self, real: Callable[..., object]) -> Callable[..., object]:
        """Return a function that waits for its machine's turn before the real one runs."""

        def touch(*arguments: object) -> object:
            number = getattr(self._mine, "number", None)
            if number is not None and not self._over:
                self._came_to_rest.release()
                self._turns[number].acquire()
            return real(*arguments)

        return touch

    def pass_time(self, seconds: float, *, frozen: int | None = None) -> None:
        """Advance the time of all machines but one."""
        for number, machine in enumerate(self.machines):
            if number != frozen:
                machine.clock.advance(seconds)

    def look(self, number: int) -> None:
        """Let a machine finish its renewal, or start and finish one."""
        self.go_on(number)
        while self._threads[number] is not None:
            self.go_on(number)

    def go_on(self, number: int) -> None:
        """Let a machine make one access; it starts a renewal if none is in progress."""
        if self._threads[number] is None:
            thread = threading.Thread(target=self._attend, args=(number,), daemon=True)
            self._threads[number] = thread
            thread.start()
        else:
            self._turns[number].release()
        self._came_to_rest.acquire()

    def _attend(self, number: int) -> None:
        """Renew a machine's lease in its own thread."""
        self._mine.number = number
        self.machines[number].attends()
        self._threads[number] = None
        self._came_to_rest.release()

    def owners(self) -> int:
        """Return how many machines could prove at this moment that they have the folder."""
        return sum(machine.may_publish() for machine in self.machines)

    def end(self) -> None:
        """Let all finish, and restore everything."""
        self._over = True
        for number, thread in list(self._threads.items()):
            if thread is not None:
                self._turns[number].release()
                thread.join(10.0)
        for module, name, real in self._kept:
            setattr(module, name, real)


@pytest.fixture(scope="module")
def many() -> Iterator[Path]:
    """The directory for the many folders of a property test."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


MACHINES = st.sampled_from([0, 1, 2])
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("look"), MACHINES, MACHINES),
        st.tuples(st.just("touch"), MACHINES, st.integers(1, 9)),
        st.tuples(st.just("nap"), MACHINES, MACHINES),
        st.tuples(st.just("put back"), st.integers(0, 25), MACHINES),
    ),
    max_size=25,
)
"""A machine finishes its renewal, makes some accesses, or finishes it while another one is suspended; or one of the markers that were
there before is put back, the first of which names no owner."""


# A former owner writes into the marker after two others; before, whoever claimed met the last one's claim, withdrew, and nobody ever held it.
@example(
    moves=[
        ("touch", 0, 1),
        ("touch", 0, 6),
        ("nap", 2, 0),
        ("look", 1, 0),
        ("nap", 1, 0),
        ("look", 0, 0),
        ("look", 0, 0),
        ("look", 0, 0),
    ]
)
@settings(max_examples=40, deadline=None)
@given(moves=MOVES)
def test_never_do_two_machines_believe_to_hold_the_folder(
    many: Path, moves: list[tuple[str, int, int]]
) -> None:
    """In any order of accesses, and however long each machine is suspended between two of them."""
    root = Path(tempfile.mkdtemp(dir=many))
    marker.create(str(root), FOLDER)
    former = [(root / marker.NAME).read_bytes()]
    world = Interleaved(root, 3)
    try:
        for kind, number, other in moves:
            former.append((root / marker.NAME).read_bytes())
            if kind == "put back":
                (root / marker.NAME).write_bytes(former[min(number, len(former) - 1)])
                continue
            if kind == "touch":
                for _ in range(other):
                    world.go_on(number)
                    assert world.owners() <= 1
            for _ in range({"touch": 0, "look": 1, "nap": 6}[kind]):
                world.pass_time(12.0, frozen=other)
                world.look(number)
                assert world.owners() <= 1
    finally:
        world.end()
    for _ in range(60):  # and sooner or later one does
        world.pass_time(5.0)
        held = [machine.attends() for machine in world.machines]
        assert world.owners() <= 1
    assert sum(held) == 1


def test_a_lease_written_by_the_version_before_is_honoured(folder: Path, clock: FakeClock) -> None:
    """Its marker and its claim, byte for byte: while it may be alive it is asked; once it is dead, its epoch is succeeded."""
    document = (
        '{"schema": "cutoutd.folder/2", "uuid": "%s", "owner": {"host": "old", "run": "run-of-old", "term": 7, '
        '"beat": 3, "since": "2026-01-01T00:00:00Z", "settled": true, "released": false, "answered": ""}}'
    )
    (folder / marker.NAME).write_text(document % FOLDER)
    (folder / f"{marker.NAME}.term-7").write_text("run-of-old")
    machine = Machine(folder, clock)
    assert not machine.attends()
    assert set(names(folder)) == {marker.NAME, challenge.NAME, f"{marker.NAME}.term-7"}
    machine.dead.add("run-of-old")
    assert machine.attends()
    assert set(names(folder)) == {marker.NAME, f"{marker.NAME}.term-8"}
    owner = json.loads((folder / marker.NAME).read_text())["owner"]
    assert list(owner) == [
        "host",
        "run",
        "term",
        "beat",
        "since",
        "settled",
        "released",
        "answered",
    ]  # as that version reads it
    assert (owner["run"], owner["term"]) == (machine.run, 8)
