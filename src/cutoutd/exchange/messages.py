"""What all messages between processes that share nothing but a directory have in common: names, reading, checking, announcing.

A message is a JSON file of a schema, named after its id. Whoever wrote it may be anybody who was taken over: it is read in
bounds, and checked field by field. It must not know what messages say.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cutoutd.errors import NotNeededError, UsageError
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.private_directory import read_small

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import TypeAdapter

MAX_BYTES: Final = 64 << 10
"""Of a message's JSON; an honest one has less than 4 KiB."""

ID: Final = re.compile(r"[0-9a-f]{32}")
_MAX_STATUS_BYTES: Final = 1 << 20
_MAX_ANNOUNCEMENT: Final = 200

_M = TypeVar("_M")


class InvalidMessageError(ValueError):
    """A file that should be a message is not one."""


def new_id() -> str:
    """A name nobody can guess, and that says nothing."""
    return secrets.token_hex(16)


def load(path: Path, schema: str) -> dict[str, Any]:
    """The fields of a message, but for its schema; not checked yet.

    Raises:
        InvalidMessageError: it is none of this schema, or has another's name.
        OSError: it cannot be read.
    """
    content = read_small(path, MAX_BYTES + 1)
    try:
        fields = json.loads(content) if len(content) <= MAX_BYTES else None
    except (ValueError, RecursionError) as error:
        raise InvalidMessageError(f"{path}: not JSON") from error
    if not isinstance(fields, dict) or fields.pop("schema", None) != schema or fields.get("id") != path.stem:
        raise InvalidMessageError(f"{path}: not a message of {schema}")
    return fields


def checked(kind: type[_M], fields: dict[str, Any], path: Path) -> _M:
    """A message of a kind; nothing is taken for what it is not.

    Raises:
        InvalidMessageError: its fields are others.
    """
    from pydantic import ValidationError  # noqa: PLC0415 -- 0.1 s that the local route is spared

    try:
        message: _M = _adapter(kind).validate_json(json.dumps(fields), strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        raise InvalidMessageError(f"{path}: {error.errors()[0]['msg']}") from error
    return message


def announce(path: Path, settings: str) -> None:
    """Say by which configuration one works from now on.

    Args:
        path: where others look.
        settings: the configuration's number.

    Raises:
        OSError: the disk refuses.
    """
    # No two announcements are alike.
    atomic_write(path, [f"{settings} {new_id()}\n".encode("ascii")], synced=False)


def announcement(path: Path) -> str:
    """The last announcement, for comparison with a later one; its first word is the configuration's number."""
    try:
        return read_small(path, _MAX_ANNOUNCEMENT).decode("ascii", "replace")
    except OSError:
        return ""


def without_anything_to_send(announced: str, settings: str, *, parent: int | None) -> type[UsageError]:
    """The error of a process that would send what others put into its exchange directory, and of which no folder is to be sent.

    Args:
        announced: the supervisor's last announcement.
        settings: number of the configuration that was read.
        parent: whoever keeps it running; None: a person or a service manager, which does not start it again.

    Returns:
        `NotNeededError` if the supervisor works by that configuration: another start would come to the same. Else it may be
        in the middle of an edit.
    """
    is_in_force = parent is not None and announced.startswith(settings)
    return NotNeededError if is_in_force else UsageError


def living_status(path: Path, schema: str) -> dict[str, Any]:
    """What a living process says of itself; empty if none lives."""
    try:
        found = json.loads(read_small(path, _MAX_STATUS_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("schema") != schema or not _lives(found.get("pid")):
        return {}
    return found


@cache  # made once: that takes twenty times as long as a message's check
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 -- as above

    return TypeAdapter(kind)


def _lives(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True
