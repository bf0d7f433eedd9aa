"""The machine that works on a folder: free, held or silent, judged by the own clock alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cutoutd.lease.policy import (
    HEARTBEAT_S,
    LEASE_S,
    MAX_GAP_S,
    SILENCE_S,
    LeaseAction,
    LeaseFiles,
    Owner,
    Succession,
    owner_from_json,
)

OTHER = Owner(host="b", run="run-b", epoch=3, heartbeats=7, since="then", settled=True, released=False)


def succession() -> Succession:
    """Return the judgement of a machine that knows one dead run."""
    return Succession("run-a", {"run-dead"}.__contains__)


def judged(found: LeaseFiles) -> LeaseAction:
    """Return the action after the first look at these lease files."""
    return succession().judge(found, 0.0)


def test_the_times_leave_room_for_each_other() -> None:
    """Three heartbeats may fail before a lease ends, and it ends well before a successor takes over."""
    assert 3 * HEARTBEAT_S < LEASE_S < SILENCE_S - HEARTBEAT_S


@pytest.mark.parametrize(
    ("owner", "action"),
    [
        (None, LeaseAction.TAKE),
        (OTHER, LeaseAction.WAIT),
        (replace(OTHER, released=True), LeaseAction.TAKE),
        (replace(OTHER, run="run-dead"), LeaseAction.TAKE),
        (replace(OTHER, run="run-a"), LeaseAction.WAIT),
    ],
)
def test_a_folder_is_free_or_held_at_first_sight(owner: Owner | None, action: LeaseAction) -> None:
    """Free if it has no owner, was released, or its owner's state directory is ours.

    Held by our own run without a claim.
    """
    assert judged(LeaseFiles(owner=owner)) is action


@pytest.mark.parametrize(
    ("claimants", "action"),
    [
        (("run-b",), LeaseAction.WAIT),
        (("run-dead", "run-a"), LeaseAction.TAKE),
        (("run-dead", ""), LeaseAction.WAIT),
    ],
)
def test_the_first_claim_takes_precedence(claimants: tuple[str, ...], action: LeaseAction) -> None:
    """Unless that run is known to be dead; a claim whose run is unreadable still counts."""
    assert judged(LeaseFiles(owner=None, claims=tuple(enumerate(claimants, 1)))) is action


def test_silence_makes_a_successor_and_a_sign_of_life_does_not() -> None:
    """Any new heartbeat, whatever its number, restarts the wait."""
    succeeds, now_s, beat = succession(), 0.0, 0
    for turn in range(100):
        now_s += 5.0
        beat = beat + 1 if turn % 10 == 0 else beat
        found = LeaseFiles(owner=replace(OTHER, heartbeats=beat))
        assert succeeds.judge(found, now_s) is LeaseAction.WAIT
    began_s = now_s
    while succeeds.judge(found, now_s) is LeaseAction.WAIT:
        now_s += 5.0
    assert now_s - began_s <= SILENCE_S
    assert succeeds.judge(LeaseFiles(owner=replace(OTHER, heartbeats=0)), now_s) is LeaseAction.WAIT


def test_time_without_checks_is_no_silence() -> None:
    """A laptop must not count its own sleep of an hour as the other's silence."""
    succeeds = succession()
    succeeds.judge(LeaseFiles(owner=OTHER), 0.0)
    assert succeeds.judge(LeaseFiles(owner=OTHER), 3600.0) is LeaseAction.WAIT
    assert succeeds.judge(LeaseFiles(owner=OTHER), 3600.0 + SILENCE_S - MAX_GAP_S) is LeaseAction.WAIT


def test_a_machine_that_overslept_its_lease_goes_on_if_not_succeeded() -> None:
    """Unless another machine is about to take over."""
    own = replace(OTHER, run="run-a")
    assert succession().judge(LeaseFiles(owner=own), 0.0, own_claim_stands=True) is LeaseAction.TAKE
    sought = LeaseFiles(owner=own, claims=((3, "run-b"),))
    assert succession().judge(sought, 0.0, own_claim_stands=True) is LeaseAction.WAIT


@pytest.mark.parametrize(
    ("owner", "known"),
    [
        (None, True),
        (OTHER, False),
        (replace(OTHER, released=True), False),
        (replace(OTHER, run="run-a"), True),
        (replace(OTHER, run="run-dead"), True),
        (replace(OTHER, run="run-dead", settled=False), False),
    ],
)
def test_the_work_of_an_owner_is_known_to_its_own_journal_alone(owner: Owner | None, *, known: bool) -> None:
    """Not even to that one, if the owner died before it had learned its predecessor's work."""
    assert succession().knew_as_much(owner) is known


def test_an_owner_is_read_back() -> None:
    """As it was written."""
    assert owner_from_json(OTHER.to_json()) == OTHER


@pytest.mark.parametrize(
    "held",
    [
        None,
        [],
        {},
        *(
            OTHER.to_json() | wrong
            for wrong in (
                {"host": 1},
                {"run": "r" * 300},
                {"term": -1},
                {"term": True},
                {"beat": "7"},
                {"beat": 1 << 60},
                {"released": 0},
            )
        ),
    ],
)
def test_nonsense_is_no_owner(held: Any) -> None:  # noqa: ANN401 -- anything
    """As in a marker of an older version."""
    assert owner_from_json(held) is None
