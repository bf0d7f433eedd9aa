"""Removing what has a name that is ours alone, whatever somebody made of it.

It must not be used where people put files.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def remove(path: Path) -> None:
    """Remove a file, a link or a whole directory; what is not there is no error, and no link is followed.

    Raises:
        OSError: the disk refuses.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError:
        if path.is_symlink() or not path.is_dir():
            raise
        shutil.rmtree(path)
