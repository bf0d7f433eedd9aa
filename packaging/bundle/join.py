"""Puts the one-file bundle together: ``python join.py LAUNCHER ARCHIVE FILE``; the form is told in launcher.c."""

from __future__ import annotations

import hashlib
import shutil
import struct
import sys
from pathlib import Path

MAGIC = b"CUTOUTD1"


def join(launcher: Path, archive: Path, to: Path) -> None:
    """Write launcher, archive and trailer to a file that can be run."""
    start, size = launcher.stat().st_size, archive.stat().st_size
    with archive.open("rb") as packed:
        key = hashlib.file_digest(packed, "sha256").hexdigest().encode()
    with to.open("wb") as out:
        for part in (launcher, archive):
            with part.open("rb") as source:
                shutil.copyfileobj(source, out)
        out.write(struct.pack("=8s72sQQ", MAGIC, key, start, size))
    to.chmod(0o755)


if __name__ == "__main__":
    join(*map(Path, sys.argv[1:4]))
