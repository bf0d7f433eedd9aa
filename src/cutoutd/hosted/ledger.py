"""The ledger: every upload and every request to a webhook, synced before its first byte is sent, and closed with its end.

Nothing is ever removed from it. It must not decide whether anything is sent.
"""

from __future__ import annotations

import secrets
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from cutoutd.clock import rfc3339
from cutoutd.database import Database, Queries
from cutoutd.errors import CutoutdError, FailureCode, StorageError, UsageError
from cutoutd.exchange.spool import Body
from cutoutd.exchange.upload_records import LEDGER, LedgerStart, read_begun, write_begun
from cutoutd.fs.durable import sync_directory
from cutoutd.fs.tree import file_id
from cutoutd.hosted.entries import AttemptOutcome, DayUsage, PastAttempt
from cutoutd.hosted.webhook_schedule import WebhookOutcome

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from cutoutd.exchange.webhooks import WebhookMessage
    from cutoutd.hosted.entries import AttemptEnd, AttemptStart

FILE_NAME: Final = LEDGER

_VERSION: Final = 2
_BEFORE_WEBHOOKS: Final = 1
_BUSY_TIMEOUT_S: Final = 10.0
_PAGE: Final = 1000
_DAY_US: Final = 86_400_000_000
_PRICES_US: Final = 30 * _DAY_US
_IDS: Final = (1 << 31) - 1
_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\0"
_ID_OFFSET: Final = 68
"""Offset of the application id in the header of a database (SQLite's file format, 1.3)."""

SQL: Final = Queries(
    "cutoutd.hosted",
    "ledger_queries.sql",
    sets={
        "any": frozenset(AttemptOutcome),
        "came_to_nothing": {AttemptOutcome.FAILED, AttemptOutcome.WITHDRAWN, AttemptOutcome.REFUSED},
        "any_webhook": frozenset(WebhookOutcome),
        "may_have_come": {AttemptOutcome.OK, AttemptOutcome.UNKNOWN},
    },
)


def day_of(now_us: int) -> int:
    """Return the number of a day (UTC), to which the limits refer."""
    return now_us // _DAY_US


class LedgerError(StorageError):
    """The ledger cannot be written, so nothing is sent."""

    code = FailureCode.LEDGER
    title = "The ledger of uploads cannot be written"
    advice = "Check that the disk of the state directory has room and works; nothing is sent before it does."


class LedgerDamagedError(CutoutdError):
    """The file is not a valid ledger."""

    code = FailureCode.LEDGER_DAMAGED
    title = "The ledger of uploads is damaged"
    ends_daemon = True  # the uploader ends, and waits for a person at its next start
    advice = (
        "Nothing is sent without it. Put it back, or a backup of it, or say `cutoutd resume --hosted`: a new one is "
        "begun then, the old one is kept beside it, and today's limits count what the journal knows."
    )


class Ledger:
    """An open ledger; thread-safe.

    Args:
        path: path of the file.
        create: whether to create a missing file and to close what an earlier run left open; only for the uploader.

    Raises:
        LedgerError: the disk refuses.
        LedgerDamagedError: the file is no ledger.
        UsageError: it belongs to a newer cutoutd, or there is none.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        if not create and not path.exists():
            raise UsageError(
                "nothing was ever sent from this machine with this configuration: there is no ledger",
                path=path,
                advice="Nothing to do.",
            )
        self._database = Database(
            path,
            create=create,  # a reader must also roll back what a killed run left half written
            timeout_s=_BUSY_TIMEOUT_S,
            refused=LedgerError,
            damaged=LedgerDamagedError,
        )
        try:
            with self._refusals():
                self._prepare(create=create)
                found = path.stat()
                self._is_begun = read_begun(path.parent) is not None
        except BaseException:
            self._database.close()
            raise
        self._place = file_id(found)
        self._seen = (found.st_mtime_ns, found.st_size)
        self._id = self.id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_file()

    def close_file(self) -> None:
        """Close the file."""
        self._database.close()

    def _prepare(self, *, create: bool) -> None:
        database = self._database
        version = int(database.pragma("user_version"))
        if create:
            database.prepare()
            is_new = not version and database.row(SQL.any_table) is None
            if is_new or version == _BEFORE_WEBHOOKS:
                tables = [*(["ledger.sql"] if is_new else []), "ledger_webhooks.sql"]
                script = "".join(map(SQL.script, tables))
                database.run_script(f"BEGIN IMMEDIATE;{script}PRAGMA user_version = {_VERSION};COMMIT;")
                sync_directory(self._path.parent)
                version = _VERSION
            if version == _VERSION and not self.id:
                # A random number, which tells this ledger from another one under its name.
                # The backup of an earlier version, put back, has none yet.
                begun = read_begun(self._path.parent)
                database.pragma(
                    f"application_id = {secrets.randbelow(_IDS) + 1 if begun is None else begun.id:d}"
                )
        if version > _VERSION:
            raise UsageError(
                f"the ledger's schema has version {version}, this cutoutd knows {_VERSION}",
                path=self._path,
                advice="Install that version again.",
            )
        self._has_webhooks = version == _VERSION
        if version not in (_VERSION, _BEFORE_WEBHOOKS):
            raise LedgerDamagedError("its tables are not those of a ledger", path=self._path)

    @property
    def id(self) -> int:
        """The ledger's number; 0 before the uploader has opened it for the first time."""
        return int(self._database.pragma("application_id"))

    def check(self) -> None:
        """Check that the path still leads to the open file: SQLite would go on writing into a removed one.

        Raises:
            LedgerDamagedError: it was removed, renamed, replaced, truncated or overwritten.
        """
        try:
            found = self._path.stat()
        except OSError as error:
            raise LedgerDamagedError(f"it is gone: {error.strerror}", path=self._path) from error
        if file_id(found) != self._place:
            raise LedgerDamagedError("another file has its name", path=self._path)
        if not found.st_size:
            raise LedgerDamagedError("it was emptied", path=self._path)
        if self._seen != (found.st_mtime_ns, found.st_size):
            self._check_header()
            self._seen = (found.st_mtime_ns, found.st_size)

    def _check_header(self) -> None:
        """Check the header in the file itself: SQLite trusts pages that it has read already.

        Closing a file releases all locks of a process on it, so no other operation may be under way.
        """
        with self._database.lock, self._refusals(), self._path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        is_whole = len(header) == _HEADER_BYTES and header.startswith(_MAGIC)
        if not is_whole or struct.unpack_from(">I", header, _ID_OFFSET)[0] != self._id:
            raise LedgerDamagedError("it was written over", path=self._path)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Translate the errors of file operations beside the ledger's own statements."""
        try:
            yield
        except OSError as error:
            raise LedgerError(f"the system says: {error.strerror}", path=self._path) from error

    def begin(self, entry: AttemptStart) -> int:
        """Record an upload, synced, before it begins. Returns its row.

        Raises:
            LedgerError: it is not recorded; nothing may be sent.
        """
        request = entry.request
        self._begin(entry.began_us)
        return self._database.insert(
            SQL.begin,
            request=request.id,
            folder=request.folder,
            job=request.job,
            why=request.why,
            sha256=request.sha256,
            source_sha256=request.source_sha256,
            bytes=request.bytes,
            width=request.width,
            height=request.height,
            provider=entry.provider,
            host=entry.host,
            options=entry.options,
            again=request.again,
            expected=entry.expected,
            began_us=entry.began_us,
        )

    def _begin(self, now_us: int) -> None:
        """Before a new row: check the file, and record beside it that there is a ledger."""
        self.check()
        with self._database.lock, self._refusals():  # one thread: its draft has one name
            if not self._is_begun:
                write_begun(self._path.parent, LedgerStart(id=self._id, at=rfc3339(now_us)))
                self._is_begun = True

    def begin_webhook(self, message: WebhookMessage, *, host: str, now_us: int) -> int:
        """Record a request to a webhook, synced, before it begins. Returns its row.

        Raises:
            LedgerError: it is not recorded; nothing may be sent.
        """
        self._begin(now_us)
        return self._database.insert(
            SQL.begin_webhook,
            message=message.id,
            webhook=message.webhook,
            folder=message.folder,
            job=message.job,
            type=message.type,
            what=message.what,
            host=host,
            sha256=message.sha256,
            bytes=message.bytes,
            attempt=message.attempts + 1,
            began_us=now_us,
        )

    def close_webhook(
        self,
        row: int,
        outcome: WebhookOutcome,
        *,
        status: int | None,
        sent: int | None,
        took_ms: int,
        cause: str,
    ) -> None:
        """Record the end of a request to a webhook.

        Raises:
            LedgerError: it is not recorded; the next start closes the row as unknown.
        """
        self._database.write(
            SQL.close_webhook,
            row=row,
            outcome=outcome,
            status=status,
            sent=sent,
            took_ms=took_ms,
            cause=cause,
        )

    def has_unsubscribed(self, webhook: str) -> bool:
        """Whether the last answer of a receiver was that it wants no more messages."""
        row = self._database.row(SQL.last_of_webhook, webhook=webhook)
        return row is not None and row["outcome"] == WebhookOutcome.GONE

    def close(self, row: int, closing: AttemptEnd) -> None:
        """Record the end of an upload.

        Raises:
            LedgerError: it is not recorded; the next start closes the row as unknown.
        """
        self._database.write(
            SQL.close,
            row=row,
            outcome=closing.end,
            status=closing.status,
            sent=closing.sent,
            credits=closing.credits,
            took_ms=closing.took_ms,
            body=closing.body,
            reply_sha256=closing.reply_sha256,
            reply_bytes=closing.reply_bytes,
            cause=closing.cause,
        )

    def close_left_open(self, cause: str) -> int:
        """Close the rows of a run that was killed as unknown, since they may have been billed. Returns how many."""
        closed = self._database.write(SQL.close_left_open, cause=cause)
        return closed + self._database.write(SQL.close_webhooks_left_open, cause=cause)

    def close_open(self, request: str, cause: str) -> None:
        """Close the open rows of a request, after an internal error, as unknown, since they may have been billed."""
        self._database.write(SQL.close_open, request=request, cause=cause)

    def verify(self) -> None:
        """Check that the whole file can be read as a ledger.

        Raises:
            LedgerError: the disk refuses.
            LedgerDamagedError: it cannot be read as one.
        """
        said = str(self._database.pragma("quick_check(1)"))
        self._database.row(SQL.columns)
        if said != "ok":
            raise LedgerDamagedError(f"SQLite says: {said}", path=self._path)

    def last_of_request(self, id_: str) -> PastAttempt | None:
        """Return the last finished upload for a request, or None."""
        return _past(self._database.row(SQL.last_of_request, request=id_))

    def last_of_content(self, *, sha256: str, provider: str, host: str, options: str) -> PastAttempt | None:
        """Return the last upload of the same bytes with the same question that had or may have had a result, or None."""
        asked = {"sha256": sha256, "provider": provider, "host": host, "options": options}
        return _past(self._database.row(SQL.last_of_content, **asked))

    def day(self, now_us: int) -> dict[str, DayUsage]:
        """Return the sums of each folder's finished uploads of the day (UTC)."""
        begin_us = day_of(now_us) * _DAY_US
        return {
            row["folder"]: DayUsage(uploads=row["uploads"], bytes=row["sent"], credits=row["credits"])
            for row in self._database.rows(SQL.day, begin_us=begin_us, end_us=begin_us + _DAY_US)
        }

    def knows(self, request: str) -> bool:
        """Whether anything was ever sent for a request."""
        return self._database.row(SQL.request, request=request) is not None

    def count(self) -> int:
        """Return for how many requests something was sent, or may have been."""
        return self._database.number(SQL.count)

    def prices(self, provider: str, host: str, now_us: int) -> dict[float, float]:
        """Return the highest price of the last 30 days, by the price that was expected, of pictures that were cut."""
        rows = self._database.rows(SQL.prices, since_us=now_us - _PRICES_US, provider=provider, host=host)
        return {row["expected"]: row["highest"] for row in rows}

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield every upload, the oldest first: its columns and ``counted``, the credits that count in a budget.

        It reads in pages, so that the uploader is never blocked.
        """
        yield from self._pages(SQL.page)

    def webhooks(self) -> Iterator[dict[str, Any]]:
        """Yield every request to a webhook, the oldest first, as its columns."""
        if self._has_webhooks:  # an earlier version's ledger has none until the uploader has opened it
            yield from self._pages(SQL.page_of_webhooks)

    def _pages(self, sql: str) -> Iterator[dict[str, Any]]:
        last = 0
        while True:
            rows = self._database.rows(sql, after=last, limit=_PAGE)
            yield from (dict(row) for row in rows)
            if len(rows) < _PAGE:
                return
            last = rows[-1]["id"]


def _past(row: sqlite3.Row | None) -> PastAttempt | None:
    if row is None:
        return None
    return PastAttempt(
        row=row["id"],
        request=row["request"],
        end=AttemptOutcome(row["outcome"]),
        credits=row["credits"],
        sent=row["bytes"] if row["sent"] is None else row["sent"],
        cause=row["cause"] or "",
        began_us=row["began_us"],
        body=Body(row["body"]) if row["body"] else None,
        reply_sha256=row["reply_sha256"],
    )
