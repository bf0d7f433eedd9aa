"""The password that pairs browsers of other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.errors import ConfigurationError
from cutoutd.fs.private_directory import read_small

if TYPE_CHECKING:
    from cutoutd.settings.page import PageSettings

_OTHERS: Final = 0o077
_SHORTEST: Final = 12
_MAX_PASSWORD: Final = 1000


def read_password(page: PageSettings) -> str:
    """Return the password that pairs browsers; empty where there is none.

    Raises:
        ConfigurationError: the file is unreadable, empty, or readable by others.
    """
    path = page.password_file
    if path is None:
        return ""
    try:
        if path.stat().st_mode & _OTHERS:
            raise ConfigurationError(
                "others may read this file", path=path, advice=f"Take that from them: chmod 600 {path.name}"
            )
        password = read_small(path, _MAX_PASSWORD).decode("utf-8", "replace").strip()
    except OSError as error:
        raise ConfigurationError(
            f"the file with the page's password cannot be read: {error.strerror}", path=path
        ) from error
    if len(password) < _SHORTEST:
        raise ConfigurationError(
            f"the page's password has fewer than {_SHORTEST} characters",
            path=path,
            advice="Write a longer one into the file, in one line.",
        )
    return password
