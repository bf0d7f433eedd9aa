"""Uploads at the process behind the API, with a full disk, and with a web process that ends or lies."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd import submitting
from cutoutd.intake import incoming
from cutoutd.job_options import JobOptions
from cutoutd.journal.store import Store
from cutoutd.serve.backend import resumable, upload_methods, uploads
from cutoutd.serve.backend.configuration import CurrentSettings
from cutoutd.serve.backend.process import tidy
from cutoutd.serve.backend.resumable import UploadRecord
from cutoutd.serve.backend.state import ServeBackend
from cutoutd.serve.keys import ApiKey, KeyFile
from cutoutd.settings.schema import Folder, Service, Settings
from cutoutd.webserver.backend.method import BytesMethod, RefusedError

if TYPE_CHECKING:
    from cutoutd.journal.submissions import Submission
    from tests.conftest import FakeClock

KEY = ApiKey(id="k", name="k", folder="shop", sha256="", per_minute=10, max_mb=1, made_us=0)


class UploadSetup:
    """A folder and uploads into it, with a daemon that seems to run."""

    def __init__(self, root: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("in", "out"):
            (root / name).mkdir()
        (root / "state").mkdir(mode=0o700)
        monkeypatch.setattr(uploads, "running", lambda _: "session")
        self.input = root / "in"
        self.backend = ServeBackend(
            configuration=CurrentSettings(self.settings(root, 1), None),
            state_dir=root / "state",
            open_store=lambda: None,
            clock=clock,
            keys=KeyFile(root / "state"),
            tell=lambda *_: None,
        )
        self.uploads = uploads.uploads(self.backend)

    @staticmethod
    def settings(root: Path, min_free_mb: int) -> Settings:
        """Return settings with a limit of free space."""
        return Settings(
            service=Service(state_dir=root / "state", min_free_disk_mb=min_free_mb),
            folder=(Folder(name="shop", input=root / "in", output=root / "out"),),
        )

    def spooled(self) -> list[str]:
        """Return the names in the directory for uploads."""
        return [path.name for path in (self.input / incoming.DIRECTORY).iterdir()]


@pytest.fixture
def upload_setup(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> UploadSetup:
    """A folder and uploads into it, for one test."""
    return UploadSetup(tmp_path, clock, monkeypatch)


def test_a_disk_that_fills_up_during_an_upload_is_reported_and_keeps_nothing(
    upload_setup: UploadSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No upload is started either where there is too little space."""
    upload = upload_setup.uploads.begin(KEY, idempotency="", declared=None, record=None)
    assert upload_setup.uploads.add(upload, 0, b"x" * 10) == 10

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RefusedError) as refused:
        upload_setup.uploads.add(upload, 10, b"x")
    assert refused.value.status == 507
    assert upload.size == 10
    upload_setup.uploads.drop(upload)
    assert upload_setup.spooled() == []
    root = upload_setup.input.parent
    upload_setup.backend.configuration = CurrentSettings(upload_setup.settings(root, 1_000_000_000), None)
    with pytest.raises(RefusedError) as refused:
        upload_setup.uploads.begin(KEY, idempotency="", declared=None, record=None)
    assert refused.value.status == 507
    assert upload_setup.spooled() == []


def test_uploads_of_a_web_process_that_ended_are_removed(upload_setup: UploadSetup, clock: FakeClock) -> None:
    """Abandoned uploads are removed as well; their idempotency keys are free again."""
    for end in (upload_setup.uploads.drop_all, upload_setup.uploads.tidy):
        upload = upload_setup.uploads.begin(KEY, idempotency="once", declared=5, record=None)
        with pytest.raises(RefusedError) as refused:
            upload_setup.uploads.begin(KEY, idempotency="once", declared=5, record=None)
        assert refused.value.status == 409
        clock.advance(601)
        end()
        assert upload_setup.spooled() == []
        with pytest.raises(RefusedError):
            upload_setup.uploads.add(upload, 0, b"x")


def test_a_picture_that_is_submitted_while_its_upload_is_dropped_is_not_lost(
    upload_setup: UploadSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that waited for the other one neither removes the file, which is the daemon's now, nor submits it again."""
    store = Store(upload_setup.backend.state_dir / "journal.sqlite", create=True)
    upload_setup.backend.open_store = lambda: store
    upload = upload_setup.uploads.begin(KEY, idempotency="", declared=None, record=None)
    upload_setup.uploads.add(upload, 0, b"a picture")
    dropping = threading.Thread(target=upload_setup.uploads.drop_if_any, args=(upload.id,))

    def submit(*args: Any, **keywords: Any) -> Submission:  # noqa: ANN401 -- as it is
        dropping.start()
        dropping.join(0.2)
        return submitting.submit(*args, **keywords)

    monkeypatch.setattr(uploads, "submit", submit)
    upload_setup.uploads.finish(upload, "a.jpg", JobOptions())
    dropping.join()
    assert upload_setup.spooled() == [upload.file.name]
    with pytest.raises(RefusedError) as refused:
        upload_setup.uploads.finish(upload, "a.jpg", JobOptions())
    assert refused.value.status == 409
    store.close()


def test_a_share_that_has_a_fault_when_a_file_is_closed_undoes_nothing(upload_setup: UploadSetup) -> None:
    """The picture was synced and is accepted; and what tidies up goes on."""
    store = Store(upload_setup.backend.state_dir / "journal.sqlite", create=True)
    upload_setup.backend.open_store = lambda: store

    def fault() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for end in (
        lambda one: upload_setup.uploads.finish(one, "a.jpg", JobOptions()),
        upload_setup.uploads.drop,
    ):
        upload = upload_setup.uploads.begin(KEY, idempotency="", declared=None, record=None)
        upload_setup.uploads.add(upload, 0, b"a picture")
        upload.stack.callback(fault)
        end(upload)
        assert upload.is_closed
    store.close()


def test_a_submitted_picture_whose_record_could_not_say_so_is_not_removed(
    upload_setup: UploadSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of the state directory was full then; the program ends its upload, as it ends all others."""
    store = Store(upload_setup.backend.state_dir / "journal.sqlite", create=True)
    upload_setup.backend.open_store = lambda: store
    record = UploadRecord(length=9, name="a.jpg", options="")
    upload = upload_setup.uploads.begin(KEY, idempotency="", declared=9, record=record)
    upload_setup.uploads.add(upload, 0, b"a picture")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(resumable, "mark_complete", full)
    upload_setup.uploads.finish(upload, "a.jpg", JobOptions())
    upload_setup.uploads.drop_if_any(upload.id)
    assert upload_setup.spooled() == [upload.file.name]
    store.close()


def test_parts_come_in_their_order_and_no_larger_than_is_allowed(upload_setup: UploadSetup) -> None:
    """Whatever the web process sends, which may have been taken over."""
    upload = upload_setup.uploads.begin(KEY, idempotency="", declared=None, record=None)
    for offset in (1, 10**12):
        with pytest.raises(RefusedError) as refused:
            upload_setup.uploads.add(upload, offset, b"x")
        assert refused.value.status == 409
    with pytest.raises(RefusedError) as refused:
        upload_setup.uploads.add(upload, 0, b"x" * ((1 << 20) + 1))
    assert refused.value.status == 413
    part = upload_methods.METHODS["upload_part"]
    assert isinstance(part, BytesMethod)
    for params in ({}, {"key": "x", "upload": upload.id, "offset": 0}, {"key": 1}):
        with pytest.raises(RefusedError) as refused:
            part.run(upload_setup.backend, params, b"x")
        assert refused.value.status in (400, 401)
    assert upload.size == 0


def test_an_upload_that_cannot_be_measured_is_not_left_open(
    upload_setup: UploadSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a share that is lost right then."""
    record = UploadRecord(length=5, name="a.jpg", options="")
    upload = upload_setup.uploads.begin(KEY, idempotency="", declared=5, record=record)
    upload_setup.uploads.drop_all()
    fstat = os.fstat

    def lost(descriptor: int) -> os.stat_result:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == upload.file.name:
            raise OSError(errno.EIO, "Input/output error")
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", lost)
    with pytest.raises(OSError, match="Input/output") as error:  # what holds the error holds what leaks
        upload_setup.uploads.get(KEY, upload.id)
    opened = [one.readlink().name for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    assert upload.file.name not in opened
    assert error.value.errno == errno.EIO


def test_a_part_that_cannot_be_tidied_ends_nothing() -> None:
    """It ended the API."""
    tidied: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    tidy(fail, lambda: tidied.append("the next"))
    assert tidied == ["the next"]
