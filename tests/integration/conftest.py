"""Fixtures that several modules of integration tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import FakeClock
    from tests.integration.delivery_run import DeliveryRun
    from tests.integration.served import Browser, Served
    from tests.integration.supervisor_run import SupervisorRun


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., DeliveryRun]]:
    """A function that makes started deliveries; they are ended with the test."""
    from tests.integration.delivery_run import DeliveryRun  # noqa: PLC0415 -- most tests need none, and not its imports

    created: list[DeliveryRun] = []

    def build(**given: Any) -> DeliveryRun:  # noqa: ANN401 -- as of DeliveryRun
        created.append(DeliveryRun(tmp_path, clock, **given))
        created[-1].delivery.start()
        return created[-1]

    yield build
    for delivery_run in created:
        delivery_run.end()
        delivery_run.journal.close()


@pytest.fixture
def supervisor_run(tmp_path: Path, clock: FakeClock) -> Iterator[SupervisorRun]:
    """A supervisor with a journal and one folder."""
    from tests.integration.supervisor_run import SupervisorRun  # noqa: PLC0415 -- likewise

    created = SupervisorRun(tmp_path, clock)
    yield created
    created.end()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page without a configuration."""
    from tests.integration.served import served  # noqa: PLC0415 -- likewise

    with served(tmp_path_factory.mktemp("page")) as one:
        yield one


@pytest.fixture(scope="module")
def browser(page: Served) -> Browser:
    """A paired browser."""
    from tests.integration.served import Browser  # noqa: PLC0415 -- likewise

    one = Browser(page=page)
    assert one.pair() == 200
    return one
