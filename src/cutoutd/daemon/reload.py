"""Reads the configuration anew while the daemon runs, and says whether it may be taken over.

Reading happens in a thread of its own: file and group database may lie on what hangs, and the main thread must
not. The answer is whole settings that were checked, or a refusal; nobody sees anything in between. It must not
carry the change out: `cutoutd.daemon.supervisor` does.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.daemon.assembly import check_backgrounds, permissions_of, rules_of
from cutoutd.errors import ConfigurationError, CutoutdError
from cutoutd.faults.isolation import report, unforeseen
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.models.catalog import VerifiedModels
    from cutoutd.settings.schema import Settings

_AT_ONCE: Final = frozenset({"max_pixels", "max_file_mb", "formats", "worker_memory_mb", "nice"})
"""Keys of [pool] that each new worker is told; all others are built into the running program."""


LEAST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 10.0
"""Between two changes, where a picture was finished in between and where none was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """The new configuration is not taken over."""

    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a new configuration means for others.

    Attributes:
        workers: they were told something else at their start, or others are needed, and are replaced.
    """

    workers: bool


class ReloadPause:
    """How soon one change of the configuration may follow another, so that work gets on however fast they come.

    Each may replace workers and start folders anew, which takes a second or more.
    """

    def __init__(self) -> None:
        self._changed_s: float | None = None
        self._has_worked = False

    def changed(self, now_s: float) -> None:
        """A change was taken over; monotonic seconds."""
        self._changed_s, self._has_worked = now_s, False

    def worked(self) -> None:
        """A worker has finished a picture."""
        self._has_worked = True

    def allows(self, now_s: float) -> bool:
        """Whether the configuration may be read anew."""
        if self._changed_s is None:
            return True
        pause_s = LEAST_PAUSE_S if self._has_worked else LONGEST_PAUSE_S
        return now_s - self._changed_s >= pause_s


class Reloader:
    """Reads anew when asked.

    Args:
        settings: those in force.
        read: reads the configuration as it was read at the start.
        wake: called when there is something to see to.
        verified_models: has the models of all folders.

    Attributes:
        settings: those in force; `adopt` replaces them.
        seen_to: the last number given by `ask` whose reload is over.
        refused: why the configuration as it was last read is not in force; empty if it is.
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
        self._asked = 0
        self._begun = 0
        self._thread: threading.Thread | None = None
        self._answer: Settings | Refusal | None = None
        self.seen_to = 0
        self.refused = ""

    def ask(self) -> int:
        """Read anew soon; safe in a signal handler.

        Returns:
            A number: the reload is over when `seen_to` has come to it.
        """
        self._asked += 1
        self._wake()
        return self._asked

    def begin(self) -> bool:
        """Begin to read if that was asked for; whether it has just begun."""
        if self._asked == self._begun or self._thread is not None:
            return False
        asked = self._asked
        self._answer = None
        thread = threading.Thread(target=self._run, name="reload", daemon=True)
        thread.start()
        self._begun, self._thread = asked, thread
        return True

    def answer(self) -> Settings | Refusal | None:
        """What came of it, until `adopt` or `drop`; None: nothing was asked, or it is still being read."""
        return self._answer

    def adopt(self, settings: Settings) -> None:
        """These are in force now."""
        self.settings = settings
        self.drop()

    def drop(self, refused: str = "") -> None:
        """The answer was seen to; why it was not taken over, if it was refused."""
        self._answer = None
        self._thread = None
        self.refused = refused
        self.seen_to = self._begun

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
    """What it means that new settings take the place of others."""
    return Change(workers=_told_workers(old) != _told_workers(new))


def _told_workers(settings: Settings) -> tuple[object, ...]:
    """Limits and models, and for which kinds of folders there are any."""
    kinds = frozenset(folder.is_tagged for folder in settings.folder)
    return (tuple(getattr(settings.pool, key) for key in sorted(_AT_ONCE)), tuple(settings.models), kinds)


def check(old: Settings, new: Settings) -> None:
    """Whether new settings can take the place of old ones in a running daemon.

    Raises:
        ConfigurationError: they cannot; says which key, and what to do.
    """
    for folder in new.folder:
        rules_of(folder)
        permissions_of(folder)
        check_backgrounds(folder)
    fixed = list(_fixed(old, new))
    if fixed:
        raise ConfigurationError(
            f"{', '.join(fixed)} cannot change while cutoutd runs, so nothing was taken over",
            advice="Restart it, or change it back and reload.",
        )


def _fixed(old: Settings, new: Settings) -> Iterator[str]:
    if new.tagged and not old.tagged:
        yield "that a folder may be uploaded from"  # nobody beside this daemon could: the uploader was not started
    if new.telling and not old.telling:
        yield "that a folder has a webhook"  # likewise
    for table in ("service", "pool", "model", "hosted"):
        before, after = getattr(old, table), getattr(new, table)
        for key in type(before).model_fields:
            if key not in _AT_ONCE and getattr(before, key) != getattr(after, key):
                yield f"[{table}] {key}"
