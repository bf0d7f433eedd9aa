"""Marks on the disk of the requests that are being processed, which find one that ends the uploader each time.

One exists from the start of processing until the row in the ledger; from then on the ledger knows the request, and it is
never sent twice.

    STATE/hosted/in-hand/ID.now       it is being processed
    STATE/hosted/in-hand/ID.deaths    how often the uploader died meanwhile
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.fs.durable import make_directory

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

MOST_DEATHS: Final = 3
"""Deaths of the uploader over one request; one may be chance, such as a power cut."""

_MARK: Final = re.compile(r"([0-9a-f]{32})\.(?:now|deaths)")
_MAX_DIGITS: Final = 4


class CrashMarks:
    """Marks on the disk of the requests that are being processed, to find one that kills the uploader repeatedly.

    Args:
        root: STATE/hosted.

    Raises:
        OSError: the disk refuses.
    """

    def __init__(self, root: Path) -> None:
        self._directory = root / "in-hand"
        make_directory(self._directory, parents=True, mode=0o700)
        self._deaths: dict[str, int] = {}
        for path in sorted(self._directory.iterdir()):
            if not (found := _MARK.fullmatch(path.name)):
                continue
            id_ = found[1]
            if path.suffix == ".deaths":
                self._deaths.setdefault(id_, _number(path))
                continue
            self._deaths[id_] = _number(path.with_suffix(".deaths")) + 1
            path.with_suffix(".deaths").write_text(str(self._deaths[id_]), encoding="ascii")
            path.unlink(missing_ok=True)

    def is_fatal(self, id_: str) -> bool:
        """Whether the uploader died over a request too often."""
        return self._deaths.get(id_, 0) >= MOST_DEATHS

    def take(self, id_: str) -> None:
        """Mark a request as being processed.

        Raises:
            OSError: the disk refuses.
        """
        (self._directory / f"{id_}.now").touch(mode=0o600)

    def release(self, id_: str) -> None:
        """Remove the mark of a request."""
        with suppress(OSError):
            (self._directory / f"{id_}.now").unlink(missing_ok=True)

    def keep_only(self, ids: Collection[str]) -> None:
        """Drop the marks of requests that are no longer in the outbox."""
        for id_ in self._deaths.keys() - ids:
            del self._deaths[id_]
            with suppress(OSError):
                (self._directory / f"{id_}.deaths").unlink(missing_ok=True)


def _number(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return int(file.read(_MAX_DIGITS))
    except (OSError, ValueError):
        return 0
