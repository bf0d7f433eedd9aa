"""The command by which others, such as a service manager or a menu, start this program: this Python, or the one-file bundle.

The bundle unpacks itself into a cache directory, which is removed when another version comes; so the bundle itself is named.
Processes that live no longer than this one are started by `sys.executable`, which is in that directory.
"""

from __future__ import annotations

import os
import sys
from typing import Final

BUNDLE_VARIABLE: Final = "_CUTOUTD_BUNDLE"
"""Path of the bundle, set by its launcher, packaging/bundle/launcher.c. Not one of ``CUTOUTD_*``, which are settings."""


def bundle() -> str | None:
    """Return the path of the bundle that this program was started from; None if there is none."""
    path = os.environ.get(BUNDLE_VARIABLE, "")
    return path if path.startswith("/") else None


def command() -> tuple[str, ...]:
    """Return the program and its first arguments; a subcommand and its options follow."""
    path = bundle()
    return (sys.executable, "-P", "-m", "cutoutd") if path is None else (path,)
