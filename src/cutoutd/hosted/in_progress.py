"""Which requests are being looked at, on the disk: one that ends the uploader again and again is found by it.

A mark stands from when a request is taken in hand until its row is to be written; from there on the ledger knows it, and
never sends it twice. It must not decide what becomes of a request.

    STATE/hosted/in-hand/ID.now       it is being looked at
    STATE/hosted/in-hand/ID.deaths    how often the uploader ended meanwhile
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
"""One may be chance, as a power cut is."""

_MARK: Final = re.compile(r"([0-9a-f]{32})\.(?:now|deaths)")
_MAX_DIGITS: Final = 4


class CrashMarks:
    """The marks.

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
        """Whether the uploader ended over a request too often."""
        return self._deaths.get(id_, 0) >= MOST_DEATHS

    def take(self, id_: str) -> None:
        """A request is looked at from now on.

        Raises:
            OSError: the disk refuses.
        """
        (self._directory / f"{id_}.now").touch(mode=0o600)

    def release(self, id_: str) -> None:
        """It did no harm."""
        with suppress(OSError):
            (self._directory / f"{id_}.now").unlink(missing_ok=True)

    def keep_only(self, ids: Collection[str]) -> None:
        """Forget requests that are no longer in the outbox."""
        for id_ in [id_ for id_ in self._deaths if id_ not in ids]:
            del self._deaths[id_]
            with suppress(OSError):
                (self._directory / f"{id_}.deaths").unlink(missing_ok=True)


def _number(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return int(file.read(_MAX_DIGITS))
    except (OSError, ValueError):
        return 0
