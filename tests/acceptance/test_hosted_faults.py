"""What a hosted service can do wrong, seen from the folders: nothing of it is published, and no run waits for ever."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import picture
from tests.acceptance.shop import opened
from tests.hosted_server import Behaviour

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import Bench
    from tests.acceptance.shop import Shop


@pytest.fixture
def shop(bench: Bench) -> Iterator[Shop]:
    """With its folders and its key."""
    yield from opened(bench)


def test_a_reply_of_another_shape_is_not_published(shop: Shop) -> None:
    """The copy's size is known until its answer is read; the picture fails with what came, and the next one is cut."""
    shop.configure("hosted")
    shop.server.next(Behaviour.OTHER_PICTURE)
    shop.drop("shop", "a.jpg", picture(1))
    assert shop.once() == 1
    shop.drop("shop", "b.jpg", picture(2))
    assert shop.once() == 0
    assert shop.states() == {"a.jpg": "failed", "b.jpg": "done"}
    output = shop.bench.root / "shop-out"
    assert not (output / "a.png").exists()
    error = json.loads((output / "failed/a.jpg.error.json").read_text("utf-8"))
    assert "a picture of 360 x 135 came back for one of 360 x 270" in error["cause"]
