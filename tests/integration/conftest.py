"""Fixtures that several modules of integration tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import FakeClock
    from tests.integration.desk import Desk


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Desk]]:
    """A function that makes started deliveries; they are ended with the test."""
    from tests.integration.desk import Desk  # noqa: PLC0415 -- most tests need none, and not its imports

    created: list[Desk] = []

    def build(**given: Any) -> Desk:  # noqa: ANN401 -- as of Desk
        created.append(Desk(tmp_path, clock, **given))
        created[-1].delivery.start()
        return created[-1]

    yield build
    for desk in created:
        desk.end()
        desk.journal.close()
