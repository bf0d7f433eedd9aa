"""Uploaded background pictures: written part by part, and kept by their hash once complete."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd import backgrounds
from cutoutd.fs.durable import make_directory
from cutoutd.journal.submissions import Submissions
from cutoutd.serve.backend.disk_refusals import state_faults
from cutoutd.serve.backend.state import allowed
from cutoutd.serve.backend.uploads import too_large, uploads
from cutoutd.webserver.backend import journal
from cutoutd.webserver.backend.method import BytesMethod, RefusedError, Reply
from cutoutd.webserver.backend.parameters import text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.serve.backend.state import Method, ServeBackend
    from cutoutd.serve.keys import ApiKey
    from cutoutd.webserver.backend.method import Parameters

MOST: Final = 32
"""Of them that are on their way at a time."""

SWEEP_S: Final = 3600.0
_MODE: Final = 0o600
_NAME: Final = 32
_BUSY_S: Final = 2
_PREFIX: Final = "draft-"


def _draft(backend: ServeBackend, key: ApiKey, params: Parameters) -> Path:
    number = text(params, "background", longest=_NAME)
    if len(number) != _NAME or not set(number) <= set("0123456789abcdef"):
        raise RefusedError(400, "background", "This cannot be the number of a background.")
    return backgrounds.directory_in(backend.state_dir) / f"{_PREFIX}{key.id}-{number}"


def _part(backend: ServeBackend, params: Parameters, body: bytes) -> Reply:
    """``background``, ``offset`` and a body -> ``offset``."""
    key = allowed(backend, params)
    path, offset, most = (
        _draft(backend, key, params),
        whole(params, "offset"),
        uploads(backend).most(key),
    )
    if offset + len(body) > most:
        raise too_large(most)
    with state_faults():
        if offset == 0:
            _check_room(backend, path)
        flags = os.O_WRONLY | (0 if offset else os.O_CREAT | os.O_EXCL)
        descriptor = _opened(path, flags)
        try:
            if os.fstat(descriptor).st_size != offset:
                raise _not_next()
            at = 0
            while at < len(body):
                at += os.pwrite(descriptor, body[at:], offset + at)
        finally:
            os.close(descriptor)
    return Reply(data={"offset": offset + len(body)})


def _end(backend: ServeBackend, params: Parameters) -> Reply:
    """``background`` -> ``sha256``, by which options name it."""
    path = _draft(backend, allowed(backend, params), params)
    with state_faults():
        descriptor = _opened(path, os.O_RDONLY)
        try:
            sha256 = backgrounds.keep(backend.state_dir, descriptor)
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)
    return Reply(data={"sha256": sha256})


def _drop(backend: ServeBackend, params: Parameters) -> Reply:
    """``background`` -> nothing: its request was broken off."""
    with suppress(OSError):
        _draft(backend, allowed(backend, params), params).unlink(missing_ok=True)
    return Reply(data={})


def _opened(path: Path, flags: int) -> int:
    """Open a background that is under way, or begin one.

    Raises:
        RefusedError: 409; there is none, or there is one already.
        OSError: the disk refuses.
    """
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    except (FileExistsError, FileNotFoundError):
        raise _not_next() from None


def _not_next() -> RefusedError:
    return RefusedError(409, "offset", "This is not the next part.")


@dataclass
class _Sweeps:
    """When the next one of what nobody fetched is due, monotonic seconds."""

    due_s: float = 0.0


def _check_room(backend: ServeBackend, path: Path) -> None:
    make_directory(path.parent, parents=False, mode=0o700)
    now_s, sweeps = backend.clock.monotonic_s(), backend.shared.get(_Sweeps, _Sweeps)
    if now_s >= sweeps.due_s:
        sweeps.due_s = now_s + SWEEP_S
        with journal.required(backend) as store:
            named = Submissions(store, backend.clock).asked_backgrounds()
        backgrounds.sweep(backend.state_dir, named)
    if sum(1 for one in path.parent.iterdir() if one.name.startswith(_PREFIX)) >= MOST:
        raise RefusedError(
            503, "busy", "Too many backgrounds are under way. Try again in a moment.", retry_after_s=_BUSY_S
        )
    room = os.statvfs(path.parent)
    if room.f_bavail * room.f_frsize < backend.configuration.settings.service.min_free_disk_mb << 20:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


METHODS: Final[Mapping[str, Method]] = {
    "background_part": BytesMethod(_part),
    "background_end": _end,
    "background_drop": _drop,
}
