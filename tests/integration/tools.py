"""Programs that some tests need: the tests are skipped where one is missing, but fail in CI."""

from __future__ import annotations

import os
import shutil


def need(tool: str) -> None:
    """Skip the test unless a program is installed; in CI, fail it."""
    if shutil.which(tool) is None:
        give_up(f"{tool} is not installed")


def give_up(why: str) -> None:
    """End the test: skipped with the reason, or failed in CI."""
    import pytest  # noqa: PLC0415 -- processes of tests use this module as well, and pytest takes most of their start

    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
