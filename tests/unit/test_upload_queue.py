"""The order of uploads: the uploader's queue, without its threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.hosted.queue import Budget, UploadQueue
from cutoutd.hosted.route import ServiceRoute
from cutoutd.process.stop_flag import StopFlag
from tests.unit.test_hosted_route import request, settings

if TYPE_CHECKING:
    from cutoutd.exchange.spool import Request
    from tests.conftest import FakeClock


@pytest.fixture
def route(clock: FakeClock) -> ServiceRoute:
    """An open route."""
    return ServiceRoute(clock, megapixels_per_minute=0, at_once=4)


@pytest.fixture
def queue(route: ServiceRoute) -> UploadQueue:
    """A queue for two folders, of which "poor" may spend two credits a day."""
    folders: dict[str, dict[str, Any]] = {
        "rich": {"route": "hosted"},
        "poor": {"route": "hosted", "max_credits_per_day": 2},
    }
    chosen = settings({"max_credits_per_day": 100}, **folders)
    return UploadQueue(route=route, budget=Budget(chosen, {}), stopping=StopFlag())


def numbered(number: int, folder: str = "rich", picture: int | None = None) -> Request:
    """Return a request with this number, for a picture of its own unless one is given."""
    content = number if picture is None else picture
    return request(folder, id_=f"{number:032x}", sha256=f"{content:064x}")


def test_first_come_is_first_served(queue: UploadQueue) -> None:
    """Each request is given out once, and again only if it did not finish."""
    for number in range(3):
        queue.offer(numbered(number), 1.0)
    assert [queue.take(), queue.take(), queue.take(), queue.take()] == [*map(numbered, range(3)), None]
    queue.done(numbered(1), finished=True)
    queue.done(numbered(2), finished=False)
    assert [queue.take(), queue.take()] == [numbered(2), None]


def test_a_folder_without_money_delays_no_other(queue: UploadQueue) -> None:
    """The reason is reported while it lasts."""
    queue.offer(numbered(1, "poor"), 3.0)
    queue.offer(numbered(2, "rich"), 3.0)
    assert queue.take() == numbered(2, "rich")
    assert queue.take() is None
    assert "allows 2 credits a day" in queue.refusals()["poor"]
    queue.keep_only([])
    assert queue.take() is None
    assert queue.refusals() == {}


def test_the_same_picture_is_not_uploaded_twice_at_once(queue: UploadQueue) -> None:
    """The second request waits, since the first one's result may answer it."""
    first, second = numbered(1, picture=9), numbered(2, picture=9)
    queue.offer(first, 1.0)
    queue.offer(second, 1.0)
    assert [queue.take(), queue.take()] == [first, None]
    queue.done(first, finished=True)
    assert queue.take() == second


def test_nothing_is_given_out_while_uploads_are_paused_or_the_route_needs_a_person(
    queue: UploadQueue, route: ServiceRoute
) -> None:
    """A route that is merely waiting gives requests out; the upload finds out."""
    queue.offer(numbered(1), 1.0)
    queue.pause(paused=True)
    assert queue.take() is None
    queue.pause(paused=False)
    route.close("no credits")
    assert queue.take() is None
    route.resume()
    route.back_off("it says 503", 60.0)
    assert queue.take() == numbered(1)


def test_waiting_and_running_uploads_are_counted_by_folder(queue: UploadQueue) -> None:
    """The outbox is read again for new requests only."""
    queue.offer(numbered(1), 1.0)
    queue.offer(numbered(2, "poor"), 1.0)
    assert queue.take() == numbered(1)
    assert queue.counts() == ({"poor": 1}, {"rich": 1})
    assert queue.unknown([numbered(number).id for number in (1, 2, 3)]) == [numbered(3).id]
