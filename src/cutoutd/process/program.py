"""How a program of ours is started by others, such as a service manager or a menu: by this Python, or by the one file that carries it.

The one-file bundle unpacks itself into a cache, whose directory goes when another version comes; so it is named itself. What
this process starts, and what lives no longer than it, is started by `sys.executable`, which lies in that directory.
"""

from __future__ import annotations

import os
import sys
from typing import Final

BUNDLE_VARIABLE: Final = "_CUTOUTD_BUNDLE"
"""Set by the bundle's launcher, packaging/bundle/launcher.c: the file's path. Not one of ``CUTOUTD_*``, which are settings."""


def bundle() -> str | None:
    """Path of the one file that this program was started from; None where there is none."""
    path = os.environ.get(BUNDLE_VARIABLE, "")
    return path if path.startswith("/") else None


def command() -> tuple[str, ...]:
    """Program and first arguments, which a subcommand of ours and its options follow."""
    path = bundle()
    return (sys.executable, "-P", "-m", "cutoutd") if path is None else (path,)
