"""Who counts as another user for a daemon that runs as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cutoutd.folder.root_access import RootRefusedError, check_root, exposed, refused
from cutoutd.fs.permissions import is_real_root, writers_in
from cutoutd.service import planning
from cutoutd.service.unit import Scope
from cutoutd.settings.schema import Folder, Service, Settings
from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    from pathlib import Path

SOMEBODY = 4711


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder of root in directories of root."""
    if not is_real_root():
        give_up("this is about the machine's root")
    for name in ("in", "out"):
        (tmp_path / name).mkdir(mode=0o755)
    return Folder(name="f", input=tmp_path / "in", output=tmp_path / "out")


def test_roots_own_folders_are_worked_on(folder: Folder) -> None:
    """Pictures may belong to anybody, and a group of root's own is allowed; /tmp above them is sticky."""
    (folder.input / "a.jpg").touch()
    os.chown(folder.input / "a.jpg", SOMEBODY, SOMEBODY)
    folder.output.chmod(0o775)
    assert exposed(folder) == ""
    check_root(Settings(service=Service(state_dir=folder.input.parent / "state"), folder=(folder,)))


@pytest.mark.parametrize("name", ["review", "failed", ".cutoutd-staging"])
def test_the_directories_that_root_writes_in_count_as_well(folder: Folder, name: str) -> None:
    """These directories are in the output, and another user may own them."""
    (folder.output / name).mkdir()
    os.chown(folder.output / name, SOMEBODY, -1)
    assert exposed(folder) == f"{folder.output / name} belongs to user id {SOMEBODY}"
    with pytest.raises(RootRefusedError, match=f'"f": {folder.output / name} belongs'):
        check_root(Settings(service=Service(state_dir=folder.input.parent / "state"), folder=(folder,)))
    assert refused(folder, allow_root=True) == ""


def test_an_access_list_counts(folder: Folder) -> None:
    """The group bits then show the maximum of the list, and the group is root's."""
    need("setfacl")
    subprocess.run(["setfacl", "-m", f"u:{SOMEBODY}:rwx", folder.input], check=True)
    assert "access list" in exposed(folder)


def test_another_users_link_in_a_shared_directory_counts(folder: Folder) -> None:
    """The owner of the link decides where the results go."""
    shared = folder.input.parent / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "out").symlink_to(folder.output)
    linked = folder.model_copy(update={"output": shared / "out"})
    assert exposed(linked) == ""
    os.lchown(shared / "out", SOMEBODY, -1)
    assert exposed(linked) == f"everybody may write in {shared}"


def test_the_root_of_a_user_namespace_is_an_ordinary_user(folder: Folder) -> None:
    """As in a container without privileges: it can do no more than its user."""
    if shutil.which("unshare") is None:
        give_up("unshare is not installed")
    os.chown(folder.input, SOMEBODY, -1)
    done = subprocess.run(
        [
            "unshare",
            "-Ur",
            sys.executable,
            "-c",
            "from cutoutd.fs.permissions import is_real_root as r; print(r())",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        give_up(f"no user namespace can be made here: {done.stderr}")
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("allow_root", [False, True])
def test_a_service_that_would_run_as_root_is_reported(folder: Folder, *, allow_root: bool) -> None:
    """By `service show` and `service install`; a person may have requested it; the usual user is the owner of the folders."""
    os.chown(folder.output, SOMEBODY, -1)
    service = Service(state_dir=folder.input.parent / "state", allow_root=allow_root)
    settings = Settings(service=service, folder=(folder,))
    unit = planning.unit_for(
        settings,
        scope=Scope.SYSTEM,
        arguments=[],
        config=None,
        environ={},
        run_as="root",
        uploader_apart=False,
    )
    cautions = [one for one in planning.cautions(unit, settings) if "root" in one]
    assert [f"{folder.output} belongs to user id {SOMEBODY}" in one for one in cautions] == [True] * (
        not allow_root
    )


def test_for_an_ordinary_user_its_own_folders_are_safe(folder: Folder) -> None:
    """The same check is used by `service show` for another user than the caller."""
    os.chown(folder.input, SOMEBODY, -1)
    assert writers_in(folder.input, me=SOMEBODY) == ""
    assert writers_in(folder.input, me=SOMEBODY + 1) == f"{folder.input} belongs to user id {SOMEBODY}"
