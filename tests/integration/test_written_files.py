"""What writing a result costs: each byte is hashed once, and synced only where it stays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cutoutd.publish import writing
from cutoutd.publish.writing import write_opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"result" * 1000


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[int]:
    """An empty file that is open for reading and writing."""
    descriptor = os.open(tmp_path / "result", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("synced", [True, False])
def test_bytes_whose_hash_is_known_are_written_and_synced_but_not_hashed_again(
    opened: int, monkeypatch: pytest.MonkeyPatch, *, synced: bool
) -> None:
    """A proxy of the cluster has checked their hash before it writes them."""
    synced_files: list[int] = []
    monkeypatch.setattr(writing, "sync", synced_files.append)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    with monkeypatch.context() as patched:
        patched.setattr(writing.Sink, "write", None)
        written = write_opened(opened, CONTENT, sha256=sha256, synced=synced)
    assert (written.bytes, written.sha256) == (len(CONTENT), sha256)
    assert os.pread(opened, len(CONTENT) + 1, 0) == CONTENT
    assert synced_files == [opened] * synced


def test_a_failed_sync_of_such_bytes_writes_them_once_more(
    opened: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of any result: after a failed fsync the pages count as clean."""
    failures = [OSError(5, "I/O error")]

    def sync(_: int) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(writing, "sync", sync)
    write_opened(opened, CONTENT, sha256=hashlib.sha256(CONTENT).hexdigest())
    assert os.pread(opened, len(CONTENT) + 1, 0) == CONTENT


@pytest.mark.skipif(
    sys.platform != "linux", reason="page faults are counted, and kept memory is of the GNU C library"
)
def test_freed_memory_is_kept_for_the_next_picture() -> None:
    """Without it each picture's pages are given back and zeroed anew: a page fault for every 4 KiB."""
    code = """if True:
        import resource, sys
        from cutoutd.process.heap import keep_freed_memory
        if sys.argv[1] == "kept" and not keep_freed_memory():
            sys.exit(3)
        def faults():
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        def pictures():
            for _ in range(10):
                parts = [b"x" * 5_000_000 for _ in range(3)]
        pictures()
        before = faults()
        pictures()
        print(faults() - before)
    """
    counts = {}
    for name in ("given-back", "kept"):
        ran = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=False)
        if ran.returncode == 3:
            pytest.skip("not the GNU C library")
        counts[name] = int(ran.stdout)
    assert counts["kept"] < counts["given-back"] / 5
