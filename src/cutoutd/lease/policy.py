"""Which of several machines works on a folder: what is written of the owner, and what follows from it.

    free ──▶ claimed for the next epoch ──▶ held: looks every ``HEARTBEAT_S``, answers challenges ──▶ released
                                              └─ a challenge without an answer for ``SILENCE_S`` ──▶ claimed by another

An owner writes nothing while nobody asks: idle folders let disks sleep and give a sync service nothing to do. What
kind of disk it is proves nothing about who else is there, since a local one can be exported or synchronised.

Decisions on values and a clock that is passed in. It must not touch the folder; `cutoutd.lease.lease` does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

HEARTBEAT_S: Final = 10.0
"""An owner looks this often whether its claim stands and whether somebody asks: some small reads, no write."""

LEASE_S: Final = 40.0
"""An owner that could not look for this long is none any more: three looks may fail, as when a share is slow."""

SILENCE_S: Final = 60.0
"""And is succeeded when a challenge had no answer for this long. The 20 s between are for what shares keep in their
caches, and for the publication that was let through at the last moment."""

ASK_AGAIN_S: Final = 15.0
"""A machine that stands by leaves its next challenge this long after the last, so that a crash of the owner is
noticed soon, and two machines write once in this time, not more."""

SLOW_ANSWERS: Final = 3
"""Where answers take long, as through a sync service, silence has to last this many times the slowest answer."""

MAX_SILENCE_S: Final = 1800.0
"""But no longer: an owner that is gone must be succeeded some time."""

MAX_GAP_S: Final = 15.0
"""Time in which nobody looked is no silence: a machine that slept must not take its own sleep for another's."""

_KEYS: Final = {"epoch": "term", "heartbeats": "beat"}
"""How a marker calls what is called otherwise here; machines of earlier versions read and write it."""

_MAX_TEXT: Final = 200
_MAX_NUMBER: Final = 1 << 53


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Who works on a folder, as its marker says.

    Attributes:
        host: name of the machine, for people.
        run: id of the daemon's run.
        epoch: grows with every change of owner, so that one that was late is told from its successor.
        heartbeats: grows with every heartbeat that is written.
        answered: the last challenge that it answered, by digest, empty before the first; None if the owner is of a
            version that knows no challenges and writes a heartbeat every 10 s instead.
        since: when it began by its own clock, RFC 3339, for people.
        settled: it knows what its predecessors cut.
        released: it has ended in order; the folder is free.
    """

    host: str
    run: str
    epoch: int
    heartbeats: int
    since: str
    settled: bool
    released: bool
    answered: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in the marker."""
        return {_KEYS.get(name, name): value for name, value in asdict(self).items() if value is not None}

    @property
    def is_silent(self) -> bool:
        """It holds the folder and writes nothing unless it is asked, which an earlier version takes for its end."""
        return self.answered is not None and not self.released


def owner_from_json(held: object) -> Owner | None:
    """What a marker says of its owner; None if it says nothing that makes sense, as an older one does."""
    if not isinstance(held, dict):
        return None
    fields: dict[str, Any] = {name: held.get(_KEYS.get(name, name)) for name in Owner.__slots__}
    sane = (
        all(_is_text(fields[key]) for key in ("host", "run", "since"))
        and all(
            type(fields[key]) is int and 0 <= fields[key] <= _MAX_NUMBER for key in ("epoch", "heartbeats")
        )
        and all(isinstance(fields[key], bool) for key in ("settled", "released"))
        and (fields["answered"] is None or _is_text(fields["answered"]))
    )
    return Owner(**fields) if sane else None


def _is_text(held: object) -> bool:
    return isinstance(held, str) and len(held) <= _MAX_TEXT


class LeaseAction(Enum):
    """What to do about an owner."""

    TAKE = auto()  # claim the next epoch
    ASK = auto()  # leave a challenge: whether the owner is still there cannot be seen otherwise
    WAIT = auto()  # another works on the folder, or is about to


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseFiles:
    """What a look found.

    Attributes:
        owner: as the marker says.
        claimants: runs that have claimed the epochs after the owner's; they may have died over that.
        challenge: digest of the challenge that lies there, of whichever machine; None if there is none.
    """

    owner: Owner | None
    claimants: tuple[str, ...] = ()
    challenge: str | None = None

    @property
    def is_asked(self) -> bool:
        """Whether a challenge lies there that the owner has not answered."""
        return self.owner is not None and self.challenge not in (None, self.owner.answered)

    @property
    def next_epoch(self) -> int:
        """The first that nobody has claimed."""
        return (self.owner.epoch if self.owner is not None else 0) + len(self.claimants) + 1


class Succession:
    """Judges, look by look, whether it is our turn.

    Silence is measured by our own clock alone, from one look to the next: two machines' clocks are never compared.

    Args:
        run: ours.
        is_dead: whether a run is known to have ended, as one is on whose state directory we hold the lock.
    """

    def __init__(self, run: str, is_dead: Callable[[str], bool]) -> None:
        self._run = run
        self._is_dead = is_dead
        self._last: LeaseFiles | None = None
        self._looked_s = 0.0
        self._silent_s = 0.0
        self._asked_s: float | None = None
        self._patience_s = SILENCE_S

    def judge(self, found: LeaseFiles, now_s: float, *, own_claim_stands: bool = False) -> LeaseAction:
        """What to do about what a look found.

        Args:
            found: by the look.
            now_s: monotonic seconds.
            own_claim_stands: the owner is this run, which slept too long, and nobody has succeeded it.
        """
        owner = found.owner
        is_free = owner is None or owner.released or own_claim_stands or self._is_dead(owner.run)
        must_ask = owner is not None and owner.is_silent and not is_free
        self._measure(found, now_s, counts=found.is_asked or not must_ask)
        is_sought = not all(run == self._run or self._is_dead(run) for run in found.claimants)
        if (is_free and not is_sought) or self._silent_s >= self._patience_s:
            return LeaseAction.TAKE
        if must_ask and not found.is_asked and self._may_ask(now_s):
            self._asked_s = now_s
            return LeaseAction.ASK
        return LeaseAction.WAIT

    def expect_late_answers(self) -> None:
        """We were succeeded although we looked all the time: what we write reaches the others late, and theirs us."""
        self._patience_s = min(2 * self._patience_s, MAX_SILENCE_S)

    def _measure(self, found: LeaseFiles, now_s: float, *, counts: bool) -> None:
        """Measure the silence: it begins at the look that first saw an unanswered challenge, of whoever left it."""
        last, self._last = self._last, found
        waited_s = self._silent_s + min(now_s - self._looked_s, MAX_GAP_S)
        if last is not None and last.is_asked and last.owner != found.owner:
            # An answer, and how long it took: silence must not be shorter where a sync service delivers late.
            self._patience_s = min(max(self._patience_s, SLOW_ANSWERS * waited_s), MAX_SILENCE_S)
        self._silent_s = waited_s if last == found and counts else 0.0
        self._looked_s = now_s

    def _may_ask(self, now_s: float) -> bool:
        return self._asked_s is None or now_s - self._asked_s >= ASK_AGAIN_S

    def knew_as_much(self, owner: Owner | None) -> bool:
        """Whether our journal knows all that an owner did, and its predecessors."""
        return owner is None or (owner.settled and (owner.run == self._run or self._is_dead(owner.run)))
