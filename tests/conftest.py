"""Fixtures for all tests: a clock that stands still until a test advances it."""

from __future__ import annotations

import gc
import os
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest
import structlog
from hypothesis import settings
from PIL import Image

from cutoutd.clock import Clock
from tests import preloaded

with preloaded.one_thread():
    import numpy as np  # noqa: F401 -- here alone its library can be told to start no threads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG: Final = (
    "acceptance/test_page_in_browser",
    "acceptance/test_page_fix",
    "acceptance/test_page_review",
    "acceptance/test_page_settings",
    "system/test_systemd",
    "acceptance/test_shares",
    "acceptance/test_journal_lost",
    "acceptance/test_unmounted",
    "acceptance/test_internal_errors",
    "acceptance/test_crash",
    "acceptance/test_cluster_network",
    "acceptance/test_page_beside",
    "acceptance/test_hosted_faults",
    "acceptance/test_main_job",
    "acceptance/test_poison",
    "acceptance/test_hosted",
    "acceptance/test_fix",
    "acceptance/test_hangups",
    "acceptance/test_doctor",
    "acceptance/test_first_run",
    "acceptance/test_submissions",
    "acceptance/test_cluster_faults",
    "integration/test_uploader",
    "integration/test_moves_onto_names",
    "integration/test_heartbeat",
    "integration/test_renames_killed",
    "integration/test_page_pictures",
    "integration/test_recovery",
    "integration/test_challenge",
    "integration/test_submissions",
    "integration/test_subjects",
    "integration/test_page_sandbox",
    "integration/test_access",
    "integration/test_page_security",
    "integration/test_uploader_faults",
    "integration/test_wrong_moments",
    "integration/test_serve_resumed",
    "integration/test_cluster_slots",
    "integration/test_names",
    "integration/test_serve_api",
    "integration/test_sandbox",
    "integration/test_serve_described",
    "integration/test_corrected_pictures",
    "unit/test_refine",
)
"""Modules that take longest, by their processor time, or by their waiting where that is more. Where processes share the tests these
begin first: one that began last would go on alone."""

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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of the test's own, without our variables and a system-wide configuration."""
    from cutoutd.settings import places  # noqa: PLC0415 -- most tests need none, and not its imports

    for name in [name for name in os.environ if name.startswith(("CUTOUTD_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(places, "SYSTEM_FILE", tmp_path / "etc" / "cutoutd.toml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep garbage collections from looking at what is collected: all of it stays, and they would take a fifth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the modules that take longest first, and then those of most tests, in a process that shares the tests with others."""
    if not hasattr(config, "workerinput"):
        return
    rank = {f"tests/{name}.py": number for number, name in enumerate(LONG)}
    count = Counter(_module(item) for item in items)
    items.sort(key=lambda item: (rank.get(_module(item), len(rank)), -count[_module(item)]))


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
