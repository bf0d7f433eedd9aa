"""Fixtures for all tests: a clock that stands still until a test advances it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings
from PIL import Image

from cutoutd.clock import Clock
from tests import preloaded

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long an example takes is the machine's affair; what is timed is in the bench. Half as many examples as usual: a
# later run draws others.
settings.register_profile("untimed", deadline=None, max_examples=50)
settings.load_profile("untimed")

# The package stops Pillow from loading further formats as soon as it opens a picture; tests write them in any order.
Image.init()


class FakeClock(Clock):
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.wall_us = 1_700_000_000_000_000
        self.steady_s = 1000.0

    def now_us(self) -> int:
        """Return the wall time in UTC microseconds."""
        return self.wall_us

    def monotonic_s(self) -> float:
        """Return the monotonic time in seconds."""
        return self.steady_s

    def lived_s(self) -> float:
        """Return the seconds that the machine was awake; here the same as the monotonic time."""
        return self.steady_s

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        self.wall_us += int(seconds * 1_000_000)
        self.steady_s += seconds


@pytest.fixture
def clock() -> FakeClock:
    """A clock for one test."""
    return FakeClock()


# As structlog has it by itself, but for traces: rich, which the command line uses, is found and takes a second for each.
PROCESSORS = [
    *structlog.get_config()["processors"][:-1],
    structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
]


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """Restore the logging configuration after each test, since some tests change it for the whole process."""
    structlog.configure(processors=PROCESSORS)
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def preloaded_modules() -> Iterator[None]:
    """Fork processes of this program from a template that has its modules loaded, for the whole session."""
    with preloaded.preloading():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Start new interpreters for a test that is marked so, and for its fixtures of every scope."""
    if item.get_closest_marker("new_interpreters") is None:
        return (yield)
    with preloaded.new_interpreters():
        return (yield)
