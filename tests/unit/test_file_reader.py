"""Files are read completely, and every wait is bounded."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cutoutd.previews import file_reader
from cutoutd.previews.file_reader import FileReader, NoFileError, NoRootError, SilentError
from cutoutd.publish.digest import open_regular


def _reader(**changed: Any) -> FileReader:  # noqa: ANN401 -- numbers
    """Return a reader with long limits, except for the given ones."""
    how: dict[str, Any] = {"wait_s": 5.0, "silent_s": 5.0, "at_once": 2, "max_bytes": 1 << 24}
    return FileReader(**(how | changed))


class Slow(io.FileIO):
    """A file whose every read takes a while."""

    goes_on: threading.Event
    pause_s = 0.0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read one byte after a pause."""
        self.goes_on.wait(self.pause_s)
        return super().read(1 if size else 0)


def _slow(monkeypatch: pytest.MonkeyPatch, pause_s: float) -> threading.Event:
    """Make all opened files slow; return an event that ends their pauses."""
    goes_on = threading.Event()

    def opened(entry: Any) -> Slow | None:  # noqa: ANN401 -- an Entry
        file = open_regular(entry)
        if file is None:
            return None
        slow = Slow(os.dup(file.fileno()))
        slow.goes_on, slow.pause_s = goes_on, pause_s
        file.close()
        return slow

    monkeypatch.setattr(file_reader, "open_regular", opened)
    return goes_on


def _let_end() -> None:
    """Wait until all reading threads have ended."""
    for thread in threading.enumerate():
        if thread.name == "reads":
            thread.join(10)


def _open_files() -> int:
    """Return the number of open descriptors of this process."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_a_file_is_read_whole_with_its_hash(tmp_path: Path) -> None:
    """The descriptor's position is at the beginning afterwards."""
    data = os.urandom(3_000_001)
    (tmp_path / "a").write_bytes(data)
    file = _reader().read(tmp_path, tmp_path / "a")
    assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    with os.fdopen(file.descriptor, "rb") as memory:
        assert memory.read() == data


def test_an_entry_that_is_no_file_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Links are not followed, a FIFO does not block, and a missing folder differs from a missing file."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "out").symlink_to(tmp_path)
    os.mkfifo(root / "fifo")
    (root / "large").write_bytes(bytes(100))
    reader = _reader(max_bytes=99)
    for path in (root / "link", root / "fifo", root / "large", tmp_path / "secret"):
        with pytest.raises(NoFileError):
            reader.read(root, path)
    with pytest.raises(NotADirectoryError):
        reader.read(root, root / "out" / "secret")
    with pytest.raises(FileNotFoundError) as caught:
        reader.read(root, root / "none")
    assert not isinstance(caught.value, NoRootError)
    with pytest.raises(NoRootError):
        reader.read(tmp_path / "away", tmp_path / "away" / "a")


def test_a_slow_share_is_waited_for_while_it_makes_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a limit."""
    (tmp_path / "a").write_bytes(b"picture")
    goes_on = _slow(monkeypatch, 0.1)
    file = _reader(wait_s=0.5, silent_s=0.5).read(tmp_path, tmp_path / "a")
    assert file.size == 7
    file.close()
    with pytest.raises(SilentError):
        _reader(longest_s=0.3).read(tmp_path, tmp_path / "a")
    goes_on.set()
    _let_end()


def test_a_share_that_hangs_gets_no_more_requests_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next reader fails at once, another folder is read meanwhile, and no memory leaks."""
    for name in ("hung", "well"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(b"x")
    open_before = _open_files()
    reader = _reader(wait_s=0.3, silent_s=0.3)
    with monkeypatch.context() as patched:
        goes_on = _slow(patched, 60)
        with pytest.raises(SilentError):
            reader.read(tmp_path / "hung", tmp_path / "hung" / "a")
    started_s = time.monotonic()
    for _ in range(3):
        with pytest.raises(SilentError):
            reader.read(tmp_path / "hung", tmp_path / "hung" / "a")
    assert time.monotonic() < started_s + 0.25
    reader.read(tmp_path / "well", tmp_path / "well" / "a").close()
    goes_on.set()
    _let_end()
    reader.read(tmp_path / "hung", tmp_path / "hung" / "a").close()
    assert _open_files() == open_before


def test_a_file_for_which_there_was_no_thread_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counted as read for ever, and its folder as a share that does not answer."""
    (tmp_path / "a.jpg").write_bytes(b"a")
    reader = _reader(silent_s=0.0)

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        with pytest.raises(RuntimeError, match="new thread"):
            reader.read(tmp_path, tmp_path / "a.jpg")
    reader.read(tmp_path, tmp_path / "a.jpg").close()
