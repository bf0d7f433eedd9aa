"""One move of a plan: the rename, and what the disk says of it after a crash.

This module must not rely on anything but names and hashes: the process that planned the move may be gone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.publish.digest import examine
from cutoutd.publish.faults import ResultLostError, TargetTakenError
from cutoutd.publish.rename import rename_new, replace

if TYPE_CHECKING:
    from cutoutd.publish.plan import Move


def carry_out(move: Move) -> None:
    """Give a staged file its name; one that has it already is done.

    Raises:
        TargetTakenError: a file that the plan does not know has the name.
        ResultLostError: the file is neither staged nor under its name.
        OSError: the disk or share does not answer as it should.
    """
    staged, target = Path(move.staged), Path(move.target)
    try:
        if _renamed(move, staged, target):
            return
    except FileExistsError:
        pass  # by a stranger, or by us before a crash: the hash tells
    except FileNotFoundError:
        if staged.exists():
            raise  # the target's directory went away
    if stands(move):
        staged.unlink(missing_ok=True)
    elif staged.exists():
        raise TargetTakenError("a file that is not ours has the name", path=target)
    else:
        raise ResultLostError("the result is neither staged nor under its name", path=target)


def stands(move: Move) -> bool:
    """Whether the file has its name."""
    return _has(Path(move.target), move.sha256)


def can_be_finished(move: Move) -> bool:
    """Whether the file is there, whole, under either of its names."""
    return _has(Path(move.staged), move.sha256) or stands(move)


def _renamed(move: Move, staged: Path, target: Path) -> bool:
    """Rename, unless what has the name is not what the plan says may go."""
    present = None if move.replaces_sha256 is None else examine(target)
    if present is None:
        rename_new(staged, target)
        return True
    if present.sha256 != move.replaces_sha256 or move.sha256 == move.replaces_sha256:
        return False
    replace(staged, target)
    return True


def _has(path: Path, sha256: str) -> bool:
    found = examine(path)
    return found is not None and found.sha256 == sha256
