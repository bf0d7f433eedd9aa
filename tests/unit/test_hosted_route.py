"""The route to a service: when something may be sent, how much, and at what cost."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.exchange.spool import Request
from cutoutd.hosted.attempt import RetryLaterError
from cutoutd.hosted.context import why_not_sent
from cutoutd.hosted.queue import Budget
from cutoutd.hosted.route import RouteState, ServiceRoute
from cutoutd.hosted.upload_job import retry_pause_s
from cutoutd.settings.loader import assemble
from tests.conftest import FakeClock

if TYPE_CHECKING:
    from cutoutd.settings.schema import Settings


def settings(hosted: dict[str, Any], **routes: dict[str, Any]) -> Settings:
    """Return a configuration with these folders."""
    folders = [
        {"name": name, "input": f"/in/{name}", "output": f"/out/{name}", **keys}
        for name, keys in routes.items()
    ]
    document = {"hosted": {"enabled": True, **hosted}, "folder": folders}
    return assemble(document, {}, origin="FILE", base=None)


def route(clock: FakeClock, limit: int = 0) -> ServiceRoute:
    """Return an open route."""
    return ServiceRoute(clock, megapixels_per_minute=limit, at_once=4)


def test_an_open_route_lets_everything_in(clock: FakeClock) -> None:
    """Without a limit."""
    open_ = route(clock)
    assert [open_.admit(100.0) for _ in range(50)] == [0.0] * 50


def test_after_a_failure_one_picture_probes_the_route(clock: FakeClock) -> None:
    """The others wait for it, and all continue once it was cut."""
    back_off = route(clock)
    assert back_off.admit(1.0) == 0.0
    back_off.back_off("it says 503", 8.0)
    assert back_off.admit(1.0) == 8.0
    clock.advance(8)
    assert back_off.admit(1.0) == 0.0
    assert back_off.admit(1.0) > 0
    assert back_off.snapshot().state is RouteState.WAITING
    back_off.succeeded()
    assert [back_off.admit(1.0), back_off.admit(1.0)] == [0.0, 0.0]
    assert back_off.snapshot().state is RouteState.OPEN


@pytest.mark.parametrize("end", ["left", "troubled", "close"])
def test_a_probe_always_ends(clock: FakeClock, end: str) -> None:
    """Whatever its outcome, another probe may follow when it is due."""
    probed = route(clock)
    probed.back_off("x", 1.0, offline=True)
    clock.advance(1)
    assert probed.admit(1.0) == 0.0
    match end:
        case "left":
            probed.abandoned()
        case "troubled":
            probed.back_off("x", 1.0)
        case _:
            probed.close("x")
    clock.advance(3601)
    assert probed.admit(1.0) == 0.0


def test_a_closed_route_opens_for_a_person_or_after_an_hour(clock: FakeClock) -> None:
    """Nothing else opens it, and failures of uploads in progress change nothing."""
    closed = route(clock)
    closed.close("no credits")
    closed.back_off("it says 503", 1.0)
    clock.advance(1800)
    assert closed.admit(1.0) == 1800.0
    assert closed.snapshot().why == "no credits"
    closed.resume()
    assert closed.admit(1.0) == 0.0
    closed.close("no credits")
    clock.advance(3600)
    assert closed.admit(1.0) == 0.0


@given(sizes=st.lists(st.floats(0.1, 60.0), min_size=1, max_size=40), limit=st.integers(10, 100))
def test_no_minute_ever_has_more_than_the_limit(sizes: list[float], limit: int) -> None:
    """In any order: any 60 s hold at most the limit, or one picture larger than the limit."""
    clock = FakeClock()
    paced = route(clock, limit)
    sent: deque[tuple[float, float]] = deque()
    for size in sizes:
        while wait := paced.admit(size):
            assert wait <= 61.0
            clock.advance(wait)
        sent.append((clock.monotonic_s(), size))
        window = [one for at, one in sent if at > clock.monotonic_s() - 60.0]
        assert sum(window) <= limit + 1e-6 or len(window) == 1


def test_uploads_that_did_not_leave_do_not_count_in_their_minute(clock: FakeClock) -> None:
    """Uploads that failed to connect use none of the limit."""
    paced = route(clock, 10)
    assert paced.admit(8.0) == 0.0
    paced.refund(8.0)
    assert paced.admit(8.0) == 0.0
    assert paced.admit(8.0) > 0


def test_no_more_uploads_than_allowed_are_in_progress(clock: FakeClock) -> None:
    """A slot is returned once, however often its release is called."""
    narrow = ServiceRoute(clock, megapixels_per_minute=0, at_once=1)
    slot = narrow.slot()
    assert slot is not None
    assert narrow.slot() is None
    slot.give_back()
    slot.give_back()
    assert narrow.slot() is not None
    assert narrow.slot() is None


@given(attempt=st.integers(1, 50), retry_after=st.floats(0, 3600))
def test_waits_grow_by_chance_and_never_undercut_the_service(attempt: int, retry_after: float) -> None:
    """Bounded, with jitter, and shorter where only the connection failed."""
    fault = retry_pause_s(RetryLaterError("x"), attempt - 1)
    offline = retry_pause_s(RetryLaterError("x", is_offline=True), attempt - 1)
    asked = retry_pause_s(RetryLaterError("x", retry_after_s=retry_after), attempt - 1)
    assert 0.25 <= fault <= min(300, max(0.25, 2.0 ** (attempt - 1)))
    assert 0.25 <= offline <= 30
    assert retry_after <= asked <= retry_after + 0.5


@given(
    costs=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.25, 1.0, 2.5])), max_size=60),
    limit=st.sampled_from([0.0, 1.0, 7.5, 20.0]),
    own=st.sampled_from([None, 0.0, 2.0, 5.0]),
    finish=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_no_limit_is_ever_overrun(
    costs: list[tuple[str, float]], limit: float, own: float | None, finish: list[bool]
) -> None:
    """Neither the total nor a folder's, with uploads in progress counted."""
    a = {"route": "hosted"} | ({} if own is None else {"max_credits_per_day": own})
    budget = Budget(settings({"max_credits_per_day": limit}, a=a, b={"route": "hosted"}), {})
    used = {"a": 0.0, "b": 0.0}
    for (folder, cost), ends in zip(costs, finish, strict=False):
        if not budget.reserve(folder, cost):
            used[folder] += cost
            if ends:
                budget.release(folder, cost, cost)
        assert used["a"] + used["b"] <= limit
        assert own is None or used["a"] <= own


def test_uncharged_credits_are_free_again() -> None:
    """A refusal costs nothing, and the actual charge replaces the expected one."""
    budget = Budget(settings({"max_credits_per_day": 1}, a={"route": "hosted"}), {})
    assert not budget.reserve("a", 1.0)
    assert "1 are spent or under way" in budget.reserve("a", 1.0)
    budget.release("a", 1.0, 0.0)
    assert not budget.reserve("a", 1.0)
    budget.release("a", 1.0, 0.25)
    assert not budget.refusal("a", 0.75)
    assert budget.refusal("a", 1.0)


def test_a_free_server_that_charges_after_all_is_stopped() -> None:
    """Its owner allowed no credits."""
    budget = Budget(settings({}, a={"route": "hosted"}), {})
    assert not budget.reserve("a", 0.0)
    budget.release("a", 0.0, 1.0)
    assert "allows 0 credits a day, 1 are spent" in budget.reserve("a", 0.0)
    budget.set_spent({})
    assert not budget.refusal("a", 0.0)


def request(
    folder: str,
    *,
    id_: str = "0" * 32,
    sha256: str = "0" * 64,
    width: int = 10,
    height: int = 10,
    file: str | None = None,
) -> Request:
    """Return a request for a folder."""
    return Request(
        id=id_,
        folder=folder,
        job=1,
        why="",
        file=file or f"{id_}.jpg",
        bytes=1,
        sha256=sha256,
        width=width,
        height=height,
        source_sha256="0" * 64,
    )


@given(
    routes=st.dictionaries(
        st.sampled_from("abcdef"), st.sampled_from([None, "local", "hosted", "local-then-hosted"]), min_size=1
    ),
    asked=st.sampled_from("abcdefgh"),
)
def test_an_untagged_folder_is_never_among_those_the_uploader_accepts(
    routes: dict[str, str | None], asked: str
) -> None:
    """Over all configurations, whatever is asked for (fault 50)."""
    tables = {name: ({} if route is None else {"route": route}) for name, route in routes.items()}
    is_accepted = not why_not_sent(request(asked), settings({}, **tables))
    assert is_accepted == (routes.get(asked) in {"hosted", "local-then-hosted"})


def test_nothing_larger_than_allowed_is_sent() -> None:
    """Whatever the supervisor requests; and no file other than the request's own."""
    chosen = settings({"max_upload_px": 100}, a={"route": "hosted"})
    assert not why_not_sent(request("a", width=100, height=1), chosen)
    assert "no more than 100 pixels" in why_not_sent(request("a", width=1, height=101), chosen)
    assert "not its own" in why_not_sent(request("a", file=f"{'1' * 32}.jpg"), chosen)


def test_a_success_does_not_end_a_pause_that_was_requested_meanwhile(clock: FakeClock) -> None:
    """One upload began before another received 429 with Retry-After."""
    asked = route(clock)
    assert (asked.admit(1.0), asked.admit(1.0)) == (0.0, 0.0)
    asked.back_off("429", 30.0)
    asked.succeeded()
    assert asked.admit(1.0) == 30.0
    assert asked.snapshot().state is RouteState.WAITING
