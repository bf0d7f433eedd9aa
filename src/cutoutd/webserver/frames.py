"""The protocol between the two processes: frames over a pair of connected sockets.

A frame is the length of its head and of its body (4 bytes each, big-endian), the head, which is a JSON object, and the body,
which is any bytes. Both lengths are bounded, so that neither side can exhaust the other's memory. This module must not
interpret frames.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

MAX_HEAD: Final = 1 << 17
"""Four times the head of a browser's request, whose parameters are escaped in here."""

MAX_BODY: Final = 1 << 25
"""Of an answer: a list of 30,000 jobs takes a tenth of it. Whoever receives requests has less read, by their heads."""

UPGRADED: Final = 75
"""Exit code of a web process of another version than its backend; both are to be started anew."""

_LENGTHS: Final = struct.Struct("!II")

Frame: TypeAlias = tuple[dict[str, Any], bytes]
"""Head and body."""


class FrameError(Exception):
    """The input is not a frame, or the frame is too large."""


def pack(head: Mapping[str, Any], body: bytes | bytearray | memoryview = b"") -> bytes:
    """Encode a frame.

    Raises:
    FrameError: the frame is too large.
    """
    encoded = json.dumps(head, separators=(",", ":")).encode("ascii")
    _check(len(encoded), len(body))
    return b"".join((_LENGTHS.pack(len(encoded), len(body)), encoded, body))


def receive(
    read: Callable[[int], bytes], most: Callable[[dict[str, Any]], int] = lambda _: MAX_BODY
) -> Frame | None:
    """Read the next frame; wait for it.

    Args:
        read: returns at most so many bytes, and none at the end.
        most: returns the largest body in bytes for a frame with this head; a larger one is not read.

    Returns:
        Head and body; None at the end of the stream, also in the middle of a frame.

    Raises:
        FrameError: it is none.
        OSError: it cannot be read.
    """
    lengths = _exactly(_LENGTHS.size, read)
    if lengths is None:
        return None
    head_bytes, body_bytes = _LENGTHS.unpack(lengths)
    _check(head_bytes, body_bytes)
    encoded = _exactly(head_bytes, read)
    if encoded is None:
        return None
    head = _parse(encoded)
    if body_bytes > most(head):
        raise FrameError(f"a frame's body of {body_bytes} bytes is too large for what it is")
    body = _exactly(body_bytes, read)
    return None if body is None else (head, body)


async def receive_async(reader: asyncio.StreamReader) -> Frame:
    """Read the next frame.

    Raises:
        FrameError: it is none.
        asyncio.IncompleteReadError: the other side has ended.
    """
    head_bytes, body_bytes = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    _check(head_bytes, body_bytes)
    head = await reader.readexactly(head_bytes)
    return _parse(head), await reader.readexactly(body_bytes)


def _check(head_bytes: int, body_bytes: int) -> None:
    if head_bytes > MAX_HEAD or body_bytes > MAX_BODY:
        raise FrameError(f"a frame of {head_bytes} and {body_bytes} bytes is too large")


def _exactly(size: int, read: Callable[[int], bytes]) -> bytes | None:
    """Read exactly so many bytes; None if the end comes first."""
    parts = bytearray()
    while len(parts) < size:
        part = read(min(size - len(parts), 1 << 18))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _parse(head: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise FrameError("a frame's head is not JSON") from error
    if not isinstance(parsed, dict):
        raise FrameError("a frame's head is not an object")
    return parsed
