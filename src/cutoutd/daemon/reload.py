"""Reads the configuration again while the daemon runs, and checks whether it can be taken over.

Reading happens in a thread of its own: the file and the group database may be on a disk that hangs, and the main thread must not
hang. The result is complete, checked settings, or a refusal. This module must not carry the change out:
`cutoutd.daemon.supervisor` does.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.daemon.assembly import check_backgrounds, permissions_of
from cutoutd.errors import ConfigurationError, CutoutdError
from cutoutd.faults.isolation import report, unforeseen
from cutoutd.intake.rules import rules_of
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.models.catalog import VerifiedModels
    from cutoutd.settings.schema import Settings

_AT_ONCE: Final = frozenset({"max_pixels", "max_file_mb", "formats", "worker_memory_mb", "nice"})
"""Keys of [pool] that are passed to each new worker; all others cannot change while the program runs."""


LEAST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 10.0
"""Pauses between two changes: if a picture was finished since the last one, and if none was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A new configuration that is not taken over, and why."""

    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a new configuration changes for other parts.

    Attributes:
        workers: whether the workers have to be replaced, since their settings or their kinds differ.
    """

    workers: bool


class ReloadPause:
    """The pause between two changes of the configuration, so that work makes progress however fast they come.

    A change may replace workers and restart folders, which takes a second or more.
    """

    def __init__(self) -> None:
        self._changed_s: float | None = None
        self._has_worked = False

    def changed(self, now_s: float) -> None:
        """Record that a change was taken over, at a time in monotonic seconds."""
        self._changed_s, self._has_worked = now_s, False

    def worked(self) -> None:
        """Record that a worker has finished a picture."""
        self._has_worked = True

    def allows(self, now_s: float) -> bool:
        """Whether the configuration may be read again."""
        if self._changed_s is None:
            return True
        pause_s = LEAST_PAUSE_S if self._has_worked else LONGEST_PAUSE_S
        return now_s - self._changed_s >= pause_s


class Reloader:
    """Reads the configuration again on request.

    Args:
        settings: the configuration in force.
        read: reads the configuration in the same way as at the start.
        wake: called when a request or a result is to be handled.
        verified_models: the models of all folders.

    Attributes:
        settings: the configuration in force; `adopt` replaces it.
        finished: the highest number returned by `request` whose reload is over.
        refused: why the configuration as last read is not in force; empty: it is.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        wake: Callable[[], None],
        verified_models: VerifiedModels,
    ) -> None:
        self.settings = settings
        self._read = read
        self._wake = wake
        self._verified_models = verified_models
        self._requested = 0
        self._begun = 0
        self._thread: threading.Thread | None = None
        self._answer: Settings | Refusal | None = None
        self.finished = 0
        self.refused = ""

    def request(self) -> int:
        """Request a reload; safe in a signal handler.

        Returns:
            Its number: the reload is over when `finished` has reached it.
        """
        self._requested += 1
        self._wake()
        return self._requested

    def begin(self) -> bool:
        """Begin to read, if that was requested; returns whether it has begun."""
        if self._requested == self._begun or self._thread is not None:
            return False
        asked = self._requested
        self._answer = None
        thread = threading.Thread(target=self._run, name="reload", daemon=True)
        thread.start()
        self._begun, self._thread = asked, thread
        return True

    def answer(self) -> Settings | Refusal | None:
        """Return the result, until `adopt` or `drop`; None: nothing was requested, or reading goes on."""
        return self._answer

    def adopt(self, settings: Settings) -> None:
        """Put new settings into force."""
        self.settings = settings
        self.drop()

    def drop(self, refused: str = "") -> None:
        """Discard the result; ``refused``: why it was not taken over."""
        self._answer = None
        self._thread = None
        self.refused = refused
        self.finished = self._begun

    def _run(self) -> None:
        try:
            new = self._read()
            check(self.settings, new)
            self._verified_models.add(new.needed_models)
            self._answer = new
        except CutoutdError as error:
            self._answer = Refusal(why=str(error))
        except Exception as error:  # noqa: BLE001 -- the one edge of this thread
            report(get(), error, over="a reload")
            self._answer = Refusal(why=str(unforeseen(error)))
        self._wake()


def change_between(old: Settings, new: Settings) -> Change:
    """Return what new settings change for other parts."""
    return Change(workers=_worker_settings(old) != _worker_settings(new))


def _worker_settings(settings: Settings) -> tuple[object, ...]:
    """Return the limits and models that workers are told, and the kinds of folders that there are."""
    kinds = frozenset(
        (folder.is_tagged, folder.route if folder.is_clustered else "") for folder in settings.folder
    )
    return (tuple(getattr(settings.pool, key) for key in sorted(_AT_ONCE)), tuple(settings.models), kinds)


def check(old: Settings, new: Settings) -> None:
    """Check whether new settings can replace old ones in a running daemon.

    Raises:
        ConfigurationError: they cannot; the message names the key and what to do.
    """
    for folder in new.folder:
        rules_of(folder)
        permissions_of(folder)
        check_backgrounds(folder)
    fixed = list(_fixed(old, new))
    if fixed:
        raise ConfigurationError(
            f"{', '.join(fixed)} cannot change while cutoutd runs, so nothing was changed",
            advice="Restart it, or change it back and reload.",
        )


def _fixed(old: Settings, new: Settings) -> Iterator[str]:
    if new.tagged and not old.tagged:
        yield "that a folder may be uploaded from"  # no other process could: the uploader was not started
    if new.clustered and not old.clustered:
        yield "that a folder's pictures may be sent to a cluster"  # likewise
    if new.with_webhooks and not old.with_webhooks:
        yield "that a folder has a webhook"  # likewise
    for table in ("service", "pool", "model", "hosted", "cluster"):
        before, after = getattr(old, table), getattr(new, table)
        for key in type(before).model_fields:
            if key not in _AT_ONCE and getattr(before, key) != getattr(after, key):
                yield f"[{table}] {key}"
