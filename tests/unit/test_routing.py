"""The route of a picture: tagged ones may leave the machine, others never do, and no file is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.exchange.spool import Body, UploadOutcome, UploadReply
from cutoutd.offload.routing import (
    NextStep,
    OffloadState,
    RoutePlan,
    egress_of,
    escalation_reason,
    next_step,
    of_correction,
)
from cutoutd.settings.schema import Folder
from cutoutd.settings.types import Route

REPLY = UploadReply(
    id="0" * 32,
    outcome=UploadOutcome.OK,
    body=Body.ALPHA,
    file=f"{'0' * 32}.body",
    provider="removebg",
    host="api.example",
    bytes=7,
    sha256="a" * 64,
    at="2026-01-01T00:00:00Z",
    credits=1.0,
)
PLANS = st.builds(
    RoutePlan,
    reply=st.sampled_from([None, REPLY]),
    width=st.sampled_from([0, 320]),
    height=st.sampled_from([0, 240]),
    why=st.sampled_from(["", "its quality score here is 0.10, under 0.5"]),
    settled=st.sampled_from(["", "the hosted service took too long"]),
    again=st.booleans(),
    stays=st.booleans(),
)
STANDS = st.builds(OffloadState, closed=st.sampled_from(["", "offline"]), backlog_s=st.floats(0, 1e6))


def folder(route: Route, **given_: Any) -> Folder:  # noqa: ANN401 -- any key of a folder
    """Return a folder with this route."""
    return Folder.model_validate({"name": "f", "input": "/in", "output": "/out", "route": route, **given_})


@given(plan=PLANS, hosted=STANDS)
def test_an_untagged_picture_is_cut_here_whatever_its_row_contains(
    plan: RoutePlan, hosted: OffloadState
) -> None:
    """A row can be old, damaged or forged; the configuration alone decides."""
    assert next_step(folder(Route.LOCAL), plan, hosted) == (NextStep.CUT, RoutePlan(egress=plan.egress))


@given(plan=PLANS, hosted=STANDS)
def test_a_tagged_one_is_never_cut_here_against_its_owners_wish(
    plan: RoutePlan, hosted: OffloadState
) -> None:
    """A picture for the service waits for the service."""
    step, _ = next_step(folder(Route.HOSTED), plan, hosted)
    assert step is (NextStep.COMPOSE if plan.reply and plan.width and plan.height else NextStep.EXPORT)


@given(plan=PLANS, backlog_s=st.floats(0, 1e6))
def test_nothing_is_sent_while_the_route_is_closed(plan: RoutePlan, backlog_s: float) -> None:
    """With local-then-hosted an outage costs quality, but no file and no time."""
    tagged = folder(Route.LOCAL_THEN_HOSTED, escalate_backlog_s=10)
    step, _ = next_step(tagged, plan, OffloadState(closed="offline", backlog_s=backlog_s))
    assert step is (NextStep.COMPOSE if plan.reply and plan.width and plan.height else NextStep.CUT)


def test_the_local_result_comes_first() -> None:
    """Nothing is sent for a picture that has no local result yet."""
    assert next_step(folder(Route.LOCAL_THEN_HOSTED), RoutePlan(), OffloadState())[0] is NextStep.CUT


def test_a_long_queue_is_shared_above_the_configured_length() -> None:
    """The sidecar has the reason."""
    tagged = folder(Route.LOCAL_THEN_HOSTED, escalate_backlog_s=60)
    assert next_step(tagged, RoutePlan(), OffloadState(backlog_s=60))[0] is NextStep.CUT
    step, plan = next_step(tagged, RoutePlan(), OffloadState(backlog_s=61))
    assert step is NextStep.EXPORT
    assert "61 s" in plan.why
    assert (
        next_step(folder(Route.LOCAL_THEN_HOSTED), RoutePlan(), OffloadState(backlog_s=1e6))[0]
        is NextStep.CUT
    )


@pytest.mark.parametrize(
    ("score", "objects"), [(0.0, True), (0.49, True), (0.5, False), (1.0, False)], ids=str
)
def test_a_poor_cutout_is_made_again_elsewhere(score: float, objects: bool) -> None:  # noqa: FBT001 -- a case
    """Below the limit, and not at it."""
    tagged = folder(Route.LOCAL_THEN_HOSTED, escalate_below=0.5)
    assert bool(escalation_reason(tagged, RoutePlan(), score)) is objects
    assert not escalation_reason(folder(Route.LOCAL, escalate_below=0.5), RoutePlan(), score)
    assert not escalation_reason(tagged, RoutePlan(settled="offline"), score)
    assert not escalation_reason(tagged, of_correction(is_hosted=False), score)
    assert not escalation_reason(tagged, RoutePlan(reply=REPLY), score)


@given(plan=PLANS)
def test_a_plan_survives_the_journal(plan: RoutePlan) -> None:
    """A restart reads back what was written."""
    assert RoutePlan.of(plan.detail()) == plan


def test_the_details_of_other_states_are_no_plan() -> None:
    """The details of a failure or a result must not cause an upload."""
    for detail in ({}, {"failure": {"code": "Picture"}}, {"outputs": ["a"], "warnings": []}):
        assert RoutePlan.of(detail) == RoutePlan()


def test_an_upload_that_sent_nothing_is_no_egress() -> None:
    """A withdrawn or refused upload sent no picture."""
    assert egress_of(UploadReply(id="0" * 32, outcome=UploadOutcome.FAILED), "why") is None
    found = egress_of(REPLY, "why")
    assert found is not None
    assert (found["bytes"], found["why"], found["credits"]) == (7, "why", 1.0)


@pytest.mark.parametrize(("is_hosted", "wanted"), [(False, NextStep.CUT), (True, NextStep.EXPORT)])
def test_a_corrected_cutout_uses_the_matte_that_was_drawn_over(wanted: NextStep, *, is_hosted: bool) -> None:
    """Whatever the queue's length and the local matte's score."""
    tagged = folder(Route.LOCAL_THEN_HOSTED, escalate_backlog_s=10)
    plan = RoutePlan.of(of_correction(is_hosted=is_hosted).detail())
    assert next_step(tagged, plan, OffloadState(backlog_s=1e6))[0] is wanted
    assert next_step(folder(Route.LOCAL), plan, OffloadState())[0] is NextStep.CUT
