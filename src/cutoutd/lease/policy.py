"""Which of several machines works on a folder: the owner as written in the marker, and the decisions that follow.

    free ──▶ claimed for the next epoch ──▶ held: looks every ``HEARTBEAT_S``, answers challenges ──▶ released
                                              └─ a challenge without an answer for ``SILENCE_S`` ──▶ claimed by another

An owner writes nothing unless it is asked: idle folders let disks sleep and give a sync service nothing to do. The kind of disk
proves nothing about other machines, since a local disk can be exported or synchronised.

Decisions on values and a clock that is passed in. This module must not touch the folder; `cutoutd.lease.lease` does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

HEARTBEAT_S: Final = 10.0
"""How often an owner checks its claim and looks for a challenge: a few small reads, no write."""

LEASE_S: Final = 40.0
"""An owner that could not check for this long has lost the lease: three checks may fail, such as on a slow share."""

SILENCE_S: Final = 60.0
"""An owner is succeeded when a challenge is not answered for this long. The 20 s in between allow for the caches of shares, and
for a publication that was proved at the last moment."""

ASK_AGAIN_S: Final = 15.0
"""The pause between two challenges of a waiting machine: a crash of the owner is noticed soon, and there are no more than two
writes in this time."""

SLOW_ANSWERS: Final = 3
"""If answers are slow, such as through a sync service, the silence has to last this many times the slowest answer."""

MAX_SILENCE_S: Final = 1800.0
"""The longest silence to wait for: an owner that is gone must be succeeded at some time."""

MAX_GAP_S: Final = 15.0
"""The most time between two looks that counts as silence: a machine that slept must not take its own sleep for silence."""

_KEYS: Final = {"epoch": "term", "heartbeats": "beat"}
"""Names in the marker that differ from those in this module; earlier versions read and write them."""

_MAX_TEXT: Final = 200
_MAX_NUMBER: Final = 1 << 53


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """The owner of a folder, as its marker has it.

    Attributes:
        host: name of the machine, for people.
        run: id of the daemon's session.
        epoch: number that grows with every change of owner, so that a late owner is distinguished from its successor.
        heartbeats: number that grows with every heartbeat that is written.
        answered: digest of the last challenge that it answered, empty before the first; None: the owner's version knows no
            challenges and writes a heartbeat every 10 s instead.
        since: when it began by its own clock, RFC 3339, for people.
        settled: whether it knows the results of former owners.
        released: whether it has ended in order; the folder is free.
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
        """Return the owner as in the marker."""
        return {_KEYS.get(name, name): value for name, value in asdict(self).items() if value is not None}

    @property
    def is_silent(self) -> bool:
        """Whether it has the folder and writes only when asked, which an earlier version takes for its end."""
        return self.answered is not None and not self.released


def owner_from_json(held: object) -> Owner | None:
    """Return the owner from a marker's JSON; None if there is none, as in an older marker, or it is invalid."""
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
    """What to do about a folder's lease."""

    TAKE = auto()  # claim the next epoch
    ASK = auto()  # write a challenge, to find out whether the owner is still there
    WAIT = auto()  # another machine works on the folder, or is about to


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseFiles:
    """The files of a lease, as a look found them.

    Attributes:
        owner: the owner in the marker.
        claims: epochs after the owner's that are claimed, each with the session that claimed it, which may have died since; they
            have gaps where the marker was lost, or an older one was put back.
        challenge: digest of the challenge, of any machine; None: there is none.
    """

    owner: Owner | None
    claims: tuple[tuple[int, str], ...] = ()
    challenge: str | None = None

    @property
    def is_asked(self) -> bool:
        """Whether there is a challenge that the owner has not answered."""
        return self.owner is not None and self.challenge not in (None, self.owner.answered)

    @property
    def next_epoch(self) -> int:
        """The epoch after the owner's and after all that are claimed."""
        if self.claims:
            return self.claims[-1][0] + 1
        return (self.owner.epoch if self.owner is not None else 0) + 1


class Succession:
    """Decides, look by look, whether it is our turn.

    Silence is measured by our own clock only, from one look to the next: the clocks of two machines are never compared.

    Args:
        run: id of our session.
        is_dead: whether a session is known to have ended, as are earlier ones of the state directory that we have locked.
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
        """Return what to do about what a look found.

        Args:
            found: the files.
            now_s: monotonic seconds.
            own_claim_stands: whether the owner is this session, which slept too long, and has no successor.
        """
        owner = found.owner
        is_free = owner is None or owner.released or own_claim_stands or self._is_dead(owner.run)
        must_ask = owner is not None and owner.is_silent and not is_free
        self._measure(found, now_s, counts=found.is_asked or not must_ask)
        is_sought = not all(self.is_ours(run) for _, run in found.claims)
        if (is_free and not is_sought) or self._silent_s >= self._patience_s:
            return LeaseAction.TAKE
        if must_ask and not found.is_asked and self._may_ask(now_s):
            self._asked_s = now_s
            return LeaseAction.ASK
        return LeaseAction.WAIT

    def expect_late_answers(self) -> None:
        """Wait longer from now on: we were succeeded although we kept looking, so writes are slow to arrive on both sides."""
        self._patience_s = min(2 * self._patience_s, MAX_SILENCE_S)

    def _measure(self, found: LeaseFiles, now_s: float, *, counts: bool) -> None:
        """Measure the silence: it begins at the first look that saw an unanswered challenge, of any machine."""
        last, self._last = self._last, found
        waited_s = self._silent_s + min(now_s - self._looked_s, MAX_GAP_S)
        if last is not None and last.is_asked and last.owner != found.owner:
            # The owner has answered, after this time: if a sync service is slow, the silence must be longer.
            self._patience_s = min(max(self._patience_s, SLOW_ANSWERS * waited_s), MAX_SILENCE_S)
        self._silent_s = waited_s if last == found and counts else 0.0
        self._looked_s = now_s

    def _may_ask(self, now_s: float) -> bool:
        return self._asked_s is None or now_s - self._asked_s >= ASK_AGAIN_S

    def knew_as_much(self, owner: Owner | None) -> bool:
        """Whether our journal knows all results of an owner and its predecessors."""
        return owner is None or (owner.settled and self.is_over(owner))

    def is_over(self, owner: Owner) -> bool:
        """Whether an owner is this session, or one that is known to have ended."""
        return self.is_ours(owner.run)

    def is_ours(self, run: str) -> bool:
        """Whether a session is this one, or one of this state directory that is known to have ended."""
        return run == self._run or self._is_dead(run)
