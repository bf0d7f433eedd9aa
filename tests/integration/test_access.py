"""Access to results: as for a file that is created in the same directory, and no more than the original allows."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.errors import FailureCode
from cutoutd.jobs import Failure
from cutoutd.publish import access
from cutoutd.publish.failures import FailureFacts
from cutoutd.publish.writing import Permissions
from tests.integration.publishing import FOLDER, OutputFolder
from tests.integration.tools import give_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER_GROUP = 12345
"""A group without members, to which only root can give files."""


ITS_GROUP = 7777
"""The group of an original."""


@pytest.fixture(autouse=True)
def as_root() -> None:
    """Skip for other users than root, who cannot give files to other groups."""
    if os.geteuid() != 0:
        give_up("only root can give a directory to any group")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Run the body with another umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return an access list of entries: tag, permissions, numeric user or group."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
SHARED = acl((1, 7, NOBODY), (4, 5, NOBODY), (8, 7, 50), (16, 7, NOBODY), (32, 5, NOBODY))
"""The access list that `setfacl -d -m g:staff:rwx` sets on a directory of mode 0755."""
MINIMAL = acl((1, 7, NOBODY), (4, 7, NOBODY), (32, 0, NOBODY))
PRIVATE = acl((1, 6, NOBODY), (2, 4, 1000), (4, 0, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))
RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "setgid": {"group": OTHER_GROUP, "mode": 0o2775},
    "a group without setgid": {"group": OTHER_GROUP, "mode": 0o775},
    "default list": {"list": SHARED},
    "default list of three": {"list": MINIMAL},
    "setgid and default list": {"group": OTHER_GROUP, "mode": 0o2770, "list": SHARED},
    "private default list": {"list": PRIVATE},
}


def ruled(directory: Path, rule: str) -> Path:
    """Make a directory with its own rules of access."""
    given = RULES[rule]
    directory.mkdir(parents=True, exist_ok=True)
    if "list" in given:
        os.setxattr(directory, "system.posix_acl_default", given["list"])
    if "group" in given:
        os.chown(directory, -1, given["group"])
    if "mode" in given:
        directory.chmod(given["mode"])
    return directory


def rights(path: Path) -> access.Rights:
    """Return the rights of a file."""
    status = path.stat()
    try:
        held = os.getxattr(path, "system.posix_acl_access")
    except OSError:
        held = None
    return access.Rights(group=status.st_gid, mode=stat.S_IMODE(status.st_mode), acl=held)


def reference(directory: Path) -> access.Rights:
    """Return the rights of a file that is created there."""
    path = directory / "ref"
    path.touch()
    try:
        return rights(path)
    finally:
        path.unlink()


def failure_of(source: str, job: int) -> FailureFacts:
    """Return the failure of a picture."""
    return FailureFacts(
        job=job,
        folder=FOLDER,
        path=source,
        bytes=5,
        mtime_ns=1_500_000_000_000_000_000,
        sha256=None,
        failure=Failure(code=FailureCode.PICTURE, title="t", cause="c", advice="a", permanent=True),
        attempts=1,
        at_us=1,
    )


def original(root: Path, name: str, mode: int = 0o644) -> Path:
    """Return an original with a mode."""
    path = root / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
@pytest.mark.parametrize(("root_rule", "rule"), list(itertools.product(RULES, RULES)))
def test_results_and_sidecars_get_what_a_file_made_there_would_get(
    tmp_path: Path, root_rule: str, rule: str, mask: int
) -> None:
    """Whatever the rights of the root, where all are staged; with several renditions; and for a later version as well."""
    output_folder = OutputFolder(tmp_path, inputs=tmp_path / "in")
    original(tmp_path, "a/x.jpg")
    with umask(mask):
        ruled(output_folder.output, root_rule)
        directory = ruled(output_folder.output / "a", rule)
        for content in (b"one", b"two"):
            output_folder.publish("a/x.jpg", content, content + b"!")
            files = [path for path in directory.iterdir() if path.is_file()]
            assert len(files) == 3
            assert {rights(path) for path in files} == {reference(directory)}


@pytest.mark.parametrize("rule", ["plain", "setgid and default list"])
def test_files_of_doubtful_results_and_failures_get_the_rights_of_their_directories(
    tmp_path: Path, rule: str
) -> None:
    """In review/ and failed/, in an existing directory and in a new one."""
    output_folder = OutputFolder(tmp_path, inputs=tmp_path / "in", sidecars=True)
    for name in ("a/x.jpg", "new/y.jpg"):
        original(tmp_path, name)
    for place in ("review", "failed"):
        ruled(output_folder.output / place, rule)
    (output_folder.output / "review/a").mkdir()
    ruled(output_folder.sidecars / "review/a", rule)
    for job, name in enumerate(("a/x.jpg", "new/y.jpg"), 1):
        results = output_folder.results(name, [b"doubtful", b"overlay"], job=job, review=True, overlay=True)
        output_folder.publisher.carry_out(output_folder.plan(results))
        output_folder.publisher.failures.publish(failure_of(name, job))
    files = [
        path
        for root in (
            output_folder.output / "review",
            output_folder.output / "failed",
            output_folder.sidecars / "review",
        )
        for path in root.rglob("*")
        if path.is_file()
    ]
    assert len(files) == 8
    for path in files:
        assert rights(path) == reference(path.parent), path


def test_configured_permissions_take_precedence(tmp_path: Path) -> None:
    """Over the directory and the original; the access list of the directory is kept, as far as the mode allows."""
    output_folder = OutputFolder(
        tmp_path, inputs=tmp_path / "in", permissions=Permissions(mode=0o640, group=54321)
    )
    original(tmp_path, "a/x.jpg", 0o600)
    directory = ruled(output_folder.output / "a", "setgid and default list")
    output_folder.publish("a/x.jpg", b"one")
    for path in directory.iterdir():
        has = rights(path)
        assert (has.group, has.mode) == (54321, 0o640)
        assert has.acl is not None


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("mode", "hidden"), [(0o600, 0o077), (0o640, 0o007), (0o604, 0o070), (0o400, 0o077), (0o644, 0)]
)
def test_a_result_is_unreadable_to_users_who_may_not_read_its_original(
    tmp_path: Path, rule: str, mode: int, hidden: int
) -> None:
    """Nor its sidecar, nor the record of its failure: by the mode, or by the access list if there is one."""
    output_folder = OutputFolder(tmp_path, inputs=tmp_path / "in")
    os.chown(original(tmp_path, "a/x.jpg", mode), -1, ITS_GROUP)
    directories = [ruled(output_folder.output / name, rule) for name in ("a", "failed/a")]
    output_folder.publish("a/x.jpg", b"one")
    output_folder.publisher.failures.publish(failure_of("a/x.jpg", 2))
    for directory in directories:
        wanted = reference(directory)
        shown = (
            0 if rule == "private default list" else 0o040
        )  # that list names a user, and gives the group nothing
        for path in directory.iterdir():
            has = rights(path)
            if mode == 0o640:
                assert (has.group, has.mode & 0o077, has.acl) == (ITS_GROUP, has.mode & 0o020 | shown, None)
            else:
                assert (has.group, has.mode) == (wanted.group, wanted.mode & ~hidden), path


def test_a_group_that_only_a_stranger_has_chosen_reads_nothing(tmp_path: Path) -> None:
    """Before, the set-group-id bit of a sub-folder, set by anybody who could write in the output, gave its group the rights of the original's group."""
    output_folder = OutputFolder(tmp_path, inputs=tmp_path / "in")
    os.chown(original(tmp_path, "a/x.jpg", 0o640), -1, ITS_GROUP)
    os.chown(ruled(output_folder.output / "a", "setgid and default list"), 65534, -1)
    output_folder.publish("a/x.jpg", b"one")
    assert {rights(path).group for path in (output_folder.output / "a").iterdir()} == {ITS_GROUP}


def test_users_in_the_originals_access_list_may_read_the_result(tmp_path: Path) -> None:
    """If the list of the directory names them too; a user in only one of the lists may not."""
    output_folder = OutputFolder(tmp_path, inputs=tmp_path / "in")
    source = original(tmp_path, "a/x.jpg", 0o600)
    names = ((2, 4, 1000), (4, 0, NOBODY), (8, 4, 50), (16, 4, NOBODY), (32, 0, NOBODY))
    os.setxattr(source, "system.posix_acl_access", acl((1, 6, NOBODY), *names))
    directory = output_folder.output / "a"
    directory.mkdir(parents=True)
    named = ((2, 7, 1000), (2, 7, 2000), (4, 7, NOBODY), (8, 7, 60), (16, 7, NOBODY), (32, 5, NOBODY))
    os.setxattr(directory, "system.posix_acl_default", acl((1, 7, NOBODY), *named))
    output_folder.publish("a/x.jpg", b"one")
    for path in directory.iterdir():
        wanted = ((1, 6, NOBODY), (2, 7, 1000), (4, 0, NOBODY), (16, 6, NOBODY), (32, 0, NOBODY))
        assert rights(path).acl == acl(*wanted)


def test_where_the_originals_group_cannot_be_set_no_group_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user who is not in that group."""
    output_folder = OutputFolder(tmp_path, inputs=tmp_path / "in")
    os.chown(original(tmp_path, "a/x.jpg", 0o640), -1, ITS_GROUP)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", refuse)
    output_folder.publish("a/x.jpg", b"one")
    assert {rights(path).mode for path in (output_folder.output / "a").iterdir()} == {0o600}


def test_on_a_file_system_without_modes_no_mode_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results are published all the same."""
    output_folder = OutputFolder(tmp_path, inputs=tmp_path / "in")
    original(tmp_path, "a/x.jpg", 0o600)
    ruled(output_folder.output / "a", "setgid and default list")

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    for call in ("fchmod", "fchown", "setxattr", "removexattr"):
        monkeypatch.setattr(os, call, refuse)
    output_folder.publish("a/x.jpg", b"one")
    assert (output_folder.output / "a/x.png").read_bytes() == b"one"


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
@pytest.mark.parametrize("rule", RULES)
def test_the_rules_match_the_kernel(tmp_path: Path, rule: str, mask: int) -> None:
    """The rules are needed on file systems that cannot create a file without a name."""
    directory = ruled(tmp_path / "a", rule)
    with umask(mask):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert access.by_its_rules(descriptor) == access.made_in(descriptor) == reference(directory)
        finally:
            os.close(descriptor)
