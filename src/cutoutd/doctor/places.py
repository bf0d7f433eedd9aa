"""Examines the directories of one hot folder, any of which may hang, and prints each result at once.

It runs as a separate process, ``python -m cutoutd.doctor.places``, with the directories of the folder as JSON in its one
argument. It changes nothing but a probe file in directories for results, which it removes again. It must not judge;
`cutoutd.doctor.folders` does.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import unicodedata
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import StorageError
from cutoutd.fs.tree import Tree
from cutoutd.intake import filesystems, mounts
from cutoutd.lease import marker
from cutoutd.publish import rename

if TYPE_CHECKING:
    from collections.abc import Mapping

CENSUS_S: Final = 4.0
"""Time limit for counting the files of the input; after that the figures are marked as incomplete."""

_DATALESS: Final = 0x40000000  # SF_DATALESS of <sys/stat.h>: in the cloud, and not on the disk
_PLACEHOLDER: Final = ".icloud"
_MIB: Final = 1 << 20
_PROBE: Final = ".cutoutd-probe-"
_STALE_S: Final = 600.0


def main(asked: Mapping[str, Any]) -> None:
    """Examine all directories, the input first."""
    _say({"at": "the input"})
    _say({"input": _input(asked["input"], recursive=bool(asked["recursive"]))})
    for key in ("output", "sidecar_dir", "originals_dir"):
        if asked.get(key):
            _say({"at": key})
            _say({key: _target(Path(asked[key]))})
    _say({"at": ""})


def _input(path: str, *, recursive: bool) -> dict[str, Any]:
    try:
        status = os.stat(path)  # noqa: PTH116 -- beside the other calls on text
        mode = filesystems.watch_mode(path)
        with os.scandir(path) as entries:
            next(entries, None)
    except OSError as error:
        return {"errno": error.errno, "why": error.strerror}
    found: dict[str, Any] = {
        "device": status.st_dev,
        "fstype": mode.fstype,
        "network": mode.network,
        "watching": "poll" if mode.network else "native",
        "reason": mode.reason,
        "writable": os.access(path, os.W_OK | os.X_OK),
    }
    with suppress(OSError, StorageError, ValueError):
        found["marker"] = marker.find(path, network=mode.network).uuid
    return found | _census(path, recursive=recursive)


def _census(root: str, *, recursive: bool) -> dict[str, Any]:
    """Count directories and files, and the names and files that need attention."""
    end_s = time.monotonic() + CENSUS_S
    counts = {"directories": 1, "files": 0, "decomposed": 0, "placeholders": 0, "unreadable": 0}
    tree = Tree(Path(root))
    waiting = [""]
    while waiting:
        below = waiting.pop()
        if time.monotonic() > end_s:
            return counts | {"complete": False}
        try:
            with tree.open(below) as directory, os.scandir(directory) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        _count(entry, counts)
                    elif recursive:
                        counts["directories"] += 1
                        waiting.append(f"{below}/{entry.name}" if below else entry.name)
        except OSError:
            counts["unreadable"] += 1
    return counts | {"complete": True}


def _count(entry: os.DirEntry[str], counts: dict[str, int]) -> None:
    counts["files"] += 1
    counts["decomposed"] += not unicodedata.is_normalized("NFC", entry.name)
    flags = getattr(entry.stat(follow_symlinks=False), "st_flags", 0) if sys.platform == "darwin" else 0
    counts["placeholders"] += entry.name.endswith(_PLACEHOLDER) or bool(flags & _DATALESS)


def _target(path: Path) -> dict[str, Any]:
    """Examine a directory for results, sidecars or originals."""
    found: dict[str, Any] = {}
    try:
        at = mounts.locate_on_mounts(path)
        found = {"real": at.real, "mounts": dict(at.mounts)}
        if not path.exists():
            above = next(one for one in path.parents if one.exists())
            return found | {
                "missing": True,
                "above": os.fspath(above),
                "writable": os.access(above, os.W_OK | os.X_OK),
            }
        mode = filesystems.watch_mode(os.fspath(path))
        usage = shutil.disk_usage(path)
        found |= {
            "fstype": mode.fstype,
            "network": mode.network,
            "device": path.stat().st_dev,
            "free_mb": usage.free // _MIB,
        }
    except OSError as error:
        return found | {"errno": error.errno, "why": error.strerror}
    try:
        with Tree(path).open() as directory:
            _clear_away(directory)
            found["skew_s"] = _skew_s(directory)
        found["rename"] = rename.probe(path).value
        found["exchange"] = rename.can_exchange(path)
    except OSError as error:
        return found | {"errno": error.errno, "why": error.strerror}
    return found


def _clear_away(directory: int) -> None:
    """Remove probe files of earlier examinations that were ended while the share did not answer."""
    for name in os.listdir(directory):
        if not name.startswith(_PROBE):
            continue
        with suppress(FileNotFoundError):
            if time.time() - os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime > _STALE_S:
                os.unlink(name, dir_fd=directory)


def _skew_s(directory: int) -> float:
    """Return how many seconds the clock of the file server is ahead of ours."""
    probe = f"{_PROBE}{uuid.uuid4().hex}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    before = time.time()
    os.close(os.open(probe, flags, dir_fd=directory))
    try:
        stamped = os.stat(probe, dir_fd=directory, follow_symlinks=False).st_mtime
    finally:
        with suppress(FileNotFoundError):
            os.unlink(probe, dir_fd=directory)
    after = time.time()
    # Differences within the duration of the call, and the whole seconds of some shares, do not count.
    return stamped - after if stamped > after else min(0.0, stamped - int(before))


def _say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)  # noqa: T201 -- that is what it is for


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
