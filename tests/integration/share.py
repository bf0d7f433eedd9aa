"""A network share of one test: a FUSE file system over a directory, which fails as it is told to.

The directory is the far side: what is written there comes from another machine. Run as a module it is
the file system; before each operation it reads a file beside the mount with its orders.
"""

# ruff: noqa: ARG002, PTH101, PTH102, PTH104, PTH106, PTH108, PTH208 -- methods as libfuse asks for them, on text

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.integration.tools import give_up

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S: Final = 60.0
READING: Final = "getattr,readdir,open,read"
WRITING: Final = "create,write,fsync,rename,mkdir,unlink"


class Share:
    """A mounted share.

    Args:
        root: directory for mount point, far side and orders.
        name: name of this mount, if one far side has several.
        far: the far side, if another mount has it too.
        names: set of names that it refuses, one of ``RULES``; empty: none.
    """

    def __init__(self, root: Path, name: str = "share", far: Path | None = None, names: str = "") -> None:
        if not os.access("/dev/fuse", os.R_OK | os.W_OK) or shutil.which("fusermount3") is None:
            give_up("FUSE is not there or not allowed")
        self.mount = root / name
        self.far = far or root / f"{name}-far"
        self._orders = root / f"{name}-orders"
        self._names = names
        for directory in (self.mount, self.far):
            directory.mkdir(exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    def attach(self) -> None:
        """Mount the share, without faults."""
        self.heal()
        arguments = (str(self.far), str(self.mount), str(self._orders), self._names)
        self._process = subprocess.Popen([sys.executable, "-m", "tests.integration.share", *arguments])
        self._wait_until(mounted=True)

    def detach(self) -> None:
        """Unmount the share in any state, as when a server or a cable fails."""
        self.heal()  # an operation that sleeps would hold its process
        subprocess.run(["fusermount3", "-uz", self.mount], check=False, capture_output=True)
        if self._process is not None:
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def hang(self, operations: str = f"{READING},{WRITING}", *, only: str = "") -> None:
        """Make operations on paths that contain ``only`` hang until it is healed."""
        self._order(f"hang {operations} {only}")

    def fail(self, number: int, operations: str = f"{READING},{WRITING}", *, only: str = "") -> None:
        """Make operations fail with an errno."""
        self._order(f"{number} {operations} {only}")

    def look_empty(self) -> None:
        """List no entries, and find no name."""
        self._order("empty getattr,readdir ")

    def heal(self) -> None:
        """End all faults."""
        self._order("well  ")

    def _order(self, order: str) -> None:
        """Replace the orders of the file system in one step."""
        draft = self._orders.with_suffix(".new")
        draft.write_text(order)
        draft.rename(self._orders)

    def _wait_until(self, *, mounted: bool) -> None:
        """Wait until the share is mounted, or is not."""
        end = time.monotonic() + PATIENCE_S
        while self.mount.is_mount() is not mounted:
            assert time.monotonic() < end, "the share was not mounted"
            assert self._process is None or self._process.poll() is None, "the file system ended"
            time.sleep(0.02)


def applies(order: list[str], operation: str, path: str) -> bool:
    """Return whether an order concerns an operation on a path."""
    how, operations, only = order
    nothing_is_there = how == "empty" and operation == "getattr" and path in ("/", "/in", "/out")
    return operation in operations.split(",") and only in path and not nothing_is_there


def windows(name: str) -> int:
    """Return the errno of a Windows share for a new name; 0: it accepts the name."""
    device = name.split(".", maxsplit=1)[0].rstrip().upper() in {
        "CON",
        "NUL",
        "AUX",
        "PRN",
        "COM1",
        "COM\xb9",
        "LPT9",
    }
    refused = device or name.endswith((".", " ")) or any(one in '<>:"|?*\\' or one < " " for one in name)
    return errno.EINVAL if refused else 0


def ascii_only(name: str) -> int:
    """Return the errno of a disk with an old character set."""
    return 0 if name.isascii() else errno.EILSEQ


def short(name: str) -> int:
    """Return the errno of eCryptfs, which needs a part of each name for itself."""
    return errno.ENAMETOOLONG if len(os.fsencode(name)) > 143 else 0


RULES: Final = {"": lambda _: 0, "windows": windows, "ascii": ascii_only, "short": short}


def folded(far: str, path: str) -> str:
    """Return a path as the far side has it, where case makes no difference."""
    there = ""
    for part in path.strip("/").split("/"):
        names = os.listdir(f"{far}{there}") if Path(f"{far}{there}").is_dir() else []
        there += "/" + next((name for name in names if name.casefold() == part.casefold()), part)
    return there


def serve(far: str, mount: str, orders: str, names: str = "") -> None:  # noqa: C901 -- one method an operation
    """Serve the file system until it is unmounted."""
    from mfusepy import FUSE, FuseOSError, Operations  # noqa: PLC0415 -- loads libfuse, which others do without

    attributes = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_ino")

    def obeying(operation: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return an operation that follows the orders."""

        def obey(self: object, path: str, *rest: object) -> Any:  # noqa: ANN401 -- whatever it gives
            paths = f"{path} {rest[0]}" if operation == "rename" else path
            while (order := Path(orders).read_text().split(" ")) and applies(order, operation, paths):
                if order[0] != "hang":
                    if order[0] == "empty" and operation == "readdir":
                        return [".", ".."]
                    raise FuseOSError(errno.ENOENT if order[0] == "empty" else int(order[0]))
                time.sleep(0.02)
            created = {"create": path, "mkdir": path, "rename": rest[0] if rest else ""}.get(operation, "")
            if created and (number := RULES[names](str(created).rpartition("/")[2])):
                raise FuseOSError(number)
            if names == "windows":
                path = folded(far, path)
                rest = (folded(far, str(rest[0])), *rest[1:]) if operation == "rename" else rest
            return real(self, path, *rest)

        return obey

    class Far(Operations):  # type: ignore[misc]
        """Pass all operations on to the far side unless ordered otherwise; there are no hard links."""

        use_ns = True

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            status = os.lstat(far + path)
            return {key: getattr(status, key) for key in attributes} | {
                f"st_{time}": getattr(status, f"st_{time}_ns") for time in ("atime", "mtime", "ctime")
            }

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", *os.listdir(far + path)]

        def create(self, path: str, mode: int, fi: object = None) -> int:
            return os.open(far + path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

        def open(self, path: str, flags: int) -> int:
            return os.open(far + path, flags & ~os.O_NOFOLLOW)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return os.pread(fh, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            return os.pwrite(fh, data, offset)

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            os.fsync(fh)
            return 0

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

        def truncate(self, path: str, length: int, fh: int | None = None) -> int:
            os.truncate(far + path, length)
            return 0

        def rename(self, old: str, new: str) -> int:
            os.rename(far + old, far + new)
            return 0

        def mkdir(self, path: str, mode: int) -> int:
            os.mkdir(far + path, mode)
            return 0

        def unlink(self, path: str) -> int:
            os.unlink(far + path)
            return 0

        def rmdir(self, path: str) -> int:
            os.rmdir(far + path)
            return 0

        def chmod(self, path: str, mode: int) -> int:
            os.chmod(far + path, mode)
            return 0

        def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
            os.utime(far + path, ns=times) if times is not None else os.utime(far + path)
            return 0

        def link(self, target: str, source: str) -> int:
            raise FuseOSError(errno.EPERM)

        def statfs(self, path: str) -> dict[str, int]:
            status = os.statvfs(far + path)
            return {key: getattr(status, key) for key in dir(status) if key.startswith("f_")}

    for name in f"{READING},{WRITING}".split(","):
        setattr(Far, name, obeying(name, getattr(Far, name)))
    FUSE(
        Far(),
        mount,
        foreground=True,
        fsname="test-share",
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        direct_io=False,
    )


if __name__ == "__main__":
    serve(*sys.argv[1:])
