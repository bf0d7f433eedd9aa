"""Small disks of a test's own, in a mount namespace of its own: full, read-only or gone, and never left behind.

The disks are seen by programs started through `Disks.inside`; the test looks at them from outside, through
the namespace's own view of the root directory.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    from types import TracebackType

BLOCK = 4096
FILLER = "filler"

BUSY_S = 20.0
"""How long a file may be open for writing on a disk that is to become read-only."""


class Disks:
    """A mount namespace, held by a process that sleeps; its disks end with it."""

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
        """End the namespace, and with it every disk that no program uses any more."""
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
        """A command line that runs a command where the disks are."""
        user = ["-U", "--preserve-credentials"] if self._user else []
        return ["nsenter", "-t", str(self._holder.pid), *user, "-m", *command]

    def do(self, *command: str) -> None:
        """Run a command there."""
        subprocess.run(self.inside(*command), check=True, capture_output=True, timeout=60)

    def view(self, path: Path) -> Path:
        """How a path inside is seen from outside."""
        return Path(f"/proc/{self._holder.pid}/root", *path.parts[1:])

    def mount(self, at: Path, size_kb: int) -> Path:
        """Put an empty disk of a size at a directory; returns its view."""
        at.mkdir(parents=True, exist_ok=True)
        self.do("mount", "-t", "tmpfs", "-o", f"size={size_kb}k,mode=0755", "tmpfs", str(at))
        return self.view(at)

    def remount(self, at: Path, option: str) -> None:
        """Change a disk: ``ro``, ``rw``, ``size=...``. One that a file is just being written to becomes read-only after that."""
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
    """Fill a disk up, but for so many bytes in whole blocks; where there is a filler already, beside it.

    Args:
        disk: its view.
        leave: bytes that stay free.
    """
    free = os.statvfs(disk)
    blocks = free.f_bavail * free.f_bsize // BLOCK - leave // BLOCK
    with (disk / FILLER).open("ab", buffering=0) as filler:
        for _ in range(max(0, blocks)):
            filler.write(b"\1" * BLOCK)


def empty(disk: Path) -> None:
    """Take the filler away."""
    (disk / FILLER).unlink(missing_ok=True)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process and its children that are alive have used."""
    total = 0.0
    for process in (pid, *_children(pid)):
        try:
            fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _children(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [int(child) for child in listed.split()]
