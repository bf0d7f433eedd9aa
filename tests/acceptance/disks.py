"""Small disks of one test, in its own mount namespace: they can be full, read-only or gone, and vanish with the test.

Programs that are started through `Disks.inside` see the disks; the test sees them from outside, through the root directory of the
namespace.
"""

from __future__ import annotations

import os
import subprocess
import time
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    from types import TracebackType

BLOCK = 4096
FILLER = "filler"

BUSY_S = 20.0
"""Greatest time for which a file may be open for writing on a disk that is to become read-only."""


class Disks:
    """A mount namespace, kept by a sleeping process; its disks vanish with it."""

    def __init__(self) -> None:
        need("unshare")
        need("nsenter")
        self._user = os.geteuid() != 0
        share = ["unshare", *(["-Ur"] if self._user else []), "-m", "--propagation", "private"]
        self._holder = subprocess.Popen(
            [*share, "sh", "-c", "echo ready; exec sleep 3600"], stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            self.close()
            give_up("mount namespaces are not allowed here")

    def close(self) -> None:
        """End the namespace, and with it each disk that no program uses any more."""
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdout is not None:
            self._holder.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def inside(self, *command: str) -> list[str]:
        """Return a command line that runs a command in the namespace."""
        user = ["-U", "--preserve-credentials"] if self._user else []
        return ["nsenter", "-t", str(self._holder.pid), *user, "-m", *command]

    def do(self, *command: str) -> None:
        """Run a command in the namespace."""
        subprocess.run(self.inside(*command), check=True, capture_output=True, timeout=60)

    def view(self, path: Path) -> Path:
        """Return where a path of the namespace is seen from outside."""
        return Path(f"/proc/{self._holder.pid}/root", *path.parts[1:])

    def mount(self, at: Path, size_kb: int) -> Path:
        """Mount an empty disk of a given size on a directory. Returns its path from outside."""
        at.mkdir(parents=True, exist_ok=True)
        self.do("mount", "-t", "tmpfs", "-o", f"size={size_kb}k,mode=0755", "tmpfs", str(at))
        return self.view(at)

    def remount(self, at: Path, option: str) -> None:
        """Change a disk: ``ro``, ``rw``, ``size=...``. A disk on which a file is being written becomes read-only after that."""
        end_s = time.monotonic() + BUSY_S
        while True:
            try:
                self.do("mount", "-o", f"remount,{option}", str(at))
            except subprocess.CalledProcessError as error:
                if b"busy" not in error.stderr or time.monotonic() > end_s:
                    raise
                time.sleep(0.05)
            else:
                return


def fill(disk: Path, *, leave: int = 0) -> None:
    """Fill a disk except for some bytes, in whole blocks, beside an earlier filler if there is one.

    Args:
        disk: its path from outside.
        leave: bytes that stay free.
    """
    free = os.statvfs(disk)
    blocks = free.f_bavail * free.f_bsize // BLOCK - leave // BLOCK
    with (disk / FILLER).open("ab", buffering=0) as filler:
        try:
            for _ in range(max(0, blocks)):
                filler.write(b"\1" * BLOCK)
        except OSError as error:
            if error.errno != ENOSPC:  # it is full already: the daemon has written meanwhile
                raise


def empty(disk: Path) -> None:
    """Remove the filler."""
    (disk / FILLER).unlink(missing_ok=True)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process and its living children have used."""
    total = 0.0
    for process in (pid, *_children(pid)):
        try:
            fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _children(pid: int) -> list[int]:
    """Return the process ids of a process's children; none if the process has ended."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in listed.split()]
