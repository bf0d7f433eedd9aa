"""Removing and replacing on a file system without hard links and without an exchange of two files: a FUSE share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cutoutd.fs.tree import Tree
from cutoutd.publish.original_file import CleanupOutcome, delete_original
from cutoutd.publish.originals import OriginalsFolder
from cutoutd.publish.rename import can_exchange
from tests.integration.parts import until
from tests.integration.publishing import OutputFolder, digest, failure
from tests.integration.share import Share

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CUT, NEW, THEIRS = b"what was cut", b"new cutout", b"saved by another program"


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """A mounted share."""
    share = Share(tmp_path)
    share.attach()
    yield share
    share.detach()


@pytest.fixture
def original(share: Share) -> Path:
    """A picture on the share."""
    path = share.mount / "in" / "shoot" / "a.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(CUT)
    return path


def test_doctor_detects_the_weaker_file_system(share: Share) -> None:
    """By a test with two files: this file system reports an exchange, and only renames."""
    assert not can_exchange(share.mount)
    assert list(share.far.iterdir()) == []


def test_an_exchange_is_known_on_a_local_disk(tmp_path: Path) -> None:
    """The check leaves no file behind."""
    assert can_exchange(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_original_is_deleted_there(share: Share, original: Path) -> None:
    """If it is what was cut."""
    inputs = Tree(share.mount / "in")
    assert delete_original(inputs, "shoot/a.jpg", digest(NEW)).outcome is CleanupOutcome.CHANGED
    assert original.read_bytes() == CUT
    assert delete_original(inputs, "shoot/a.jpg", digest(CUT)).outcome is CleanupOutcome.DELETED
    until(
        lambda: not list((share.far / "in" / "shoot").iterdir()), "the share to remove it"
    )  # once it is closed


@pytest.mark.parametrize("same", [True, False])
def test_an_original_is_moved_there(share: Share, original: Path, tmp_path: Path, *, same: bool) -> None:
    """Within the share, and from it to a disk."""
    kept = (share.mount if same else tmp_path) / "kept"
    kept.mkdir()
    result = OriginalsFolder(kept, "run").move(Tree(share.mount / "in"), "shoot/a.jpg", digest(CUT), job=1)
    assert result.outcome is CleanupOutcome.MOVED
    assert (kept / "shoot" / "a.jpg").read_bytes() == CUT
    assert not original.exists()
    until(
        lambda: not list((share.far / "in" / "shoot").iterdir()), "the share to remove it"
    )  # once it is closed


def test_results_and_records_are_replaced_there(share: Share) -> None:
    """A retouched result is not replaced."""
    output_folder = OutputFolder(share.mount)
    output_folder.publish("sub/a.jpg", CUT)
    assert output_folder.publish("sub/a.jpg", NEW, job=2) == ("sub/a.png",)
    assert output_folder.files() == {"sub/a.png": NEW}
    (output_folder.output / "sub" / "a.png").write_bytes(THEIRS)
    assert output_folder.publish("sub/a.jpg", CUT, job=3) == ("sub/a-jpg.png",)
    assert output_folder.files() == {"sub/a.png": THEIRS, "sub/a-jpg.png": CUT}
    failures = output_folder.publisher.failures
    for cause in ("one", "two"):
        failures.publish(failure("sub/a.jpg", cause))
    assert failures.clear("sub/a.jpg")
    assert output_folder.staged() == []
    assert not list((output_folder.output / "failed" / "sub").iterdir())
