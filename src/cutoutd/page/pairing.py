"""Codes that pair a browser with the page: one use, a minute, passed on by a directory that is this user's alone.

`cutoutd page` leaves a file named by the code's SHA-256, and puts the code into the address that it opens, behind a ``#``,
where no log has it. The backend looks for the file when a browser brings a code, and removes it: whoever does that got the
one use. Nothing has to run for a code to be made, and none is ever written down. It must not know HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.fs.private_directory import OpenedNames, check_private, open_private

if TYPE_CHECKING:
    from pathlib import Path

LASTS_S: Final = 60.0
_DIRECTORY: Final = "page"
_CODES: Final = "codes"
_MOST: Final = 32
"""Codes at a time; whoever makes more is this user, and wants none of the earlier ones."""


def directory(state_dir: Path) -> Path:
    """Return the page's directory below the state directory."""
    return state_dir / _DIRECTORY


def offer(state_dir: Path) -> str:
    """Make a code that one browser may use within a minute.

    Raises:
        NotPrivateError: the directory is not safe from others.
        OSError: the disk refuses.
    """
    code = secrets.token_urlsafe(24)
    codes = _codes(state_dir)
    _tidy(codes)
    os.close(os.open(codes / _digest(code), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    return code


def redeem(state_dir: Path, code: str) -> bool:
    """Redeem a code.

    Returns:
        Whether the code was valid: made within the last minute, and unused.

    Raises:
        NotPrivateError: the directory is not safe from others.
        OSError: the disk refuses.
    """
    codes = _codes(state_dir)
    _tidy(codes)
    wanted = _digest(code)
    found = [entry.name for entry in os.scandir(codes) if hmac.compare_digest(entry.name, wanted)]
    try:
        (codes / wanted).unlink()
    except FileNotFoundError:  # another browser was first
        return False
    return bool(found)


def _codes(state_dir: Path) -> Path:
    """The directory of codes, made if it is missing."""
    home = directory(state_dir)
    for place, names in ((home, OpenedNames(directories=(_CODES,))), (home / _CODES, OpenedNames())):
        descriptor, _ = open_private(place, names)
        os.close(descriptor)
    check_private(home / _CODES, OpenedNames())
    return home / _CODES


def _tidy(codes: Path) -> None:
    """Remove expired codes, and all but the newest."""
    aged = sorted(((_age_s(one), one) for one in codes.iterdir()), key=lambda pair: pair[0])
    for position, (age_s, one) in enumerate(aged):
        if not 0 <= age_s <= LASTS_S or position >= _MOST:
            with suppress(FileNotFoundError):
                one.unlink()


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return -1.0


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
