"""What the encoders of these tests get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance import encoders

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the encoders get."""
    directory = tmp_path_factory.mktemp("sources")
    encoders.write_sources(directory)
    return directory
