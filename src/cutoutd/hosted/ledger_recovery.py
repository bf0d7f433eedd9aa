"""Opens the ledger, and refuses to send while it is lost, damaged, foreign, or lacks uploads that the journal knows.

The limits on spending depend on it, so a new one is begun only if there is no trace of an earlier one, or a person confirms
it; the old one is kept beside it. It must not repair a ledger, nor send anything.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.clock import rfc3339, utc_day
from cutoutd.exchange import spool
from cutoutd.exchange.upload_records import (
    KnownUploads,
    LedgerStart,
    last_status,
    read_begun,
    read_document,
    read_known,
    traces,
    write_begun,
    write_known,
)
from cutoutd.hosted.ledger import FILE_NAME, Ledger, LedgerDamagedError, LedgerError
from cutoutd.hosted.status import UploaderStatus
from cutoutd.settings.digest import uploads_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.exchange.spool import SpoolPaths
    from cutoutd.hosted.context import UploadContext
    from cutoutd.process.stop_flag import StopFlag
    from cutoutd.settings.schema import Settings


_LOOK_S: Final = 0.5


def opened(paths: SpoolPaths, now_us: int) -> Ledger:
    """Open the ledger. A new one is created only if there is no trace of an earlier one.

    Raises:
        LedgerError: the disk refuses.
        LedgerDamagedError: it is missing, empty, no ledger, or that of another state directory.
        UsageError: it belongs to a newer cutoutd.
    """
    path = paths.root / FILE_NAME
    size = _size(path)
    if not size and (known := traces(paths.root)):
        raise LedgerDamagedError(f"it is {'gone' if size is None else 'empty'}, but {known}", path=path)
    ledger = Ledger(path, create=True)
    try:
        _check(paths, ledger, now_us)
    except BaseException:
        ledger.close_file()
        raise
    return ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerOpener:
    """Opens the ledger for one uploader.

    Attributes:
        paths: directory of the ledger.
        clock: wall time.
        stopping: set when the uploader is to stop.
        parent: process id of the parent, at whose end the uploader stops; None for none.
        announced: last announcement of the supervisor before the configuration was read.
        settings: the uploader's configuration.
        layers: active layers of the sandbox, for the status.
    """

    paths: SpoolPaths
    clock: Clock
    stopping: StopFlag
    parent: int | None
    announced: str
    settings: Settings
    layers: tuple[str, ...]

    def ledger(self) -> Ledger | None:
        """Wait until the ledger can be opened; None if the uploader is to stop.

        Meanwhile the status says why the route is closed, and what to do. A `resume --hosted` after that begins a new
        ledger.
        """
        why, is_logged = "", False
        while not self._is_over():
            try:
                return opened(self.paths, self.clock.now_us())
            except LedgerDamagedError as error:
                # A resume before the loss was shown is no consent to it.
                if is_logged and os.path.lexists(self.paths.resumed):
                    return self._begin_anew(error)
                if not is_logged:
                    self._forget_mark()
                is_logged = True
                why = self._report(f"the ledger of uploads is lost or damaged: {error}", why)
            except LedgerError as error:
                why = self._report(f"{error.title}: {error}", why)
            self.stopping.wait(_LOOK_S)
        return None

    def _forget_mark(self) -> None:
        with suppress(OSError):
            self.paths.resumed.unlink()

    def _is_over(self) -> bool:
        if self.parent is not None and os.getppid() != self.parent:
            self.stopping.set()
        now = spool.announcement(self.paths)
        is_outdated = now != self.announced and not now.startswith(uploads_sha256(self.settings))
        return self.stopping.is_set() or is_outdated

    def _report(self, why: str, before: str) -> str:
        if why == before:
            return why
        logs.get().error("hosted.ledger-lost", why=why)
        now = rfc3339(self.clock.now_us())
        # The sums of today in the last status are kept: a new ledger would not know them.
        last = read_document(self.paths.status)
        is_of_today = utc_day(str(last.get("day") or last.get("at"))) == utc_day(now)
        UploaderStatus(
            pid=os.getpid(),
            at=now,
            day=utc_day(now),
            provider=self.settings.hosted.provider.value,
            host=self.settings.hosted.address.authority,
            sandbox=self.layers,
            route="paused",
            why=why,
            today=last.get("today", {}) if is_of_today else {},
            folders=last.get("folders", {}) if is_of_today else {},
        ).write(self.paths)
        return why

    def _begin_anew(self, error: LedgerDamagedError) -> Ledger:
        """Begin a new ledger at a person's request. What is known of today's uploads still counts."""
        paths, now_us = self.paths, self.clock.now_us()
        known = read_known(paths.uploaded) or KnownUploads(count=0, last="", at="")
        day = utc_day(rfc3339(now_us))
        accepted = KnownUploads(
            count=known.count, last=known.last, at=known.at, day=day, credits=_spent(paths, day)
        )
        path = paths.root / FILE_NAME
        try:
            write_known(paths.accepted, accepted)
            aside = _rename_old(path, now_us)
            ledger = Ledger(path, create=True)
            _begin(paths, ledger, now_us)
            paths.resumed.unlink(missing_ok=True)
        except OSError as refused:
            raise LedgerError(f"a new one cannot be begun: {refused.strerror}", path=path) from refused
        logs.get().warning(
            "hosted.ledger-begun-anew", why=error.cause, old=aside, counted=dict(accepted.credits)
        )
        return ledger


def _size(path: Path) -> int | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"the system says: {error.strerror}", path=path) from error
    if not stat.S_ISREG(found.st_mode):
        raise LedgerDamagedError("it is not a plain file", path=path)
    return found.st_size


def _check(paths: SpoolPaths, ledger: Ledger, now_us: int) -> None:
    """Check that the ledger is the one that was begun here."""
    ledger.verify()
    begun = read_begun(paths.root)
    if begun is not None and begun.id != ledger.id:
        raise LedgerDamagedError("it is another state directory's", path=paths.root / FILE_NAME)
    if begun is None and ledger.count():
        _begin(paths, ledger, now_us)


def _begin(paths: SpoolPaths, ledger: Ledger, now_us: int) -> None:
    write_begun(paths.root, LedgerStart(id=ledger.id, at=rfc3339(now_us)))


def _spent(paths: SpoolPaths, day: str) -> dict[str, float]:
    """Return the credits of a day by folder, as far as anything but the ledger knows them."""
    journal, known, accepted = (
        dict(known.credits) if known is not None and known.day == day else {}
        for known in (
            read_known(paths.uploaded),
            last_status(paths.root),
            read_known(paths.accepted),
        )
    )
    # The status is based on the ledger, which did not know what was accepted before.
    own = {name: known.get(name, 0.0) + accepted.get(name, 0.0) for name in known | accepted}
    return {name: max(journal.get(name, 0.0), own.get(name, 0.0)) for name in journal | own}


def _rename_old(path: Path, now_us: int) -> str:
    """Rename an existing ledger. Returns its new name; empty if there was none."""
    stamp = rfc3339(now_us).replace(":", "").replace("-", "")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("-journal", ""):
        old = path.with_name(path.name + suffix)
        if os.path.lexists(old):
            old.rename(aside.with_name(aside.name + suffix))
    return aside.name if os.path.lexists(aside) else ""


class LedgerCheck:
    """Compares the ledger with the journal.

    Args:
        context: ledger and directories.

    Attributes:
        why: why nothing is sent, in words; empty if the ledger is complete, or a person has accepted what it lacks.
    """

    def __init__(self, context: UploadContext) -> None:
        self._context = context
        self._compared: KnownUploads | None = None
        self._missing = 0
        self.why = ""

    def poll(self) -> None:
        """Compare the ledger with what the journal knows, whenever the supervisor has written that again.

        Raises:
            LedgerError: the disk refuses.
        """
        paths, ledger = self._context.paths, self._context.ledger
        known = read_known(paths.uploaded)
        if known is None or known == self._compared:
            return
        accepted = read_known(paths.accepted) or KnownUploads(count=0, last="", at="")
        self._missing = known.count - ledger.count()
        knows_last = known.last == accepted.last or ledger.knows(known.last)
        is_whole = self._missing <= accepted.count and knows_last
        self._compared = known
        before, self.why = self.why, "" if is_whole else self._describe(known)
        if self.why and not before:
            logs.get().warning("hosted.ledger-not-whole", why=self.why)

    def accept(self) -> None:
        """Go on with the ledger as it is, at a person's request.

        Raises:
            OSError, LedgerError: the disk refuses.
        """
        if self.why and self._compared is not None:
            known, context = self._compared, self._context
            today = {name: one.credits for name, one in context.ledger.day(context.clock.now_us()).items()}
            day = utc_day(rfc3339(context.clock.now_us()))
            before = read_known(context.paths.accepted)
            # What was accepted earlier today is still missing.
            lost = missing_credits(known if known.day == day else None, today)
            if before is not None and before.day == day:
                lost = {
                    name: max(lost.get(name, 0.0), before.credits.get(name, 0.0))
                    for name in lost | dict(before.credits)
                }
            known = KnownUploads(
                count=max(0, self._missing), last=known.last, at=known.at, day=day, credits=lost
            )
            write_known(context.paths.accepted, known)
            logs.get().warning("hosted.ledger-accepted", why=self.why)
            self.why = ""

    def _describe(self, known: KnownUploads) -> str:
        return (
            f"the ledger of uploads is incomplete: the journal knows of {known.count} pictures that were sent, the last on "
            f"{known.at}, and the ledger lacks {max(1, self._missing)} of them, so what was spent today is not known. Put "
            "a backup in its place and start cutoutd again, or say `cutoutd resume --hosted`: then today's limits count "
            "what the ledger and the journal have"
        )


def missing_credits(known: KnownUploads | None, spent: Mapping[str, float]) -> dict[str, float]:
    """Return the credits of a day by folder that are known but missing in a ledger.

    Args:
        known: uploads of that day; None: nothing is known.
        spent: credits in the ledger.
    """
    if known is None:
        return {}
    lost = {name: round(one - spent.get(name, 0.0), 6) for name, one in known.credits.items()}
    return {name: one for name, one in lost.items() if one > 0}
