"""Staged files that a failing disk kept from being removed are removed as soon as it works again."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from cutoutd.folder.hot_folder import TIDY_S
from cutoutd.folder.status import FolderState, FolderStatus
from cutoutd.publish.staging import STAGING_NAME, Staging, job_directory
from tests.integration.delivery_run import FAILURE, NEW, DeliveryRun
from tests.integration.parts import until
from tests.integration.test_serve_uploads import KEY, UploadSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.serve.backend.uploads import Uploads
    from tests.conftest import FakeClock
    from tests.integration.supervisor_run import SupervisorRun

ERRORS = (errno.EIO, errno.EROFS)


@contextmanager
def refusing(number: int) -> Iterator[None]:
    """Make every removal of an existing file or directory fail with an errno."""

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patched:
        for name in ("unlink", "rmdir"):
            patched.setattr(os, name, refuse)
        yield


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    """A staging directory."""
    made = Staging(tmp_path, "run-1")
    made.open()
    return made


@pytest.mark.parametrize("number", ERRORS)
def test_each_way_to_remove_remembers_what_it_could_not(staging: Staging, number: int) -> None:
    """The directory of a job, one file, and all files of a job."""
    directory = staging.of_job(job_directory(1))
    directory.open_fresh()
    directory.write("1-0.png", NEW)
    staging.write("2.json", NEW)
    staging.write("3.json", NEW)
    with refusing(number):
        directory.remove_whole()
        with pytest.raises(OSError, match=os.strerror(number)):
            staging.remove("2.json")
        with pytest.raises(OSError, match=os.strerror(number)):
            staging.discard(3)
        staging.remove_left_over()
    assert len(list(staging.directory.iterdir())) == 3
    staging.remove_left_over()
    assert list(staging.directory.iterdir()) == []
    assert not staging.left_over


def test_a_file_that_could_not_be_written_is_removed_and_a_later_one_stays(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same name is written again when the disk works."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for name in ("1.json", "2.json"):
        with monkeypatch.context() as patched, refusing(errno.EIO):
            patched.setattr("cutoutd.publish.writing.sync", fail)
            with pytest.raises(OSError, match="error"):
                staging.write(name, NEW)
    assert len(list(staging.directory.iterdir())) == 2
    staging.write("2.json", NEW)
    staging.remove_left_over()
    assert [path.name for path in staging.directory.iterdir()] == ["2.json"]


def test_files_of_a_job_that_cannot_be_listed_are_removed_later(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their names are unknown until the directory can be read."""
    staging.write("7.json", NEW)

    def fail(_: object) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", fail)
        patched.setattr(os, "listdir", fail)
        with pytest.raises(OSError, match="error"):
            staging.discard(7)
    staging.remove_left_over()
    assert list(staging.directory.iterdir()) == []
    assert not staging.left_over


@pytest.mark.parametrize("number", ERRORS)
def test_staged_files_of_a_failed_picture_are_removed_when_the_disk_works(
    make: Callable[..., DeliveryRun], number: int
) -> None:
    """The failure is recorded all the same."""
    delivery_run = make()
    job = delivery_run.begin()
    delivery_run.cut(job, NEW)
    with refusing(number):
        delivery_run.delivery.fail(job, FAILURE)
        delivery_run.delivery.tidy()
        until(lambda: delivery_run.publisher.has_left_over, "the attempt to remove it")
    delivery_run.settle()
    delivery_run.delivery.tidy()
    delivery_run.settle()
    assert delivery_run.staged() == []
    assert not delivery_run.publisher.has_left_over


@pytest.mark.parametrize("number", ERRORS)
def test_leftovers_of_an_ended_session_are_removed_when_the_disk_works(
    make: Callable[..., DeliveryRun], number: int
) -> None:
    """Also where it cannot be removed at the start."""
    delivery_run = make()
    left = delivery_run.folder.output / STAGING_NAME / "run-0"
    left.mkdir(mode=0o700)
    (left / "1-0.png").touch(mode=0o600)
    with refusing(number):
        delivery_run.delivery.sweep(frozenset({"run-0"}))
        delivery_run.settle()
        assert left.exists()
    delivery_run.delivery.tidy()
    delivery_run.settle()
    assert not left.exists()


def test_a_healthy_folder_is_tidied_now_and_then(supervisor_run: SupervisorRun) -> None:
    """Not in every turn of the loop, and not while the folder stands by."""
    left = supervisor_run.staging / "9-0.png"
    left.touch()
    publisher = supervisor_run.hot.delivery.steps.context.publisher
    with refusing(errno.EIO), pytest.raises(OSError, match="error"):
        publisher.staging.remove(left.name)
    supervisor_run.monitor.stand_by("away")
    supervisor_run.hot.watch_over(0.0, blocked_on_io=(), left_behind=())
    until(lambda: supervisor_run.hot.delivery.is_idle, "the delivery")
    assert left.exists()
    supervisor_run.monitor.now(status=FolderStatus(watching=FolderState.NATIVE, scanned=True))
    supervisor_run.hot.watch_over(TIDY_S, blocked_on_io=(), left_behind=())
    until(lambda: not left.exists(), "the removal")


def test_an_upload_that_a_disk_kept_is_removed_later(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the disk works, instead of after a day."""
    upload_setup = UploadSetup(tmp_path, clock, monkeypatch)
    uploads: Uploads = upload_setup.uploads
    upload = uploads.begin(KEY, idempotency="", declared=None, record=None)
    with refusing(errno.EROFS):
        uploads.drop(upload)
        uploads.tidy()
    assert len(upload_setup.spooled()) == 1
    uploads.tidy()
    assert upload_setup.spooled() == []
