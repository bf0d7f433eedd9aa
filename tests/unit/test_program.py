"""The command that starts cutoutd: a Python, or the single-file bundle."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cutoutd.cli import printing
from cutoutd.process import program

if TYPE_CHECKING:
    import pytest


def test_without_a_bundle_it_is_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not a path is ignored."""
    monkeypatch.setenv(program.BUNDLE_VARIABLE, "cutoutd-linux-x86_64")
    assert program.command() == (sys.executable, "-P", "-m", "cutoutd")
    monkeypatch.delenv(program.BUNDLE_VARIABLE)
    assert program.command() == (sys.executable, "-P", "-m", "cutoutd")


def test_from_a_bundle_it_is_the_file_and_not_what_was_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The unpacked files are removed with the next version. Advice names the bundle as well."""
    monkeypatch.setenv(program.BUNDLE_VARIABLE, "/srv/a b/cutoutd-linux-x86_64")
    assert program.command() == ("/srv/a b/cutoutd-linux-x86_64",)
    assert printing.own_command() == "'/srv/a b/cutoutd-linux-x86_64'"
    assert (
        printing.with_program_name("`cutoutd run` starts it")
        == "`'/srv/a b/cutoutd-linux-x86_64' run` starts it"
    )
