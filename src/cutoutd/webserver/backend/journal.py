"""Access of methods to the journal, whose errors become messages for the person at the page.

A method must not keep a transaction open between two statements, so that the daemon's commits do not wait. This module writes
nothing.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError, JournalBusyError, JournalError
from cutoutd.journal.store import JournalDamagedError, JournalNewerError, JournalOlderError
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.journal.store import Store
    from cutoutd.webserver.backend.method import Behind

_REFUSALS: Final = (
    (
        JournalDamagedError,
        "journal_damaged",
        "The journal was damaged, replaced or removed. cutoutd makes it anew when it starts; pictures and cutouts are untouched.",
    ),
    (
        JournalNewerError,
        "journal_newer",
        "The journal was written by a newer cutoutd. Start the page again with the version that runs.",
    ),
    (
        JournalOlderError,
        "journal_older",
        "The journal was written by an earlier cutoutd. Start cutoutd: it converts the journal.",
    ),
    (
        JournalBusyError,
        "journal_busy",
        "Another program holds the journal, such as a backup or a database browser. Close it, or try again later.",
    ),
    (
        JournalError,
        "journal_unusable",
        "The journal cannot be used: the disk of the state directory is full or does not work. Try again once it does.",
    ),
)
_NO_JOURNAL: Final = "There is no journal yet: cutoutd was never started with this configuration. Start it."


@contextmanager
def journal(backend: Behind) -> Iterator[Store | None]:
    """Return the open journal; None as long as there is none.

    Raises:
        RefusedError: 503; the journal cannot be read or written.
        OSError: too many files are open.
    """
    try:
        yield backend.open_store()
    except CutoutdError as error:
        if isinstance(error, JournalError):
            _check_descriptors()  # SQLite does not say that there are none left
        for kind, code, text in _REFUSALS:
            if isinstance(error, kind):
                raise RefusedError(503, code, text, cause=error.cause) from error
        raise


def _check_descriptors() -> None:
    """Check that this process can open a file.

    Raises:
        OSError: it cannot.
    """
    os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))


@contextmanager
def required(backend: Behind) -> Iterator[Store]:
    """Return the open journal.

    Raises:
        RefusedError: 503; there is no journal, or it cannot be read or written.
    """
    with journal(backend) as store:
        if store is None:
            raise RefusedError(503, "no_journal", _NO_JOURNAL)
        yield store
