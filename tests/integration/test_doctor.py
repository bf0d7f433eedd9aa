"""Doctor's checks in real directories: a share that hangs or refuses, a sound folder, a confined process."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from cutoutd.clock import Clock
from cutoutd.doctor import confinement, folders, machine, state, trial
from cutoutd.doctor.finding import Level
from cutoutd.errors import ModelError
from cutoutd.journal.journal import Journal
from cutoutd.lease import marker
from cutoutd.models import catalog
from cutoutd.process import probe
from cutoutd.sandbox import survey
from cutoutd.settings.schema import Folder, ModelSettings, Settings
from cutoutd.settings.types import ExecutionProvider
from tests.integration.parts import until
from tests.integration.share import Share
from tests.integration.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 12


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """A share without faults."""
    share = Share(tmp_path)
    share.attach()
    for name in ("in", "out"):
        (share.far / name).mkdir()
    yield share
    share.detach()


def with_tests() -> dict[str, str]:
    """Return an environment in which modules of the tests are found."""
    return dict(os.environ) | {"PYTHONPATH": os.fspath(Path(__file__).parents[2])}


def folder_on(root: Path) -> Folder:
    """Return a hot folder on the share."""
    return Folder(name="f", input=root / "in", output=root / "out")


def test_a_folder_is_examined_and_left_unchanged(tmp_path: Path) -> None:
    """Sub-folders are counted; the probe is removed again."""
    (tmp_path / "in" / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.jpg").write_bytes(b"x")
    (tmp_path / "in" / "e\u0301.jpg").write_bytes(b"x")
    (tmp_path / "in" / ".b.jpg.icloud").write_bytes(b"x")
    (tmp_path / "out").mkdir()
    left = tmp_path / "out" / ".cutoutd-probe-0"
    left.touch()
    os.utime(left, (0, 0))
    uuid = marker.create(os.fspath(tmp_path / "in"), "0" * 8)
    before = sorted(path for path in tmp_path.rglob("*") if path != left)
    seen = folders.collect(folder_on(tmp_path))
    found, output = seen["input"], seen["output"]
    assert (found["directories"], found["files"], found["complete"]) == (3, 4, True)
    assert (found["decomposed"], found["placeholders"], found["marker"]) == (1, 1, uuid)
    assert output["rename"] == "kernel"
    assert abs(output["skew_s"]) < 1
    assert output["free_mb"] > 0
    assert sorted(tmp_path.rglob("*")) == before


def test_missing_places_are_distinguished(tmp_path: Path) -> None:
    """No input; an output that can be made."""
    seen = folders.collect(folder_on(tmp_path))
    assert seen["input"]["errno"] == errno.ENOENT
    missing = {"missing": True, "above": os.fspath(tmp_path), "writable": True}
    assert {key: seen["output"][key] for key in missing} == missing


def test_a_share_that_hangs_does_not_block_doctor(share: Share) -> None:
    """The findings from before the hang are reported, and where it hangs."""
    share.hang(only="/out")
    begun = time.monotonic()
    seen = folders.collect(folder_on(share.mount), timeout_s=5.0)
    assert time.monotonic() - begun < 40
    assert seen["input"]["network"] is True
    assert seen["at"] == "output"
    assert "no answer within 5 s" in seen["stopped"]


def test_a_share_is_polled_and_left_as_it_was(share: Share) -> None:
    """As in the daemon; the probes went through the share and are gone."""
    seen = folders.collect(folder_on(share.mount))
    assert seen["input"]["watching"] == "poll"
    assert seen["output"]["rename"] in ("kernel", "link", "checked")
    assert list((share.far / "out").iterdir()) == []


def test_a_share_that_refuses_writing_is_reported(share: Share) -> None:
    """With the system's reason, and no file left."""
    share.fail(errno.EROFS, "create")
    assert folders.collect(folder_on(share.mount))["output"]["errno"] == errno.EROFS


def test_a_module_that_is_not_there_is_an_answer_too() -> None:
    """With Python's last line of output."""
    answer = probe.run("cutoutd.no_such_module", [], timeout_s=20)
    assert not answer.ended
    assert "No module named" in answer.why


def test_output_before_the_time_limit_is_kept() -> None:
    """The process prints nothing more."""
    answer = probe.run(
        "tests.integration.says_one_thing_and_hangs", [], timeout_s=5, environment=with_tests()
    )
    assert answer.merged == {"first": 1}
    assert "no answer" in answer.why


def test_a_process_locked_in_as_workers_are_is_refused_all_of_it() -> None:
    """On this machine's kernel."""
    (found,) = confinement.tried(survey.gaps())
    assert found.level is (Level.NOTE if survey.gaps() else Level.OK), found.seen


def test_the_kernel_reports_a_process_without_a_filter() -> None:
    """The test's own process is not confined; otherwise the check would find nothing."""
    need("strace")  # the same machines, those with Linux
    own = confinement.process(os.getpid())
    assert own is not None
    assert not own.filtered


def test_watches_of_a_process_are_counted(tmp_path: Path) -> None:
    """Of this process alone, since other processes come and go meanwhile."""
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
    before = machine.inotify_used(proc)
    observers = [Observer() for _ in range(MANY)]
    for number, observer in enumerate(observers):
        (tmp_path / str(number)).mkdir()
        observer.schedule(_Deaf(), os.fspath(tmp_path / str(number)))
        observer.start()
    try:
        wanted = machine.Inotify(watches=before.watches + MANY, instances=before.instances + MANY)
        until(lambda: machine.inotify_used(proc) == wanted, "the observers' own threads")
    finally:
        for observer in observers:
            observer.stop()
        for observer in observers:
            observer.join()
    assert machine.inotify_used(proc) == before


class _Deaf(FileSystemEventHandler):
    """Ignores events."""

    def dispatch(self, event: FileSystemEvent) -> None:
        """Ignore an event."""


def test_the_worker_reports_a_model_that_does_not_load(tmp_path: Path) -> None:
    """In a child process, since a trial gives the network up for good."""
    answer = probe.run(
        "tests.integration.doctor_trial", [os.fspath(tmp_path)], timeout_s=60, environment=with_tests()
    )
    assert answer.ended, answer.why
    assert answer.merged["good"] == ["", "refused", True]
    assert "cuda" in answer.merged["cuda"]
    assert answer.merged["broken"]
    assert answer.merged["left"] == []


def test_a_journal_is_read_for_what_it_knows(tmp_path: Path) -> None:
    """While no process writes to it, and without changing it."""
    tmp_path.chmod(0o700)
    journal = Journal(tmp_path, session="r", clock=Clock())
    journal.close()
    found = state.collect(tmp_path, ["f"], min_free_mb=0, clock=Clock())
    assert {one.level for one in found.findings} == {Level.OK, Level.NOTE}
    assert found.pid is None


def test_a_provider_that_is_unknown_is_a_problem() -> None:
    """The catalog's own error, before any worker is started."""
    with pytest.raises(ModelError):
        catalog.find("no-such-model")
    tried = trial.Trial(why="x")
    found = list(trial.judge(tried, Settings(model=ModelSettings(provider=ExecutionProvider.CUDA))))
    assert {one.level for one in found} == {Level.PROBLEM}
