"""The service's key: read once, by the uploader alone, and never shown.

It must not be written anywhere, nor stand in a message: whatever the service says passes `Key.scrubbed` first.
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
_RIGHT: Final = re.compile(r"[!-~]{1,512}")  # what may stand in a header, without spaces
_HIDDEN: Final = "[key]"
_ADVICE: Final = "It takes a file with the key in its only line, which only you can read: chmod 600."


class Key:
    """A secret that does not show itself.

    Args:
        text: as it is sent.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """As it is sent; for the one header it belongs in."""
        return self._text

    def scrubbed(self, said: str) -> str:
        """What a service said, without the key it may quote."""
        return said.replace(self._text, _HIDDEN)

    def __repr__(self) -> str:
        return f"Key({_HIDDEN})"

    def __reduce__(self) -> str:
        raise TypeError("a key does not leave its process")


def read(file: Path | None, given: str) -> Key | None:
    """The key, from its file or else as it was given; None if there is neither.

    Args:
        file: as in ``[hosted] api_key_file``.
        given: from the environment of who started us; empty for none.

    Raises:
        ConfigurationError: the file cannot be read, others can read it, or what is there is no key.
    """
    text = given if file is None else _content(file)
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


def _content(file: Path) -> str:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(
            f"the service's key cannot be read ({error.strerror})", path=file, advice=_ADVICE
        ) from error
    try:
        _check(os.fstat(descriptor), file)
        content = os.read(descriptor, _MAX_CHARACTERS + 2)
    finally:
        os.close(descriptor)
    return content.decode("ascii", "replace").removesuffix("\n").removesuffix("\r")


def _check(state: os.stat_result, file: Path) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise ConfigurationError("the service's key is to be in a file", path=file, advice=_ADVICE)
    if state.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"the service's key lies in a file of another user (id {state.st_uid})", path=file, advice=_ADVICE
        )
    # A service manager's credential is root's, and readable through a group of one.
    open_to = stat.S_IRWXO | (0 if state.st_uid == 0 != os.geteuid() else stat.S_IRWXG)
    if state.st_mode & open_to:
        raise ConfigurationError(
            f"others can read the service's key (mode {stat.S_IMODE(state.st_mode):04o})",
            path=file,
            advice=_ADVICE,
        )
