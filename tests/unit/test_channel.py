"""Lines and open files passed from one process to another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cutoutd.process import channel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ends() -> Iterator[tuple[channel.Sender, channel.Receiver]]:
    """The sending and the receiving end of a channel."""
    sender, theirs = channel.pair()
    receiver = channel.Receiver(theirs)
    yield sender, receiver
    sender.close()
    receiver.close()


def test_files_arrive_with_their_line(ends: tuple[channel.Sender, channel.Receiver], tmp_path: Path) -> None:
    """In order, at their file position; lines without files arrive without any."""
    sender, receiver = ends
    (tmp_path / "a").write_bytes(b"one")
    reading = os.open(tmp_path / "a", os.O_RDONLY)
    writing = os.open(tmp_path / "b", os.O_WRONLY | os.O_CREAT)
    sender.send(b"setup\n")
    assert receiver.receive() == (b"setup\n", [])
    sent: list[bool] = []
    sender.send(b"task\n", (reading, writing), lambda: sent.append(True))
    assert sent == [True]
    channel.close((reading, writing))
    line, (source, result) = receiver.receive()
    assert (line, os.read(source, 9)) == (b"task\n", b"one")
    os.write(result, b"two")
    assert (tmp_path / "b").read_bytes() == b"two"
    channel.close((source, result))


def test_a_long_line_is_sent_in_parts_and_its_files_once(
    ends: tuple[channel.Sender, channel.Receiver],
) -> None:
    """Sending does not block; the files travel with the first part."""
    sender, receiver = ends
    line = b"x" * 3_000_000 + b"\n"
    nothing = os.open(os.devnull, os.O_RDONLY)
    sender.send(line, (nothing,), lambda: os.close(nothing))
    waited = sender.is_waiting
    whole = b""
    files: list[int] = []
    while len(whole) < len(line):
        sender.send_rest()
        data, some = _some(receiver)
        whole, files = whole + data, files + some
    assert whole == line
    assert len(files) == 1
    assert (waited, sender.is_waiting) == (True, False)
    channel.close(files)


def _some(receiver: channel.Receiver) -> tuple[bytes, list[int]]:
    """Return the data and the descriptors that have arrived, which may be part of a line."""
    data, ancillary, _, _ = receiver._end.recvmsg(1 << 16, 1000)  # noqa: SLF001 -- before the line is whole
    return data, [content[0] for _, _, content in ancillary]


def test_files_are_closed_where_the_other_side_has_ended() -> None:
    """The files are closed once, without an error: the end is detected elsewhere."""
    sender, theirs = channel.pair()
    os.close(theirs)
    dropped: list[bool] = []
    sender.send(b"task\n", (0,), lambda: dropped.append(True))
    assert dropped == [True]
    assert not sender.is_waiting
    sender.close()
    assert dropped == [True]


def test_the_end_is_an_empty_line(ends: tuple[channel.Sender, channel.Receiver]) -> None:
    """Whatever was said before."""
    sender, receiver = ends
    sender.send(b"half")
    sender.close()
    assert receiver.receive() == (b"", [])


def test_more_files_than_go_with_a_line_are_refused(ends: tuple[channel.Sender, channel.Receiver]) -> None:
    """Before any is sent."""
    sender, _ = ends
    let_go: list[bool] = []
    with pytest.raises(ValueError, match="only 200"):
        sender.send(b"task\n", [0] * 201, lambda: let_go.append(True))
    assert let_go == [True]
