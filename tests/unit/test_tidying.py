"""What Python holds on to without need is given back every minute, and no sooner."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from cutoutd.daemon.tidying import TIDY_EVERY_S, Tidying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import FakeClock


class Knot:
    """Something that refers to itself, and is freed by a collection alone."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def no_other_collection() -> Iterator[None]:
    """Nothing else collects meanwhile."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_other_collection")
def test_garbage_is_collected_every_minute(clock: FakeClock) -> None:
    """Twice, so that it goes on."""
    tidying = Tidying(clock)
    for _ in range(2):
        knot = weakref.ref(Knot())
        tidying.look()
        assert knot() is not None
        clock.advance(TIDY_EVERY_S)
        tidying.look()
        assert knot() is None
