"""Which of several machines works on a folder: what is written of the owner, and what follows from it.

    free ──▶ claimed for the next term ──▶ held, a beat every ``BEAT_S`` ──▶ released
                                              └─ silent for ``SILENCE_S`` ──▶ claimed by another

Verdicts on values and a clock that is passed in. It must not touch the folder; `cutoutd.intake.tenancy` does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT_S: Final = 10.0
"""An owner gives a sign of life this often: one small write in place, which no share feels."""

LEASE_S: Final = 40.0
"""An owner that could not renew for this long is none any more: three beats may fail, as when a share is slow."""

SILENCE_S: Final = 60.0
"""And is succeeded after this long. The 20 s between are for what shares keep in their caches, and for the
publication that was let through at the last moment."""

MAX_GAP_S: Final = 15.0
"""Time in which nobody looked is no silence: a machine that slept must not take its own sleep for another's."""

_MAX_TEXT: Final = 200
_MAX_NUMBER: Final = 1 << 53


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Who works on a folder, as its marker says.

    Attributes:
        host: name of the machine, for people.
        run: id of the daemon's run.
        term: grows with every change of owner, so that one that was late is told from its successor.
        beat: grows with every sign of life.
        since: when it began by its own clock, RFC 3339, for people.
        settled: it knows what its predecessors cut.
        released: it has ended in order; the folder is free.
    """

    host: str
    run: str
    term: int
    beat: int
    since: str
    settled: bool
    released: bool

    def to_json(self) -> dict[str, Any]:
        """As it stands in the marker."""
        return asdict(self)


def owner_from_json(held: object) -> Owner | None:
    """What a marker says of its owner; None if it says nothing that makes sense, as an older one does."""
    if not isinstance(held, dict):
        return None
    fields: dict[str, Any] = {key: held.get(key) for key in Owner.__slots__}
    sane = (
        all(
            isinstance(fields[key], str) and len(fields[key]) <= _MAX_TEXT for key in ("host", "run", "since")
        )
        and all(type(fields[key]) is int and 0 <= fields[key] <= _MAX_NUMBER for key in ("term", "beat"))
        and all(isinstance(fields[key], bool) for key in ("settled", "released"))
    )
    return Owner(**fields) if sane else None


class Verdict(Enum):
    """What to do about an owner."""

    TAKE = auto()  # claim the next term
    WAIT = auto()  # another works on the folder, or is about to


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a look found.

    Attributes:
        owner: as the marker says.
        claimants: runs that have claimed the terms after the owner's; they may have died over that.
    """

    owner: Owner | None
    claimants: tuple[str, ...] = ()

    @property
    def next_term(self) -> int:
        """The first that nobody has claimed."""
        return (self.owner.term if self.owner is not None else 0) + len(self.claimants) + 1


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
        self._last: Found | None = None
        self._looked_s = 0.0
        self._silent_s = 0.0

    def judge(self, found: Found, now_s: float, *, own_claim_stands: bool = False) -> Verdict:
        """What to do about what a look found.

        Args:
            found: by the look.
            now_s: monotonic seconds.
            own_claim_stands: the owner is this run, which slept too long, and nobody has succeeded it.
        """
        if found == self._last:
            self._silent_s += min(now_s - self._looked_s, MAX_GAP_S)
        else:
            self._silent_s = 0.0
        self._last, self._looked_s = found, now_s
        owner = found.owner
        is_free = owner is None or owner.released or own_claim_stands or self._is_dead(owner.run)
        is_sought = not all(run == self._run or self._is_dead(run) for run in found.claimants)
        if (is_free and not is_sought) or self._silent_s >= SILENCE_S:
            return Verdict.TAKE
        return Verdict.WAIT

    def knew_as_much(self, owner: Owner | None) -> bool:
        """Whether our journal knows all that an owner did, and its predecessors."""
        return owner is None or (owner.settled and (owner.run == self._run or self._is_dead(owner.run)))
