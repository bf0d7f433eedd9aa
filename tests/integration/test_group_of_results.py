"""The group that a folder's results are given to."""

from __future__ import annotations

import grp
import os
from typing import TYPE_CHECKING

import pytest

from cutoutd.daemon.assembly import permissions_of
from cutoutd.errors import ConfigurationError
from tests.integration.parts import folder_in

if TYPE_CHECKING:
    from pathlib import Path

OURS = 4001
THEIRS = 4002


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system with two groups; this user is no administrator, and in one of them."""
    known = {"ours": OURS, "theirs": THEIRS}

    def named(name: str) -> grp.struct_group:
        return grp.struct_group((name, "x", known[name], []))

    monkeypatch.setattr(grp, "getgrnam", named)
    monkeypatch.setattr(os, "getgroups", lambda: [OURS])
    monkeypatch.setattr(os, "geteuid", lambda: 4000)
    monkeypatch.setattr(os, "getegid", lambda: 4000)


@pytest.mark.usefixtures("groups")
def test_a_group_that_this_user_is_not_in_is_a_wrong_configuration(tmp_path: Path) -> None:
    """Before, every picture failed, with the advice to rename it."""
    with pytest.raises(ConfigurationError, match="you are not in the group 'theirs'"):
        permissions_of(folder_in(tmp_path, group="theirs"))
    with pytest.raises(ConfigurationError, match="no group 'nobodys'"):
        permissions_of(folder_in(tmp_path, group="nobodys"))


@pytest.mark.usefixtures("groups")
def test_results_are_given_to_a_group_that_this_user_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator may give them to any."""
    assert permissions_of(folder_in(tmp_path, group="ours")).group == OURS
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert permissions_of(folder_in(tmp_path, group="theirs")).group == THEIRS
