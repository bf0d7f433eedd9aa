"""Read and replace the configuration file, with a backup beside it.

A text takes the place of another only if the loader understands it, and only while the file is still what was seen. It
must not decide which keys may change: `cutoutd.page.backend.admission` does, and is asked here about every text.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import ConfigurationError
from cutoutd.fs.atomic_write import atomic_write, hidden_draft
from cutoutd.fs.durable import sync_directory
from cutoutd.page.backend.admission import forbidden_changes
from cutoutd.settings import loader
from cutoutd.settings.problem import InvalidSettingsError
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.settings.schema import Settings

MAX_BYTES: Final = 1 << 20
"""The reference with all its comments has 30 KiB."""

_MODE: Final = 0o600
"""Of a file that we make: it names a person's folders."""


class SettingsRefusedError(RefusedError):
    """The loader refuses the settings.

    Args:
        error: what it says.

    Attributes:
        problems: what is wrong in the tables.
    """

    def __init__(self, error: ConfigurationError) -> None:
        super().__init__(422, "value_refused", error.cause, why=error.cause)
        self.problems = error.problems if isinstance(error, InvalidSettingsError) else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadConfiguration:
    """A configuration file as it was read.

    Attributes:
        raw: bytes of the file.
        mode: permission bits of the file.
        settings: parsed settings.
    """

    raw: bytes
    mode: int
    settings: Settings

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the file's bytes."""
        return hashlib.sha256(self.raw).hexdigest()


def read(path: Path, environ: Mapping[str, str]) -> ReadConfiguration:
    """Read the file.

    Raises:
        RefusedError: the file is missing, unreadable or invalid.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- as the loader reads it: by a link as well
            raw, mode = file.read(MAX_BYTES + 1), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except FileNotFoundError:
        raise _refusal("config_missing", "The configuration {path} is not there any more.", path) from None
    except OSError as error:
        why = error.strerror or "it gives no answer"
        raise _refusal(
            "config_unreadable", "The configuration {path} cannot be read ({why}).", path, why=why
        ) from error
    if len(raw) > MAX_BYTES:
        raise _refusal("config_too_large", "The configuration {path} is too large for the page.", path)
    try:
        return ReadConfiguration(raw=raw, mode=mode, settings=loader.load_bytes(raw, path, environ))
    except ConfigurationError as error:
        why = error.cause
        text = "The configuration {path} is wrong: {why} Correct it there, and come back."
        raise _refusal("config_wrong", text, path, status=422, why=why) from error


def why_locked(path: Path) -> RefusedError | None:
    """Return why the page may not replace this file; None if it may.

    A link is not followed: what it leads to is somebody else's, such as a program's that manages all configuration.
    """
    try:
        found = path.lstat()
    except OSError:
        return None  # whoever reads it says so
    if stat.S_ISLNK(found.st_mode):
        to = os.path.realpath(path)
        text = "{path} is a link to {to}. Change it where it is made: whatever made the link would undo the page's change."
        return _refusal("config_link", text, path, to=to)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        text = "{path} has another name as well, or is not a file. Change it with an editor."
        return _refusal("config_shared", text, path)
    if found.st_uid != os.geteuid():
        return _refusal("config_foreign", "{path} belongs to another user, who has to change it.", path)
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK | os.X_OK):
        text = "{path} is read-only. Change it where it is made, or make it and its folder writable."
        return _refusal("config_readonly", text, path)
    return None


def replace(
    path: Path, seen: ReadConfiguration, text: str, expected: Mapping[str, Any], environ: Mapping[str, str]
) -> ReadConfiguration:
    """Replace the file by a changed text; the former content is kept beside it as ``.bak``.

    Args:
        path: of the file.
        seen: what the change was made from.
        text: the whole new text.
        expected: what it must mean as TOML, so that no way of writing a value means more than that value.
        environ: the environment, as the loader takes it.

    Returns:
        What stands there now.

    Raises:
        RefusedError: it may not be written, the loader refuses it, more than a page may set would change, the file has
            changed since, or the disk refuses.
    """
    if (locked := why_locked(path)) is not None:
        raise locked
    new = _check(path, text, expected, environ, before=seen)
    try:
        if path.read_bytes() != seen.raw:
            raise changed()
        backup = path.with_name(f"{path.name}.bak")
        atomic_write(backup, [seen.raw], synced=True, mode=seen.mode, draft=hidden_draft(backup))
        atomic_write(path, [new.raw], synced=True, mode=seen.mode, draft=hidden_draft(path))
    except OSError as error:
        raise _unwritten(path, error) from error
    return new


def check(
    path: Path,
    seen: ReadConfiguration | None,
    text: str,
    expected: Mapping[str, Any],
    environ: Mapping[str, str],
) -> None:
    """Check that a text may replace the file, as `replace` and `create` do; nothing is written.

    Raises:
        RefusedError: as from those.
    """
    if seen is not None and (locked := why_locked(path)) is not None:
        raise locked
    _check(path, text, expected, environ, before=seen)


def create(
    path: Path, text: str, expected: Mapping[str, Any], environ: Mapping[str, str]
) -> ReadConfiguration:
    """Write the first configuration; its directory is made if it is missing.

    Raises:
        RefusedError: as from `replace`; one that is there by now is not replaced.
    """
    new = _check(path, text, expected, environ, before=None)
    draft = hidden_draft(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_write(draft, [new.raw], synced=True, mode=_MODE, draft=hidden_draft(draft))
        try:
            os.link(draft, path, follow_symlinks=False)  # unlike a rename, it replaces nothing
        except FileExistsError:
            raise changed() from None
        except OSError:  # a file system without hard links
            if os.path.lexists(path):
                raise changed() from None
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise _unwritten(path, error) from error
    return new


def changed() -> RefusedError:
    """Return the refusal for a file that has changed since the page showed it."""
    return RefusedError(
        409,
        "config_changed",
        "The configuration was changed meanwhile. Look at it again, and repeat what you did.",
    )


def _check(
    path: Path,
    text: str,
    expected: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    before: ReadConfiguration | None,
) -> ReadConfiguration:
    try:
        raw = text.encode()
        means = tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):  # a text that UTF-8 cannot have, or TOML that is none
        raw, means = b"", None
    if means != expected:
        text = "The page cannot make this change in the way {path} is written. Change it with an editor."
        raise _refusal("config_unusual", text, path)
    try:
        settings = loader.load_bytes(raw, path, environ)
        earlier = loader.defaults(environ) if before is None else before.settings
    except ConfigurationError as error:
        raise SettingsRefusedError(error) from error
    if beyond := list(forbidden_changes(earlier, settings)):
        text = "The page may not change {key}. Change it in {path} with an editor."
        raise _refusal("not_for_the_page", text, path, status=403, key=beyond[0])
    return ReadConfiguration(raw=raw, mode=_MODE if before is None else before.mode, settings=settings)


def _unwritten(path: Path, error: OSError) -> RefusedError:
    why = error.strerror or "it gives no answer"
    text = "{path} cannot be written ({why}). Nothing was changed."
    return _refusal("config_unwritten", text, path, status=503, why=why)


def _refusal(code: str, text: str, path: Path, *, status: int = 409, **named: object) -> RefusedError:
    words = {"path": str(path), **named}
    return RefusedError(status, code, text.format(**words), **words)
