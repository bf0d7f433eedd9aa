"""Responses that wrap results: JSON with base64, and an archive of two files; streamed, never held.

The archive is after PKWARE's APPNOTE 6.3.3, stored without compression: its files are compressed pictures.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from cutoutd.serve.web.pictures import Output

_DOS_DATE: Final = 33  # 1 January 1980: the same pictures make the same archive
_VERSION: Final = 20
_HEAD: Final = b'{"data": {"result_b64": "'
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")


def json_size(output: Output, tail: Mapping[str, int]) -> int:
    """Return the length in bytes of `as_json_parts`."""
    return len(_HEAD) + 4 * -(-output.size // 3) + len(_tail(tail))


async def as_json_parts(output: Output, tail: Mapping[str, int]) -> AsyncIterator[bytes]:
    """``{"data": {"result_b64": ..., ...}}``."""
    yield _HEAD
    rest = b""
    async for part in output.parts:
        rest += part
        whole = len(rest) // 3 * 3
        yield base64.b64encode(rest[:whole])
        rest = rest[whole:]
    yield base64.b64encode(rest)
    yield _tail(tail)


def _tail(tail: Mapping[str, int]) -> bytes:
    fields = "".join(f', "{name}": {value}' for name, value in tail.items())
    return f'"{fields}}}}}'.encode("ascii")


async def checksum(output: Output) -> int:
    """Compute the CRC-32 of a result, which reads it whole."""
    found = 0
    async for part in output.parts:
        found = zlib.crc32(part, found)
    return found


def archive_size(names: Sequence[str], outputs: Sequence[Output]) -> int:
    """Return the length in bytes of `archived`."""
    fixed = sum(_LOCAL.size + _CENTRAL.size + 2 * len(name) for name in names)
    return fixed + sum(one.size for one in outputs) + _END.size


async def archived(
    names: Sequence[str], outputs: Sequence[Output], checksums: Sequence[int]
) -> AsyncGenerator[bytes, None]:
    """Yield an archive of results, and close them all, also those that it has not come to when the client hangs up.

    Args:
        names: names of the files, ASCII.
        outputs: results.
        checksums: CRC-32 of each result.
    """
    directory, at = b"", 0
    try:
        for name, output, crc in zip(names, outputs, checksums, strict=True):
            encoded, size = name.encode("ascii"), output.size
            facts = (_VERSION, 0, 0, 0, _DOS_DATE, crc, size, size, len(encoded), 0)
            local = _LOCAL.pack(b"PK\3\4", *facts) + encoded
            yield local
            async for part in output.parts:
                yield part
            directory += _CENTRAL.pack(b"PK\1\2", _VERSION, *facts, 0, 0, 0, 0, at) + encoded
            at += len(local) + size
    finally:
        for output in outputs:
            await output.close()
    count = len(outputs)
    yield directory + _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), at, 0)
