"""Hands what ended in a folder over to the uploader, for the folder's webhooks; each folder has a thread of its own.

What ended stands in the journal until its messages lie in the uploader's directory, whole and synced: a crash at any moment
hands it over once more, under the same names. A share that hangs, a full disk or a receiver that is away holds up nobody else.
It must not know how a message is sent.
"""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError, OutboxError, StorageError
from cutoutd.exchange.spool import SpoolPaths, announce
from cutoutd.exchange.webhooks import (
    WebhookMessage,
    WebhookPaths,
    picture_key,
    rename_folder,
    webhooks_waiting,
    withdraw_others,
    write_body,
    write_webhook,
)
from cutoutd.faults.backoff import Backoff
from cutoutd.faults.isolation import report
from cutoutd.logs import get
from cutoutd.offload.webhook_body import EventBody, event_of, type_of
from cutoutd.offload.webhook_room import WebhookRoom
from cutoutd.settings.webhooks import webhook_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.journal.ended import EndedJob, EndedJobs
    from cutoutd.settings.schema import Folder, Settings
    from cutoutd.settings.webhooks import FolderWebhook

LOOK_S: Final = 0.5
"""How soon an end is handed over; each look costs one statement by an index."""

STOP_S: Final = 1.0
"""How long a folder whose settings change is waited for."""

LAST_S: Final = 45.0
"""How long a run that ends by itself waits for the first attempts: the uploader may still be starting."""

MAX_MESSAGES: Final = 2000
"""That lie there at most, in equal shares of the folders; what ends beyond them waits in the journal."""

_MIB: Final = 1 << 20


class SpoolFullError(StorageError):
    """Receivers have not taken what was handed over before."""

    title = "No more is handed over to the webhooks"
    advice = "See `cutoutd webhook list`; what ends meanwhile waits in the journal."


class FolderHandover:
    """One folder's thread.

    Args:
        folder: its settings.
        settings: gives the configuration in force.
        ended: what ended.
        paths: where messages go.
        clock: the machine's.
        in_force: gives the `uploads_sha256` of the configuration in force.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        settings: Callable[[], Settings],
        ended: EndedJobs,
        paths: WebhookPaths,
        clock: Clock,
        in_force: Callable[[], str],
    ) -> None:
        self.folder = folder
        self._settings = settings
        self._ended = ended
        self._paths = paths
        self._clock = clock
        self._in_force = in_force
        self._log = get(folder=folder.name)
        self._over = threading.Event()
        self._room = WebhookRoom(paths, folder.name, clock)
        self._backoff = Backoff()
        self._logged = ""
        self._thread = threading.Thread(target=self._run, name=f"webhooks {folder.name}", daemon=True)

    @property
    def is_idle(self) -> bool:
        """Nothing waits that could be handed over now."""
        return bool(self._backoff.failures) or self._ended.first(self.folder.name) is None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way; what is left waits in the journal."""
        self._over.set()

    def join(self, timeout_s: float) -> None:
        """Wait for its end, but not for long: a share may hold it."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._over.is_set():
            if self._clock.monotonic_s() >= self._backoff.until_s:
                self._hand_over_pending()
            self._over.wait(LOOK_S)

    def _hand_over_pending(self) -> None:
        """Hand over what there is; what refuses is tried again later."""
        try:
            while not self._over.is_set() and (ended := self._ended.first(self.folder.name)) is not None:
                self._hand_over(ended)
        except (OSError, StorageError) as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 -- the one edge of this thread
            if isinstance(error, CutoutdError) and error.ends_daemon:
                self._over.set()  # the supervisor meets it as well
            report(self._log, error, over="a webhook's message")
            self._failed("")
        else:
            self._backoff.worked()
            self._logged = ""

    def _failed(self, why: str) -> None:
        self._backoff.failed(self._clock.monotonic_s())
        if why and why != self._logged:
            self._logged = why
            self._log.warning("webhook.not-handed-over", why=why)

    def _hand_over(self, ended: EndedJob) -> None:
        number = self._ended.number
        for webhook in self.folder.webhook:
            if event_of(ended.state) in webhook.events:
                self._write(ended, webhook, number)
        self._ended.handed_over(ended, number)

    def _write(self, ended: EndedJob, webhook: FolderWebhook, number: int) -> None:
        settings = self._settings()
        limits, sharers = settings.webhooks, len(settings.with_webhooks)
        if not self._room.is_left(most=MAX_MESSAGES, max_bytes=limits.max_waiting_mb * _MIB, sharers=sharers):
            raise SpoolFullError("too much waits for receivers, or was given up", path=self._paths.events)
        whom = webhook_id(self.folder.name, webhook)
        # The same after a crash, so that nothing is told under two names.
        name = f"{ended.id} {ended.job} {ended.at_us} {number} {whom}"
        id_ = hashlib.sha256(name.encode()).hexdigest()[:32]
        body = EventBody(
            folder=self.folder, ended=ended, what=webhook.include, max_bytes=limits.max_result_mb * _MIB
        )
        size, sha256 = write_body(self._paths, id_, body.pieces())
        now_us = self._clock.now_us()
        write_webhook(
            self._paths,
            WebhookMessage(
                id=id_,
                webhook=whom,
                folder=self.folder.name,
                job=ended.job,
                type=type_of(ended.state),
                what=webhook.include.value,
                number=number,
                about=picture_key(self.folder.name, ended.path),
                bytes=size,
                sha256=sha256,
                made_us=now_us,
                settings=self._in_force(),
            ),
        )
        self._room.count(size)


class WebhookHandover:
    """The threads of all folders that tell webhooks; main thread alone.

    Args:
        settings: gives the configuration in force.
        ended: what ended.
        state_dir: the state directory.
        clock: the machine's.
        in_force: gives the `uploads_sha256` of the configuration in force.
        former_names: gives the names that a folder had before, from its name and its input.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        former_names: Callable[[str, str], frozenset[str]],
        ended: EndedJobs,
        state_dir: Path,
        clock: Clock,
        in_force: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._former_names = former_names
        self._ended = ended
        self._spool = SpoolPaths.under(state_dir)
        self._paths = WebhookPaths(self._spool.root)
        self._clock = clock
        self._in_force = in_force
        self._threads: dict[str, FolderHandover] = {}
        self._is_changed = False
        self._refused = ""
        self._waits_since_s: float | None = None

    def changed(self) -> None:
        """Another configuration is in force."""
        self._is_changed = True

    def poll(self) -> None:
        """Go by another configuration, if one is in force since this was last called; again later if the uploader's disk refuses.

        Raises:
            JournalError: as from `follow`.
        """
        if not self._is_changed:
            return
        try:
            self.follow()
        except OutboxError as error:
            if str(error) != self._refused:
                self._refused = str(error)
                get().warning("webhook.disk", why=self._refused)
        else:
            self._is_changed, self._refused = False, ""

    def follow(self) -> None:
        """Go by the configuration in force from now on, and have the uploader read it.

        Raises:
            JournalError, OutboxError: the disk refuses; to be called again.
        """
        wanted = {folder.name: folder for folder in self._settings().with_webhooks}
        renamed = renamed_folders(self._settings(), self._former_names)
        self._ended.follow({*wanted, *renamed})  # what is in work ends under the former name
        try:
            self._spool.make()
            self._paths.make()
            for before, folder in renamed.items():
                ids = {webhook_id(before, one): webhook_id(folder.name, one) for one in folder.webhook}
                rename_folder(self._paths, ids, folder.name)
            named = {webhook_id(name, one) for name, folder in wanted.items() for one in folder.webhook}
            if count := withdraw_others(self._paths, named):
                get().info("webhook.withdrawn", messages=count)
            announce(self._spool, self._in_force())
        except OSError as error:
            raise OutboxError(
                f"the uploader cannot be notified: {error.strerror}", path=self._spool.root
            ) from error
        for name, thread in list(self._threads.items()):
            if wanted.get(name) != thread.folder:
                thread.stop()
                thread.join(STOP_S)
                del self._threads[name]
        for name, folder in wanted.items():
            if name not in self._threads:
                self._threads[name] = thread = FolderHandover(
                    folder,
                    settings=self._settings,
                    ended=self._ended,
                    paths=self._paths,
                    clock=self._clock,
                    in_force=self._in_force,
                )
                thread.start()

    @property
    def is_idle(self) -> bool:
        """Nothing waits that could be handed over now."""
        return all(thread.is_idle for thread in self._threads.values())

    def expects_more(self) -> bool:
        """Whether something waits that is sent before long, without anybody's help: for a run that ends by itself.

        A message that was tried once is left to the next run, and so is all that waits for longer than `LAST_S`.
        """
        untried = not self.is_idle or any(
            not one.attempts and not one.is_dead for one in webhooks_waiting(self._paths)
        )
        now_s = self._clock.monotonic_s()
        if not untried or os.path.lexists(self._spool.paused):
            self._waits_since_s = None
            return False
        if self._waits_since_s is None:
            self._waits_since_s = now_s
        return now_s < self._waits_since_s + LAST_S

    def stop(self, timeout_s: float) -> None:
        """End all threads, without waiting long for one that a share holds."""
        for thread in self._threads.values():
            thread.stop()
        for thread in self._threads.values():
            thread.join(timeout_s)


def renamed_folders(
    settings: Settings, former_names: Callable[[str, str], frozenset[str]]
) -> dict[str, Folder]:
    """Return the folders with webhooks that had another name before, by that name, unless it is another folder's now.

    What was to be sent for them is for the same receivers as before.
    """
    configured = {folder.name for folder in settings.folder}
    return {
        before: folder
        for folder in settings.with_webhooks
        for before in former_names(folder.name, os.fspath(folder.input)) - configured
    }
