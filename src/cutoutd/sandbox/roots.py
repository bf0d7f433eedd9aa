"""What a process that is locked in has to read besides pictures: Python's own directories and the system's libraries."""

from __future__ import annotations

import os
import sys
import sysconfig


def own_code() -> tuple[str, ...]:
    """Where what is imported late is read from."""
    python = (
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        *filter(os.path.isdir, sys.path),
    )
    return tuple(dict.fromkeys((*python, "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")))
