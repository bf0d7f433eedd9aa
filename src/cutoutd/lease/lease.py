"""This machine's lease on one folder: claimed, renewed, proved before a publication, and released.

An epoch is claimed by creating ``.cutoutd-folder.term-N``, which the file system allows to one machine only. It is lost when a
successor, which has claimed the next epoch, removes that file. The marker names the owner and the challenge that it answered
last, but a late answer, by a machine that slept, gives no rights. Nothing is written unless a machine asks: the lease is checked
by reading.

This module must not decide whose turn it is (`cutoutd.lease.policy` does), and starts no thread.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cutoutd.clock import rfc3339
from cutoutd.errnos import READ_ONLY
from cutoutd.errors import FailureCode, TemporaryError
from cutoutd.lease import challenge, epochs, marker
from cutoutd.lease.policy import LEASE_S, SILENCE_S, LeaseAction, LeaseFiles, Owner, Succession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cutoutd.clock import Clock

_BEGINS: Final = "another cutoutd begins to work on this folder"
_CLAIM_GONE: Final = (
    "the claim of this machine was removed, as by another machine that takes the folder over; if none does for a few minutes, "
    "this one goes on"
)
_UNSEEN: Final = "the input is read-only, so it cannot be seen whether another machine works on it too"
_CANNOT_ASK: Final = (
    "; the input is read-only here, so this machine cannot ask whether it still does: if it never comes back, remove "
    f"{marker.NAME} where the folder can be written to"
)
_NOT_HELD: Final = "Work goes on by itself once it does; `cutoutd status` says why the folder stands by."
_FORGOTTEN_S: Final = 120.0
"""Waiting machines ask every few seconds: if an answered challenge is not replaced for this long, its machine is gone."""

_MAX_HOST: Final = 64


class NotOwnerError(TemporaryError):
    """Another machine works on the folder, or it is uncertain whether this one still may."""

    code = FailureCode.NOT_OWNER
    title = "Another cutoutd works on this folder"
    advice = "This one takes over by itself when the other ends or falls silent."
    delay_s = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseStatus:
    """Whether this machine has the lease on a folder.

    Attributes:
        ours: whether this machine may work on it.
        note: the reason if it may not; else what its owner should know.
    """

    ours: bool
    note: str = ""


class Lease:
    """The lease on one folder; its methods may be called by any thread, and hang if the share hangs.

    Args:
        run: id of this session of the daemon.
        is_dead: whether a session is known to have ended.
        clock: clock for leases and silence; its wall time is only shown.

    Attributes:
        inherited: whether the last owner had results that our journal does not know, until ``mark_caught_up``.
    """

    def __init__(self, *, run: str, is_dead: Callable[[str], bool], clock: Clock) -> None:
        self._run = run
        self._clock = clock
        self._succession = Succession(run, is_dead)
        self._lock = threading.Lock()
        self._owner: Owner | None = None
        self._renewed_s = 0.0
        self._own_challenge: str | None = None
        self._why_not_asked = ""
        self._answered: tuple[str, float] | None = None
        self._lists_claims = False
        self._last_seen: str | None = None
        self._unmarked_since_s: float | None = None
        self._place: tuple[str, str] | None = None
        self._read_only = False
        self.inherited = False

    @property
    def is_held(self) -> bool:
        """Whether the lease was renewed recently; only ``prove`` is certain."""
        return self._owner is not None and self._clock.lived_s() - self._renewed_s < LEASE_S

    @property
    def saw_another(self) -> bool:
        """Whether the owner that was seen last is a session of another machine, which may have results that our journal lacks."""
        return self._last_seen is not None and not self._succession.is_ours(self._last_seen)

    def acquire(self, root: str, uuid: str, *, may_claim: bool = True) -> LeaseStatus:
        """Claim the folder, renew the lease, or find that another machine has it.

        Args:
            root: path of the folder's input.
            uuid: UUID that its marker must have.
            may_claim: whether a lease may begin; else it is only renewed.

        Raises:
            StorageError: the marker is damaged, missing, or another one.
            OSError: the folder cannot be read or written to.
        """
        with self._lock, marker.opened(root) as directory:
            self._place = (root, uuid)
            started_s = self._clock.lived_s()
            there = marker.read_in(directory, root)
            if there is None or there.uuid != uuid:
                self._owner = None
                raise NotOwnerError(
                    "the folder's marker has changed", advice="It is checked again by itself."
                )
            self._last_seen, self._unmarked_since_s = there.owner.run if there.owner else None, None
            if self._owner is not None and self._keep(directory, root, there, started_s):
                return LeaseStatus(ours=True)
            if not may_claim:
                return LeaseStatus(ours=False, note="it has to be claimed anew")
            return self._try_to_claim(directory, root, uuid, there.owner, started_s)

    def is_free_from(self, owner: Owner | None) -> bool:
        """Whether an owner, as a marker has it, works on no folder any more, or is this session."""
        return owner is None or owner.released or self._succession.is_over(owner)

    def recognises(self, claims: Iterable[tuple[int, str]]) -> bool:
        """Whether claims beside a missing marker show that this is the directory: one is ours, or the last owner's."""
        return any(run == self._last_seen or self._succession.is_ours(run) for _, run in claims)

    def leaves_marker_to_others(self, claims: Iterable[tuple[int, str]]) -> bool:
        """Whether a missing marker is for now left to another machine, which has a claim and knows the UUID."""
        if all(self._succession.is_ours(run) for _, run in claims):
            return False
        now_s = self._clock.monotonic_s()
        if self._unmarked_since_s is None:
            self._unmarked_since_s = now_s
        return now_s - self._unmarked_since_s < SILENCE_S

    def hold_unmarked(self) -> LeaseStatus:
        """Work without a lease, because nothing can be written into the input."""
        self._owner, self._read_only = None, True
        return LeaseStatus(ours=True, note=_UNSEEN)

    def renew(self) -> bool:
        """Renew the lease on the folder that was last acquired; False if it was lost.

        Raises:
            StorageError, OSError: as from ``acquire``.
        """
        if self._place is None or self._owner is None:
            return True
        return self.acquire(*self._place, may_claim=False).ours

    def prove(self) -> None:
        """Check, immediately before a publication, that no other machine has taken over.

        Raises:
            NotOwnerError: one has, or the lease was not renewed in time.
            OSError: the folder cannot be read.
        """
        owner, place = self._owner, self._place
        if self._read_only:
            return
        if owner is None or place is None:
            raise NotOwnerError("this machine does not hold the folder now", advice=_NOT_HELD)
        if not self.is_held:
            raise NotOwnerError(f"this machine gave no heartbeat for {LEASE_S:.0f} s", advice=_NOT_HELD)
        with marker.opened(place[0]) as directory:
            if epochs.claimant_of(directory, owner.epoch) != self._run:
                raise NotOwnerError("another cutoutd has taken the folder over")

    def mark_caught_up(self) -> None:
        """Record that the results of former owners are known; written with the next heartbeat."""
        with self._lock:
            self.inherited = False
            if self._owner is not None:
                self._owner = replace(self._owner, settled=True)

    def release(self) -> None:
        """Release the folder, so that no other machine has to wait for our silence.

        Raises:
            StorageError, OSError: as from ``acquire``; other machines will have to wait.
        """
        with self._lock:
            owner, place, self._owner = self._owner, self._place, None
            own, self._own_challenge = self._own_challenge, None
            if place is None or (owner is None and own is None):
                return
            root, uuid = place
            with marker.opened(root) as directory:
                if own is not None:
                    with suppress(OSError):  # the owner answers and later removes it
                        challenge.remove(directory, own)
                if owner is not None and epochs.claimant_of(directory, owner.epoch) == self._run:
                    marker.write_owner(directory, root, uuid, replace(owner, released=True))
                    epochs.end(directory, owner.epoch)
                    with suppress(OSError):  # it will not be answered any more
                        challenge.remove(directory)

    def _keep(self, directory: int, root: str, there: marker.Marker, started_s: float) -> bool:
        """Check that the lease holds, and answer a challenge; returns False if the lease has ended."""
        owner = self._owner
        assert owner is not None  # noqa: S101 -- checked by the caller
        overslept = started_s - self._renewed_s >= LEASE_S
        succeeded = epochs.claimant_of(directory, owner.epoch) != self._run or _is_later(
            directory, there.owner, owner
        )
        if overslept or succeeded:
            if not overslept:
                self._succession.expect_late_answers()
            self._owner = None
            return False
        asked = challenge.read_digest(directory)
        # A challenge, or the marker was changed: by a sync service, or by a machine that woke up.
        if asked not in (None, owner.answered) or there.owner != owner:
            owner = replace(owner, heartbeats=owner.heartbeats + 1, answered=asked or owner.answered)
            try:
                marker.write_owner(directory, root, there.uuid, owner)
            except OSError as error:
                if error.errno not in READ_ONLY:
                    raise
                self._owner = None  # the share may be writable for another machine
                return False
        self._owner, self._renewed_s = owner, started_s
        self._tidy(directory, asked)
        return self.is_held  # not if writing took so long that another machine may have taken over

    def _tidy(self, directory: int, asked: str | None) -> None:
        """Remove a challenge whose machine is gone."""
        now_s = self._clock.monotonic_s()
        if asked is None:
            self._answered = None
        elif self._answered is None or self._answered[0] != asked:
            self._answered = (asked, now_s)
        elif now_s - self._answered[1] >= _FORGOTTEN_S:
            self._answered = None
            with suppress(OSError):  # it does no harm
                challenge.remove(directory, asked)

    def _try_to_claim(
        self, directory: int, root: str, uuid: str, owner: Owner | None, started_s: float
    ) -> LeaseStatus:
        """Claim the folder if it is our turn."""
        action, found = self._judge(directory, owner)
        self._read_only = False
        if action is LeaseAction.WAIT:
            return LeaseStatus(ours=False, note=self._owner_text(owner) + self._why_not_asked)
        if action is LeaseAction.ASK:
            self._write_challenge(directory)
            return LeaseStatus(ours=False, note=self._owner_text(owner) + self._why_not_asked)
        try:
            claimed = epochs.claim(directory, found.next_epoch, self._run)
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            return self.hold_unmarked()
        if not claimed or not self._take_over(directory, root, uuid, found, started_s):
            return LeaseStatus(ours=False, note=_BEGINS)
        return LeaseStatus(ours=True)

    def _judge(self, directory: int, owner: Owner | None) -> tuple[LeaseAction, LeaseFiles]:
        """Decide by the files.

        Nothing is claimed before the folder was listed: a marker that was lost, or put back from a backup, does not say which
        epochs are claimed.
        """
        slept = (
            owner is not None
            and owner.run == self._run
            and epochs.claimant_of(directory, owner.epoch) == self._run
        )

        def judged() -> tuple[LeaseAction, LeaseFiles]:
            claims = epochs.all_claims if self._lists_claims else epochs.next_claims
            found = LeaseFiles(
                owner=owner,
                claims=claims(directory, owner),
                challenge=challenge.read_digest(directory),
            )
            return self._succession.judge(found, self._clock.monotonic_s(), own_claim_stands=slept), found

        action, found = judged()
        if action is LeaseAction.TAKE and not self._lists_claims:
            self._lists_claims = epochs.all_claims(directory, owner) != found.claims
            return judged() if self._lists_claims else (action, found)
        return action, found

    def _owner_text(self, owner: Owner | None) -> str:
        return _CLAIM_GONE if owner is not None and owner.run == self._run else _owner_text(owner)

    def _write_challenge(self, directory: int) -> None:
        """Write a challenge; later looks check whether it is answered."""
        try:
            self._own_challenge, self._why_not_asked = challenge.write(directory, self._run, _host()), ""
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            self._why_not_asked = _CANNOT_ASK

    def _take_over(self, directory: int, root: str, uuid: str, found: LeaseFiles, started_s: float) -> bool:
        """After the claim: check that nothing has changed, remove earlier epochs, and write the owner into the marker."""
        before, epoch = found.owner, found.next_epoch
        if marker.read_in(directory, root) != marker.Marker(uuid=uuid, owner=before):
            epochs.end(directory, epoch)  # the former owner woke up, or was succeeded before us
            return False
        if epochs.claimant_of(directory, epoch + 1) is not None:
            # Succeeded before us; or a former owner has written late into the marker, and its successor is gone. Our claim
            # stays: with it the claims have no gap, and the next look counts on from the last one.
            return False
        epochs.end_before(directory, epoch)
        settled = self._succession.knew_as_much(before)
        owner = Owner(
            host=_host(),
            run=self._run,
            epoch=epoch,
            heartbeats=0,
            since=rfc3339(self._clock.now_us()),
            settled=settled,
            released=False,
            answered="",
        )
        marker.write_owner(directory, root, uuid, owner)
        if epochs.claimant_of(directory, epoch) != self._run:
            return False
        with suppress(OSError):  # it is answered at the next look then
            challenge.remove(directory)
        self._owner, self._renewed_s, self._own_challenge = owner, started_s, None
        self._lists_claims = False
        self.inherited = self.inherited or not settled
        return self.is_held


def _host() -> str:
    return os.uname().nodename[:_MAX_HOST]


def _is_later(directory: int, there: Owner | None, owner: Owner) -> bool:
    """Whether a successor works although our claim still exists, as when a sync service has restored it."""
    return (
        there is not None
        and there.epoch > owner.epoch
        and epochs.claimant_of(directory, there.epoch) == there.run
    )


def _owner_text(owner: Owner | None) -> str:
    if owner is None or owner.released:
        return _BEGINS
    if owner.host == _host():  # equal names are no proof, so the name is shown
        return (
            f"another cutoutd on this machine ({owner.host}) has been working on this folder since {owner.since}; "
            "this one takes over when that one ends"
        )
    return (
        f"another machine, {owner.host}, has been working on this folder since {owner.since}; "
        "this one takes over when it falls silent"
    )
