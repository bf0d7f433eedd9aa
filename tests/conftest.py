"""What every kind of test shares: a clock that stands still until it is told to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings

from cutoutd.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long an example takes is the machine's affair; what is timed is in the bench. Half as many examples as usual: a
# later run draws others.
settings.register_profile("untimed", deadline=None, max_examples=50)
settings.load_profile("untimed")


class FakeClock(Clock):
    """Time as a test wants it."""

    def __init__(self) -> None:
        self.wall_us = 1_700_000_000_000_000
        self.steady_s = 1000.0

    def now_us(self) -> int:
        """UTC microseconds."""
        return self.wall_us

    def monotonic_s(self) -> float:
        """Seconds."""
        return self.steady_s

    def lived_s(self) -> float:
        """Seconds."""
        return self.steady_s

    def advance(self, seconds: float) -> None:
        """Let both clocks go on."""
        self.wall_us += int(seconds * 1_000_000)
        self.steady_s += seconds


@pytest.fixture
def clock() -> FakeClock:
    """A clock of the test's own."""
    return FakeClock()


# As structlog has it by itself, but for traces: rich, which the command line uses, is found and takes a second for each.
PROCESSORS = [
    *structlog.get_config()["processors"][:-1],
    structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
]


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """How a test sets the log up in this process, such as to errors alone, is nothing to the tests after it."""
    structlog.configure(processors=PROCESSORS)
    yield
    structlog.reset_defaults()
