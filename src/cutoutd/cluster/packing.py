"""Packs several pieces of bytes into one object, for a request to a machine and for its answer.

Dask searches lists and tuples for keys of other tasks, and replaces values that equal one; it does not look into other objects. The
pieces are sent beside the pickle of the object (PEP 574), so that neither this process, the scheduler nor the machine copies them.
"""

from __future__ import annotations

from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any, Final, SupportsIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_PARTS: Final = 64


class TornError(ValueError):
    """The data is not what `pack` returned."""


class Packed:
    """Pieces of bytes on their way.

    Args:
        parts: the pieces; after a transport they are memory views of what was received.
    """

    __slots__ = ("parts",)

    def __init__(self, *parts: bytes | memoryview) -> None:
        self.parts = parts

    def __reduce_ex__(self, _: SupportsIndex) -> tuple[Any, ...]:
        """Pickle the pieces as buffers, which are sent as they are."""
        return Packed, tuple(map(PickleBuffer, self.parts))


def pack(parts: Sequence[bytes | memoryview]) -> Packed:
    """Return all parts as one."""
    return Packed(*parts)


def unpack(data: object) -> list[memoryview]:
    """Return the parts, each as a flat view of bytes.

    Args:
        data: whatever the other side has sent.

    Raises:
        TornError: it is not what `pack` returned.
    """
    if type(data) is not Packed:
        raise TornError(f"it is a {type(data).__name__}")
    parts = getattr(data, "parts", None)  # a forged pickle may lack it
    if not isinstance(parts, tuple) or not 1 <= len(parts) <= _MAX_PARTS:
        raise TornError("it has no parts, or too many")
    try:
        return [memoryview(part).cast("B") for part in parts]
    except (TypeError, ValueError) as error:
        raise TornError("its parts are not bytes") from error
