"""Uploads: each is written to a file in the folder's upload directory, and submitted once complete.

    begin -> part, part, ... -> end | drop

An upload is the job's number-to-be from its beginning on. One that can be resumed outlives its connection and this process by
a record in the state directory; the others are removed with either. It must not decode anything.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from cutoutd.errnos import FULL
from cutoutd.fs.tree import Tree
from cutoutd.intake import incoming
from cutoutd.journal.state import running
from cutoutd.journal.submissions import Submission, Submissions
from cutoutd.serve.backend import resumable
from cutoutd.serve.backend.disk_refusals import check_room, disk_full
from cutoutd.serve.backend.jobs import submission_key
from cutoutd.serve.backend.open_upload import OpenUpload
from cutoutd.serve.backend.rates import Rates
from cutoutd.serve.backend.state import check_state_disk, folder_of
from cutoutd.submitting import SubmissionGroup, check_place, submit
from cutoutd.webserver.backend import journal
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.job_options import JobOptions
    from cutoutd.serve.backend.resumable import UploadRecord
    from cutoutd.serve.backend.state import ServeBackend
    from cutoutd.serve.keys import ApiKey
    from cutoutd.settings.schema import Folder

IDLE_S: Final = 600.0
"""An upload that nothing was added to for so long is removed; one that can be resumed is closed."""

_MIB: Final = 1 << 20
_DOWN_S: Final = 15
_BUSY_S: Final = 2


class Uploads:
    """All uploads of this process."""

    def __init__(self, backend: ServeBackend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._open: dict[str, OpenUpload] = {}
        self._beginning: set[str] = set()
        self._group = SubmissionGroup()
        self._undropped: set[tuple[Path, str]] = set()  # inputs, and files that a disk did not let us remove
        self.rates = Rates(backend.clock.monotonic_s)

    def begin(
        self, key: ApiKey, *, idempotency: str, declared: int | None, record: UploadRecord | None
    ) -> OpenUpload:
        """Begin an upload.

        Raises:
            RefusedError: the upload is refused, for now or for good.
            OSError: the folder's disk or share refuses.
        """
        backend = self._backend
        folder, settings = folder_of(backend, key), backend.configuration.settings
        most = self.most(key)
        if declared is not None and declared > most:
            raise too_large(most)
        if running(backend.state_dir) is None:
            raise daemon_down()
        check_state_disk(backend)
        self.check_place(folder)
        check_room(folder.input, declared or 0, settings.service.min_free_disk_mb)
        named = f"{key.id}:{idempotency}".encode("utf-8", "surrogatepass")
        number = hashlib.sha256(named).hexdigest()[:32] if idempotency else uuid4().hex
        self._reserve(number, settings.serve.max_uploads)
        try:
            with ExitStack() as opening:
                file = opening.enter_context(incoming.new_file(folder.input))
                written = None if record is None else record.bind(number, key.id, folder.name, file.name)
                if written is not None:
                    resumable.write(backend.state_dir, written)
                stack = opening.pop_all()
            upload = OpenUpload(
                id=number,
                key=key.id,
                folder=folder.name,
                root=folder.input,
                file=file,
                stack=stack,
                most=most,
                sha256=hashlib.sha256(),
                record=written,
                touched_s=backend.clock.monotonic_s(),
            )
            with self._lock:
                self._open[number] = upload
        finally:
            with self._lock:
                self._beginning.discard(number)
        return upload

    def check_place(self, folder: Folder) -> None:
        """Check that a folder's input is the directory that the daemon works on.

        Raises:
            RefusedError: 503; the journal cannot be read.
            OSError: the folder's disk or share refuses.
            StorageError: it is another directory, or its marker is damaged.
        """
        with journal.journal(self._backend) as store:
            if store is not None:
                check_place(store, self._backend.clock, folder.input, folder.name)

    def most(self, key: ApiKey) -> int:
        """Return the largest size of a key's pictures in bytes."""
        settings = self._backend.configuration.settings
        bounds = [
            settings.serve.max_file_mb,
            settings.pool.max_file_mb,
            *([key.max_mb] if key.max_mb else []),
        ]
        return min(bounds) * _MIB

    def get(self, key: ApiKey, number: str) -> OpenUpload:
        """Return an upload of this key; a resumable one is reopened where it is closed.

        Raises:
            RefusedError: 404; there is no such upload.
            OSError: its file cannot be opened.
        """
        with self._lock:
            found = self._open.get(number)
        if found is None and (record := resumable.read(self._backend.state_dir, number)) is not None:
            found = self._reopened(key, record)
        if found is None or found.key != key.id:
            raise RefusedError(404, "no_upload", "There is no such upload; it may have been aborted.")
        return found

    def size(self, key: ApiKey, record: UploadRecord) -> int:
        """Return the size of a resumable upload in bytes; its file is not opened.

        Raises:
            RefusedError: 404; there is no such upload any more.
            OSError: the folder's disk or share refuses.
        """
        with self._lock:
            found = self._open.get(record.id)
        if found is not None:
            return found.size
        folder = folder_of(self._backend, key)
        self.check_place(folder)
        try:
            with Tree(folder.input).entry(incoming.path_of(record.spool)) as entry:
                return entry.lstat().st_size
        except FileNotFoundError:
            raise RefusedError(404, "no_upload", "The upload was interrupted too long ago.") from None

    def add(self, upload: OpenUpload, offset: int, data: bytes) -> int:
        """Write a part; return the size so far in bytes.

        Raises:
            RefusedError: the offset is wrong, the upload is too large, or the disk is full.
            OSError: the folder's disk or share refuses.
        """
        with upload.lock:
            _check_open(upload)
            if offset != upload.size:
                raise RefusedError(
                    409, "offset", f"The next part begins at byte {upload.size}.", offset=upload.size
                )
            if upload.size + len(data) > upload.most:
                raise too_large(upload.most)
            try:
                at = 0
                while at < len(data):
                    at += os.pwrite(upload.file.descriptor, data[at:], upload.size + at)
            except OSError as error:
                if error.errno in FULL:
                    raise disk_full() from error
                raise
            upload.size += len(data)
            if upload.sha256 is not None:
                upload.sha256.update(data)
            upload.touched_s = self._backend.clock.monotonic_s()
            return upload.size

    def finish(self, upload: OpenUpload, name: str, options: JobOptions) -> None:
        """Submit a complete picture.

        Raises:
            RefusedError: 409; another request has submitted or closed it. 422; the idempotency key was used for another request.
            OSError: the folder's disk or share refuses.
            StorageError: the journal cannot be written.
        """
        backend = self._backend
        with upload.lock, journal.required(backend) as store:
            _check_open(upload)
            request = f"{upload.digest()} {options.text()} {name}"
            digest = hashlib.sha256(request.encode("utf-8", "surrogatepass"))
            wanted = Submission(
                key=submission_key(upload.key, upload.id),
                folder=upload.folder,
                spool=upload.file.name,
                name=name,
                options=options,
                digest=digest.hexdigest(),
            )
            holds = submit(store, backend.clock, upload.root, upload.file, wanted, self._group)
            upload.is_submitted = True
            self._close(upload)
            if upload.record is not None:
                with suppress(OSError, RefusedError):  # the journal has it
                    resumable.mark_complete(backend.state_dir, upload.record)
        if holds.digest != digest.hexdigest():
            raise RefusedError(
                422, "idempotency_key", "This idempotency key was used for another picture or other options."
            )

    def drop(self, upload: OpenUpload) -> None:
        """Remove an upload and its file, unless another request has submitted it meanwhile."""
        with upload.lock:
            if not upload.is_submitted:
                self._forget(upload)
                self._discard(upload.root, upload.file.name)

    def drop_if_any(self, number: str) -> None:
        """Remove an upload, whether or not it is open, and its file, unless that is submitted.

        Raises:
            RefusedError: 503; the journal cannot be read.
        """
        with self._lock:
            upload = self._open.get(number)
        if upload is not None:
            self.drop(upload)
        elif (record := resumable.read(self._backend.state_dir, number)) is not None:
            is_submitted = self.is_submitted(record)
            resumable.remove(self._backend.state_dir, number)
            folders = () if is_submitted else self._backend.configuration.settings.folder
            for folder in (one for one in folders if one.name == record.folder and record.spool):
                self._discard(folder.input, record.spool)

    def is_submitted(self, record: UploadRecord) -> bool:
        """Whether a resumable upload is complete, although its record may not say so, since it could not be written any more.

        Raises:
            RefusedError: 503; the journal cannot be read.
        """
        if not record.spool:
            return True
        with journal.journal(self._backend) as store:
            key = submission_key(record.key, record.id)
            return store is not None and Submissions(store, self._backend.clock).find(key) is not None

    def rest(self, number: str) -> None:
        """Close the file of a resumable upload until it is continued."""
        with self._lock:
            upload = self._open.get(number)
        if upload is not None and upload.record is not None:
            with upload.lock:
                self._close(upload)

    def drop_all(self) -> None:
        """Drop or close all uploads after the end of their web process."""
        with self._lock:
            uploads = list(self._open.values())
        for upload in uploads:
            self._let_go(upload)

    def tidy(self) -> None:
        """Drop or close uploads without recent progress."""
        now_s = self._backend.clock.monotonic_s()
        with self._lock:
            old = [one for one in self._open.values() if now_s - one.touched_s > IDLE_S]
            left = tuple(self._undropped)
        for upload in old:
            self._let_go(upload)
        for root, spool in left:
            self._discard(root, spool)
        resumable.sweep(self._backend.state_dir)

    def _discard(self, root: Path, spool: str) -> None:
        """Remove the file of an upload; one that a disk does not let us remove is tried again by `tidy`."""
        try:
            incoming.discard(root, spool)
        except OSError:
            with self._lock:
                self._undropped.add((root, spool))
        else:
            with self._lock:
                self._undropped.discard((root, spool))

    def _let_go(self, upload: OpenUpload) -> None:
        if upload.record is None:
            self.drop(upload)
        else:
            with upload.lock:
                self._close(upload)

    def _forget(self, upload: OpenUpload) -> None:
        self._close(upload)
        if upload.record is not None:
            resumable.remove(self._backend.state_dir, upload.id)

    def _close(self, upload: OpenUpload) -> None:
        with self._lock:
            if self._open.pop(upload.id, None) is not None:
                upload.is_closed = True
                with suppress(OSError):  # some shares report a fault then; what counts was synced before
                    upload.stack.close()

    def _reopened(self, key: ApiKey, record: UploadRecord) -> OpenUpload:
        folder = folder_of(self._backend, key)
        if record.key != key.id or record.folder != folder.name:
            raise RefusedError(404, "no_upload", "There is no such upload; it may have been aborted.")
        self.check_place(folder)
        self._reserve(record.id, self._backend.configuration.settings.serve.max_uploads)
        try:
            with ExitStack() as opening:
                try:
                    file = opening.enter_context(incoming.reopened(folder.input, record.spool))
                except FileNotFoundError:
                    resumable.remove(self._backend.state_dir, record.id)
                    raise RefusedError(404, "no_upload", "The upload was interrupted too long ago.") from None
                size = os.fstat(file.descriptor).st_size
                stack = opening.pop_all()
            upload = OpenUpload(
                id=record.id,
                key=key.id,
                folder=folder.name,
                root=folder.input,
                file=file,
                stack=stack,
                most=self.most(key),
                size=size,
                record=record,
                touched_s=self._backend.clock.monotonic_s(),
            )
            with self._lock:
                self._open[record.id] = upload
        finally:
            with self._lock:
                self._beginning.discard(record.id)
        return upload

    def _reserve(self, number: str, most: int) -> None:
        with self._lock:
            if number in self._open or number in self._beginning:
                raise RefusedError(
                    409,
                    "in_flight",
                    "A request with this idempotency key is under way.",
                    retry_after_s=_BUSY_S,
                )
            if len(self._open) + len(self._beginning) >= most:
                raise RefusedError(
                    503,
                    "busy",
                    "Too many uploads are under way. Try again in a moment.",
                    retry_after_s=_BUSY_S,
                )
            self._beginning.add(number)


def uploads(backend: ServeBackend) -> Uploads:
    """Return the uploads of a backend."""
    return backend.shared.get(Uploads, partial(Uploads, backend))


def _check_open(upload: OpenUpload) -> None:
    if upload.is_closed:
        raise RefusedError(
            409, "offset", "Another request has taken over this upload. Ask for its offset with HEAD."
        )


def too_large(most: int) -> RefusedError:
    """Return the refusal of a picture that is too large."""
    megabytes = most // _MIB
    return RefusedError(413, "too_large", f"The picture is larger than {megabytes} MiB.", max_mb=megabytes)


def daemon_down() -> RefusedError:
    """Return the refusal while no daemon runs."""
    return RefusedError(
        503, "down", "cutoutd is not running just now. Try again in a moment.", retry_after_s=_DOWN_S
    )
