"""The key of the service: read once, by the uploader alone, and never shown.

It must not be written anywhere, nor occur in a message: every text of the service passes `Key.scrubbed` first.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

from cutoutd.errors import ConfigurationError
from cutoutd.process.child_environment import KEY_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

_MAX_CHARACTERS: Final = 512
_RIGHT: Final = re.compile(r"[!-~]{1,512}")  # characters that a header may have, without spaces
_HIDDEN: Final = "[key]"
_ADVICE: Final = "It takes a file with the key in its only line, which only you can read: chmod 600."
_KEY: Final = "the service's key"


class Key:
    """A secret that is not shown when it is printed.

    Args:
        text: the key.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the key, for the one header that it belongs in."""
        return self._text

    def scrubbed(self, said: str) -> str:
        """Remove the key from a text of a service, which may quote it."""
        return said.replace(self._text, _HIDDEN)

    def __repr__(self) -> str:
        return f"Key({_HIDDEN})"

    def __reduce__(self) -> str:
        raise TypeError("a key does not leave its process")


def read(file: Path | None, given: str) -> Key | None:
    """Read the key from its file, or take the given one; None if there is neither.

    Args:
        file: path, as in ``[hosted] api_key_file``.
        given: key from the environment; empty for none.

    Raises:
        ConfigurationError: the file cannot be read, others can read it, or its content is not a key.
    """
    text = given if file is None else secret_text(file, _KEY, _ADVICE, most=_MAX_CHARACTERS + 2)
    if file is None and not text:
        return None
    if not _RIGHT.fullmatch(text):
        where = f"${KEY_VARIABLE}" if file is None else "the file"
        raise ConfigurationError(
            f"{where} holds no key: one word of at most {_MAX_CHARACTERS} letters, digits and signs",
            path=file,
            advice=_ADVICE,
        )
    return Key(text)


def secret_text(file: Path, what: str, advice: str, *, most: int) -> str:
    """Return the text of a file that nobody else can read, without the end of its last line.

    Args:
        file: path of the file.
        what: description of the content, for messages.
        advice: what to do if there is a fault.
        most: greatest number of bytes to read.

    Raises:
        ConfigurationError: it cannot be read, is another user's, or others can read it.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(
            f"{what} cannot be read ({error.strerror})", path=file, advice=advice
        ) from error
    try:
        if why := _exposure(os.fstat(descriptor), what):
            raise ConfigurationError(why, path=file, advice=advice)
        content = os.read(descriptor, most)
    finally:
        os.close(descriptor)
    return content.decode("ascii", "replace").removesuffix("\n").removesuffix("\r")


def _exposure(state: os.stat_result, what: str) -> str:
    """Return why a file is not suitable for a secret; empty if it is."""
    if not stat.S_ISREG(state.st_mode):
        return f"{what} is to be in a file"
    if state.st_uid not in (os.geteuid(), 0):
        return f"{what} lies in a file of another user (id {state.st_uid})"
    # A credential of the service manager is root's, and readable through a group with one member.
    open_to = stat.S_IRWXO | (0 if state.st_uid == 0 != os.geteuid() else stat.S_IRWXG)
    if state.st_mode & open_to:
        return f"others can read {what} (mode {stat.S_IMODE(state.st_mode):04o})"
    return ""
