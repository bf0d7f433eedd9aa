"""The body of an upload: a picture that is read in small pieces, with a check for cancellation before each.

It must not know where the body is sent.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.hosted.provider import HttpRequest

_PIECE: Final = 24 << 10
"""Bytes of a piece: small, so that little is on its way at a cancellation; a multiple of 3 for base64."""


class Announced(Protocol):
    """A message that announces size and digest of its file."""

    @property
    def bytes(self) -> int:
        """Size of the file, in bytes."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, hex."""


class AlteredError(Exception):
    """The file in the outbox is not the one that its request announced."""


class RequestBody:
    """The picture of a request, opened once, so that the bytes that are checked are those that are sent.

    Args:
        path: path of the picture.
        request: the message that announces it.

    Attributes:
        sent: bytes of the picture that were handed over.
        is_complete: whether the last piece was handed over, so that the service may have the whole picture.

    Raises:
        AlteredError: the file is missing, or not the announced one.
    """

    def __init__(self, path: Path, request: Announced) -> None:
        self._request = request
        self.sent = 0
        self.is_complete = False
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise AlteredError(f"the picture to be sent cannot be read ({error.strerror})") from error
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def pieces(self, http_request: HttpRequest, check_cancelled: Callable[[], None]) -> Iterator[bytes]:
        """Yield the body of an HTTP request, piece by piece, from the start.

        Args:
            http_request: what surrounds the picture, and its encoding.
            check_cancelled: raises if the next piece must not be sent.

        Raises:
            AlteredError: the file was changed meanwhile; the last piece is not sent then.
        """
        self.sent = 0
        self.is_complete = False
        digest = hashlib.sha256()
        check_cancelled()
        yield http_request.head
        while self.sent < self._request.bytes:
            piece = os.pread(self._descriptor, min(_PIECE, self._request.bytes - self.sent), self.sent)
            digest.update(piece)
            is_last = self.sent + len(piece) == self._request.bytes
            if not piece or (is_last and digest.hexdigest() != self._request.sha256):
                raise AlteredError("the picture was changed while it was sent")
            check_cancelled()
            self.sent += len(piece)
            self.is_complete = is_last
            written = base64.b64encode(piece) if http_request.is_base64 else piece
            yield written + http_request.tail if is_last else written

    def _check(self) -> None:
        state = os.fstat(self._descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size != self._request.bytes or not state.st_size:
            raise AlteredError("the picture to be sent has not the size that was announced")
        digest, offset = hashlib.sha256(), 0
        while piece := os.pread(self._descriptor, 1 << 20, offset):
            digest.update(piece)
            offset += len(piece)
        if digest.hexdigest() != self._request.sha256:
            raise AlteredError("the picture to be sent is not the one that was announced")
