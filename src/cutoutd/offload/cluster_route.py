"""What the supervisor knows of the cluster: whether pictures can be sent there now, and for how long they could not.

Main thread alone. It reads what the gateway says in a file, and writes down nothing but what proxies and gateway must know.
It must not touch the network or a picture, and decides nothing about a job.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import rfc3339
from cutoutd.exchange import cluster_spool, messages
from cutoutd.exchange.cluster_spool import ClusterReply, ReplyKind
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.exchange.sent_log import last_of
from cutoutd.faults.backoff import pause_s
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock
    from cutoutd.exchange.cluster_spool import ClusterPaths
    from cutoutd.settings.cluster import ClusterSettings

HANGS_S: Final = 20.0
"""A gateway that has something to send and says nothing for so long does not work."""

_LONGEST_SILENCE_S: Final = 30.0
"""A gateway notices silence within this time; it may have been taken over, and claim more."""

OFFLINE_S: Final = 60.0
"""`run --once` waits no longer than this for a cluster that is away."""

LONGEST_PAUSE_S: Final = 60.0
"""After a picture was given back: the next one is tried then."""

_NOT_THERE: Final = "the gateway to the cluster does not run"
_HANGS: Final = "the gateway to the cluster does not answer"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterAway:
    """That no picture can be sent to the cluster.

    Attributes:
        since_us: since when, UTC microseconds.
        cut_here_from_us: from when on what may be cut here is, likewise.
    """

    since_us: int
    cut_here_from_us: int


class ClusterRoute:
    """The route to the cluster of one run.

    Args:
        paths: the exchange directory.
        clock: its monotonic side.
        settings: gives those in force.
        folders: gives the names of those that are tagged for the cluster by them.
        in_force: gives their number.
        once: the run ends by itself.

    Attributes:
        paths: the exchange directory.
        closed: why no picture can be sent now; empty while one can.
    """

    def __init__(
        self,
        paths: ClusterPaths,
        clock: Clock,
        *,
        settings: Callable[[], ClusterSettings],
        folders: Callable[[], frozenset[str]],
        in_force: Callable[[], str],
        once: bool,
    ) -> None:
        self.paths = paths
        self._clock = clock
        self._settings = settings
        self._folders = folders
        self._has_changed = False
        self._in_force = in_force
        self._once = once
        self._log = get()
        self._away_since_s: float | None = clock.monotonic_s()
        self._away_since_us = clock.now_us()
        self._beat: object = None
        self._beat_s = 0.0
        self._given_back = 0
        self._rests_until_s = 0.0
        self._rests_why = ""
        self._is_reported_away = False
        self.closed = _NOT_THERE

    def open(self) -> None:
        """Begin a run: what an earlier one has left is for nobody.

        Raises:
            OSError: the disk refuses.
        """
        self.paths.make()
        cluster_spool.clear(self.paths)
        self.paths.away.unlink(missing_ok=True)
        self.announce()
        self._has_changed = False

    def announce(self) -> None:
        """Say by which configuration one works from now on; what it does not allow comes back unsent.

        Raises:
            OSError: the disk refuses.
        """
        self._has_changed = True
        messages.announce(self.paths.announced, self._in_force())

    def poll(self) -> None:
        """See how the cluster is."""
        now_s = self._clock.monotonic_s()
        why, silent_s = self._why_away(now_s)
        if not why:
            self._away_since_s = None
        elif self._away_since_s is None:
            self._away_since_s = now_s - silent_s
            self._away_since_us = self._clock.now_us() - round(silent_s * 1e6)
        closed = why or (self._rests_why if now_s < self._rests_until_s else "")
        if closed != self.closed:
            self.closed = closed
            if closed:
                self._log.warning("cluster.closed", why=closed)
            else:
                self._log.info("cluster.open")
        self._tell_proxies()
        if self._has_changed:
            self._give_back_untagged()

    def _give_back_untagged(self) -> None:
        """Give back what is not allowed any more: where no folder is tagged, there may be no gateway to do so."""
        allowed = self._folders()
        with suppress(OSError):  # again with the next look
            for path in list(self.paths.outbox.glob("*.json")):
                with suppress(OSError, InvalidMessageError):
                    request = cluster_spool.read_request(path)
                    if request.folder not in allowed:
                        why = "its folder is not tagged for the cluster any more"
                        cluster_spool.write(
                            self.paths.inbox,
                            ClusterReply(id=request.id, kind=ReplyKind.RETURNED, why=why),
                            (),
                        )
                        cluster_spool.remove_message(self.paths.outbox, request.id)

    @property
    def away(self) -> ClusterAway | None:
        """Since when it is away; None: it is not."""
        if self._away_since_s is None:
            return None
        since_us = self._away_since_us
        cut_here_us = since_us + round(self._settings().fallback_after_s * 1e6)
        return ClusterAway(since_us=since_us, cut_here_from_us=cut_here_us)

    @property
    def has_been_away(self) -> bool:
        """Whether it has been away for so long that pictures are cut here where they may be."""
        return self._away_s >= self._settings().fallback_after_s

    @property
    def is_given_up(self) -> bool:
        """Whether this run waits for it no longer."""
        return self._once and self._away_s >= OFFLINE_S

    def given_back(self, why: str) -> None:
        """A picture was given back: none is sent for a while."""
        self._rests_why = why
        self._rests_until_s = self._clock.monotonic_s() + pause_s(
            self._given_back, first_s=1.0, longest_s=LONGEST_PAUSE_S
        )
        self._given_back += 1
        self.poll()

    def sent(self, folder: str, job: int, since_us: int) -> dict[str, Any] | None:
        """The egress record of a picture that was sent and is cut here all the same; None if it never left.

        Args:
            folder: the job's.
            job: the journal's id.
            since_us: when the job came, UTC microseconds.
        """
        entry = last_of(self.paths.sent, folder, job, rfc3339(since_us))
        if entry is None:
            return None
        return {
            "provider": cluster_spool.PROVIDER,
            "host": str(entry["scheduler"]),
            "bytes": entry["bytes"],
            "sha256": str(entry["sha256"]),
            "at": str(entry["at"]),
            "credits": None,
            "why": "the folder's route leads to the cluster",
            "repeated": False,
        }

    def worked(self) -> None:
        """A picture came back cut."""
        self._given_back = 0

    @property
    def _away_s(self) -> float:
        return 0.0 if self._away_since_s is None else self._clock.monotonic_s() - self._away_since_s

    def _why_away(self, now_s: float) -> tuple[str, float]:
        """Return why the cluster is away, empty if it is not, and for how many seconds it had been silent when that was noticed."""
        said = cluster_spool.gateway_status(self.paths)
        if not said:
            return _NOT_THERE, 0.0
        if said.get("beat") != self._beat:
            self._beat, self._beat_s = said.get("beat"), now_s
        if said.get("route") != "open":
            why = str(said.get("why") or "no machine of the cluster can be reached")[:300]
            return why, _silent_s(said.get("silent_s"))
        is_busy = bool(said.get("in_flight") or said.get("waiting"))
        silent_s = now_s - self._beat_s
        return (_HANGS, silent_s) if is_busy and silent_s > HANGS_S else ("", 0.0)

    def _tell_proxies(self) -> None:
        """Those whose pictures may be cut here give them back."""
        is_away = self.has_been_away
        if is_away == self._is_reported_away:
            return
        with suppress(OSError):  # they wait on; it is told with the next look
            if is_away:
                atomic_write(self.paths.away, [b""], synced=False)
            else:
                self.paths.away.unlink(missing_ok=True)
            self._is_reported_away = is_away


def _silent_s(value: object) -> float:
    """Return a number of seconds that the gateway has written, within what it can have noticed."""
    return value if isinstance(value, float) and 0.0 <= value <= _LONGEST_SILENCE_S else 0.0
