"""A configuration written for the older meaning of the score loads with a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cutoutd.settings.rules import older_score_limits
from cutoutd.settings.schema import Folder, Settings


def words(**given: Any) -> list[tuple[str, str]]:  # noqa: ANN401 -- any key of a folder
    """Return the warnings for one folder."""
    folder = Folder(name="shop", input=Path("/in"), output=Path("/out"), **given)
    return list(older_score_limits(Settings(folder=(folder,))))


@pytest.mark.parametrize("given", [{"review_below": 0.5}, {"escalate_below": 0.6}])
def test_a_limit_without_the_newer_setting_gives_a_warning(given: dict[str, float]) -> None:
    """The configuration loads; the warning names the setting that ends it."""
    ((name, word),) = words(**given)
    assert name == "shop"
    assert next(iter(given)) in word
    assert "doubtful_below" in word


@pytest.mark.parametrize("given", [{}, {"doubtful_below": 0.5}, {"review_below": 0.3, "doubtful_below": 0.6}])
def test_a_newer_configuration_gives_no_warning(given: dict[str, float]) -> None:
    """The defaults have the newer meaning."""
    assert words(**given) == []


def test_by_default_what_is_almost_surely_wrong_waits_and_what_is_doubtful_is_marked() -> None:
    """Both are probabilities."""
    folder = Folder(name="shop", input=Path("/in"), output=Path("/out"))
    assert 0 < folder.review_below < folder.doubtful_below < 1
