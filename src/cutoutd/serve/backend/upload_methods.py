"""The methods for uploads; see `cutoutd.serve.backend.uploads`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cutoutd.errors import ConfigurationError
from cutoutd.intake.rules import rules_of
from cutoutd.job_options import JobOptions, JobOptionsError
from cutoutd.journal.state import running
from cutoutd.serve.backend import resumable
from cutoutd.serve.backend.disk_refusals import folder_faults
from cutoutd.serve.backend.jobs import described
from cutoutd.serve.backend.state import allowed, check_present, folder_of, trouble_in
from cutoutd.serve.backend.uploads import uploads
from cutoutd.serve.backend.watching import watches
from cutoutd.submitted_names import fitting_name, no_name
from cutoutd.webserver.backend.method import BytesMethod, RefusedError, Reply
from cutoutd.webserver.backend.parameters import text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.serve.backend.open_upload import OpenUpload
    from cutoutd.serve.backend.resumable import UploadRecord
    from cutoutd.serve.backend.state import Method, ServeBackend
    from cutoutd.serve.keys import ApiKey
    from cutoutd.webserver.backend.method import Parameters

MAX_PART: Final = 1 << 18
"""Bytes of a part."""

MAX_OPTIONS: Final = 4096
MAX_NAME: Final = 1000

_rules_of = lru_cache(maxsize=16)(rules_of)


def _begin(backend: ServeBackend, params: Parameters) -> Reply:
    """``folder``, ``idempotency`` (both may be empty), ``bytes`` (-1: not known) -> ``upload``, ``most`` and the rate."""
    key = allowed(backend, params)
    _check_folder(key, text(params, "folder", "", longest=255))
    _options(params)
    check_present(backend, folder_of(backend, key))
    rate = uploads(backend).rates.take(key)
    declared, record = whole(params, "bytes", -1, least=-1), resumable.parse_record(params)
    if record is not None:
        _check_name(backend, key, record.name)
    with folder_faults():
        upload = uploads(backend).begin(
            key,
            idempotency=text(params, "idempotency", "", longest=255),
            declared=None if declared < 0 else declared,
            record=record,
        )
    return Reply(data={"upload": upload.id, "most": upload.most, "rate": rate.named})


def _options(params: Parameters) -> JobOptions:
    try:
        return JobOptions.parse(text(params, "options", "", longest=MAX_OPTIONS))
    except JobOptionsError as error:
        raise RefusedError(422, "options", f"The options are wrong: {error}") from error


def _check_folder(key: ApiKey, folder: str) -> None:
    """Check that a key is for the named folder; an empty name passes.

    Raises:
        RefusedError: 403; the key is for another folder, whether or not the named one exists.
    """
    if folder and folder != key.folder:
        raise RefusedError(403, "other_folder", "This key is for another folder.")


def _check_name(backend: ServeBackend, key: ApiKey, name: str) -> None:
    """Check that the folder takes a picture with such a name, as `cutoutd.folder.submissions` will choose it.

    Raises:
        RefusedError: 422; it takes none.
    """
    folder = folder_of(backend, key)
    try:
        rules = _rules_of(folder)
    except ConfigurationError:
        return  # the daemon goes on with its earlier configuration
    if fitting_name(rules, name) is None:
        raise RefusedError(
            422,
            "name",
            f"The picture is not taken: {no_name(name)}. Send it with a name that the folder's include and exclude allow.",
        )


def _part(backend: ServeBackend, params: Parameters, body: bytes) -> Reply:
    """``upload``, ``offset`` and a body -> ``offset`` of the next part."""
    upload = _named(backend, params)
    if len(body) > MAX_PART:
        raise RefusedError(413, "part", "The part is too large.")
    with folder_faults():
        return Reply(data={"offset": uploads(backend).add(upload, whole(params, "offset"), body)})


def _end(backend: ServeBackend, params: Parameters) -> Reply:
    """``upload``, ``name``, ``options`` (JSON as text), ``waits`` -> the job, as `cutoutd.serve.backend.jobs` describes it."""
    key = allowed(backend, params)
    upload = _named(backend, params)
    options = _options(params)
    name = text(params, "name", "", longest=MAX_NAME) or "picture"
    if upload.size == 0:
        raise RefusedError(400, "empty", "The picture is empty.")
    _check_name(backend, key, name)
    # From now on, so that no change is missed.
    watches(backend).add(upload.key, upload.id, waits=params.get("waits") is True)
    with folder_faults():
        uploads(backend).finish(upload, name, options)
    return Reply(data=described(backend, key, upload.id))


def _drop(backend: ServeBackend, params: Parameters) -> Reply:
    """``upload`` -> nothing; whether its key is still good or not."""
    uploads(backend).drop_if_any(text(params, "upload", longest=32))
    return Reply(data={})


def _offset(backend: ServeBackend, params: Parameters) -> Reply:
    """``upload``, one that can be resumed -> ``offset``, ``length``, ``name``, ``options``, and whether it is ``done``."""
    key = allowed(backend, params)
    record = resumable.read(backend.state_dir, text(params, "upload", longest=32))
    if record is None or record.key != key.id:
        raise RefusedError(404, "no_upload", "There is no such upload; it may have been aborted.")
    is_done = uploads(backend).is_submitted(record)
    data = {
        "id": record.id,
        "offset": record.length if is_done else _size(backend, key, record),
        "length": record.length,
        "name": record.name,
        "options": record.options,
        "done": is_done,
    }
    return Reply(data=data)


def _size(backend: ServeBackend, key: ApiKey, record: UploadRecord) -> int:
    with folder_faults():
        return uploads(backend).size(key, record)


def _rest(backend: ServeBackend, params: Parameters) -> Reply:
    """``upload``, to which nothing is added for now -> nothing."""
    uploads(backend).rest(text(params, "upload", longest=32))
    return Reply(data={})


def _named(backend: ServeBackend, params: Parameters) -> OpenUpload:
    key = allowed(backend, params)
    with folder_faults():
        return uploads(backend).get(key, text(params, "upload", longest=32))


def _key(backend: ServeBackend, params: Parameters) -> Reply:
    """Return the permissions of the key."""
    key = allowed(backend, params)
    _check_folder(key, text(params, "folder", "", longest=255))
    name = folder_of(backend, key).name
    data = {
        "id": key.id,
        "name": key.name,
        "folder": name,
        "per_minute": key.per_minute,
        "max_bytes": uploads(backend).most(key),
        "running": running(backend.state_dir) is not None,
        "trouble": trouble_in(backend, name),
    }
    return Reply(data=data)


METHODS: Final[Mapping[str, Method]] = {
    "key": _key,
    "upload_begin": _begin,
    "upload_part": BytesMethod(_part),
    "upload_end": _end,
    "upload_drop": _drop,
    "upload_offset": _offset,
    "upload_rest": _rest,
}
