"""A fixture with the pictures that the encoders start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance import encoders

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the pictures that the encoders start from."""
    directory = tmp_path_factory.mktemp("sources")
    encoders.write_sources(directory)
    return directory
