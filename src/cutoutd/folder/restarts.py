"""Starts a folder's threads again after they have died by a fault of ours; the folder stands by meanwhile.

Main thread alone. It must not touch a folder; it only looks at why a thread ended, and has it begin anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from cutoutd.backoff import LONGEST_PAUSE_S, Backoff
from cutoutd.errors import CutoutdError
from cutoutd.fault_isolation import report, told
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEATHS: Final = 3
"""So many in a row end what a run with ``--once`` waits for; the daemon goes on trying."""


class Part(Protocol):
    """A part of a folder that has a thread."""

    @property
    def failure(self) -> BaseException | None:
        """Why its thread died, if it did."""

    def start(self) -> None:
        """Begin, also after a death."""


class _Life:
    """How one part fares."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.backoff = Backoff()
        self.why = ""


class Revival:
    """The threads of one folder.

    Args:
        folder: its name.
        parts: what has a thread, by what people call it.
    """

    def __init__(self, folder: str, parts: Mapping[str, Part]) -> None:
        self._lives = {name: _Life(part) for name, part in parts.items()}
        self._log = get(folder=folder)

    @property
    def why(self) -> str:
        """What has failed and is not started again yet; empty while all live."""
        return next((life.why for life in self._lives.values() if life.why), "")

    @property
    def has_given_up(self) -> bool:
        """Whether a part has died so often in a row that no run with an end waits for it."""
        return any(life.why and life.backoff.failures >= MAX_DEATHS for life in self._lives.values())

    def look(self, now_s: float) -> bool:
        """See who has died, and start those again whose pause is over.

        Args:
            now_s: monotonic seconds.

        Returns:
            Whether any was started again.

        Raises:
            CutoutdError: a part met what concerns the whole run.
        """
        started = False
        for name, life in self._lives.items():
            failure = life.part.failure
            if failure is None:
                if life.backoff.failures and now_s >= life.backoff.until_s + LONGEST_PAUSE_S:
                    life.backoff.worked()
            elif isinstance(failure, CutoutdError) and failure.ends_daemon:
                raise failure
            elif not life.why:
                report(self._log, failure, over=f"the thread of the {name}")
                life.backoff.failed(now_s)
                life.why = f"its {name} failed by a fault of ours, please report it ({told(failure)}); it is started again"
            elif now_s >= life.backoff.until_s:
                started = self._start(name, life, now_s) or started
        return started

    def _start(self, name: str, life: _Life, now_s: float) -> bool:
        try:
            life.part.start()
        except Exception as error:  # noqa: BLE001 -- no more threads, most probably: tried again later
            report(self._log, error, over=f"the start of the {name}")
            life.backoff.failed(now_s)
            return False
        life.why = ""
        self._log.info("thread.started-again", thread=name, deaths=life.backoff.failures)
        return True
