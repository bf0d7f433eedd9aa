"""Default paths, and the conversion of written paths to absolute ones without ``~`` and ``..``.

Text only: no path is looked up, since a share that hangs must not keep a configuration from being read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from platformdirs import user_config_path, user_data_path, user_state_path

APP: Final = "cutoutd"
FILE_NAME: Final = "cutoutd.toml"
SYSTEM_FILE: Final = Path("/etc/cutoutd") / FILE_NAME
SYSTEM_STATE: Final = Path("/var/lib/cutoutd")
"""The state directory that goes with it."""


def state_dir() -> Path:
    """Return the default state directory: ``~/.local/state/cutoutd`` on Linux."""
    return user_state_path(APP)


def registry() -> Path:
    """Return the directory in which this user's running daemons register; see `cutoutd.cli.registry`."""
    return state_dir() / "running"


def model_dirs() -> tuple[Path, ...]:
    """Return the directories of additional models: the user's, and the machine's, which a system service reads too."""
    return (user_data_path(APP) / "models", SYSTEM_STATE / "models")


def configuration_files() -> tuple[Path, ...]:
    """Return the default paths of the configuration file, the first choice first."""
    return (user_config_path(APP) / FILE_NAME, SYSTEM_FILE)


def absolute(written: str, base: Path | None) -> Path:
    """Return a written path as an absolute one.

    Args:
        written: path as written in the configuration.
        base: directory that relative paths start from; None: relative paths are an error.

    Raises:
        ValueError: the path is empty or cannot be made absolute; the message says what would be right.
    """
    if not written or "\0" in written:
        raise ValueError("is empty; write a path" if not written else "no path can contain a NUL character")
    path = os.path.expanduser(written)  # noqa: PTH111 -- Path.expanduser raises where this leaves the ~ to be seen
    if written.startswith("~") and not os.path.isabs(path):  # noqa: PTH117 -- text, as below
        raise ValueError(f'"{written}" names a home directory that is not known; write the path in full')
    if base is None and not os.path.isabs(path):  # noqa: PTH117
        raise ValueError(f'"{written}" is a relative path; write it in full, from / or ~')
    path = os.path.normpath(path if base is None else os.path.join(base, path))  # noqa: PTH118
    # POSIX leaves a meaning to exactly two slashes at the start; no system we run on gives them one.
    return Path("/" + path.lstrip("/"))
