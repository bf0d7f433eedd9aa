"""The previews that workers write are bounded in size, and everything verifiable about them is verified."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cutoutd.exchange import cutout_previews
from cutoutd.exchange.cutout_previews import CutoutPreview, PreviewStore, find

if TYPE_CHECKING:
    from pathlib import Path

SHA256 = "ab" * 32
PREVIEW = CutoutPreview(
    width=4240,
    height=2832,
    level=2,
    small=b"RIFF0000WEBPsmall",
    colours=b"\xff\xd8\xff-colours",
    alpha=b"\x89PNG\r\n\x1a\nalpha",
)


@pytest.fixture
def store(tmp_path: Path) -> PreviewStore:
    """A preview store in a new state directory."""
    return PreviewStore(tmp_path, min_free_mb=0)


def _leave(store: PreviewStore, name: str, content: bytes) -> None:
    """Write a draft as a worker does."""
    draft = store.open_draft(name)
    assert draft is not None
    os.write(draft, content)
    os.close(draft)


def test_a_preview_is_found_by_its_cutout(store: PreviewStore, tmp_path: Path) -> None:
    """By the cutout's SHA-256 only, also in another process; the draft is gone."""
    _leave(store, "7-a", PREVIEW.packed())
    assert find(tmp_path, SHA256) is None
    assert store.keep("7-a", SHA256) is False
    assert (find(tmp_path, SHA256), find(tmp_path, "cd" * 32)) == (PREVIEW, None)
    assert [*(tmp_path / "page-previews.new").iterdir()] == []
    assert (tmp_path / "page-previews").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"[]\n",
        b"{}\n" + PREVIEW.packed(),
        b"[" * 90 + b"\n",
        b"[1,1,0,true,1,1]\n",
        b"[1e3,1,0,1,1,1]\nabc",
        PREVIEW.packed() + b"x",
        PREVIEW.packed()[:-1],
        PREVIEW.packed().replace(b"4240", b"0000"),
        PREVIEW.packed().replace(b"4240", b"-424"),
        PREVIEW.packed().replace(b", 2, ", b",99, "),
        PREVIEW.packed().replace(b"RIFF", b"<svg"),
        PREVIEW.packed().replace(b"\xff\xd8\xff", b"GIF"),
        PREVIEW.packed().replace(b"\x89PNG", b"GIF8"),
        CutoutPreview(
            width=1,
            height=1,
            level=0,
            small=PREVIEW.small,
            colours=PREVIEW.colours + bytes(3 << 20),
            alpha=b"",
        ).packed(),
    ],
)
def test_an_invalid_preview_is_not_kept(store: PreviewStore, tmp_path: Path, content: bytes) -> None:
    """A worker decodes hostile pictures, so its output is not trusted."""
    _leave(store, "7-a", content)
    assert store.keep("7-a", SHA256) is False
    assert find(tmp_path, SHA256) is None
    assert [*(tmp_path / "page-previews.new").iterdir()] == []


def test_a_worker_that_keeps_its_draft_open_is_detected(store: PreviewStore) -> None:
    """What it writes later goes to a file without a name."""
    draft = store.open_draft("7-a")
    assert draft is not None
    os.write(draft, PREVIEW.packed())
    assert store.keep("7-a", SHA256) is True
    os.close(draft)


def test_drafts_of_jobs_that_came_to_another_end_do_not_pile_up(store: PreviewStore, tmp_path: Path) -> None:
    """Dropped drafts are removed at once, others beyond a number, and a dead run's at the start."""
    drafts = tmp_path / "page-previews.new"
    for number in range(cutout_previews.MAX_DRAFTS + 20):
        _leave(store, f"{number}-a", b"")
    assert len([*drafts.iterdir()]) == cutout_previews.MAX_DRAFTS
    store.drop("100-a")
    assert not (drafts / "100-a").exists()
    assert store.keep("never", SHA256) is False
    PreviewStore(tmp_path, min_free_mb=0)
    assert not drafts.exists()


def test_nothing_is_kept_on_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    """Cutting needs the space more."""
    store = PreviewStore(tmp_path, min_free_mb=1 << 40)
    _leave(store, "7-a", PREVIEW.packed())
    store.keep("7-a", SHA256)
    assert find(tmp_path, SHA256) is None


def test_nothing_stays_where_the_page_is_switched_off(store: PreviewStore, tmp_path: Path) -> None:
    """Without the page no previews of cutouts are kept."""
    _leave(store, "7-a", PREVIEW.packed())
    store.keep("7-a", SHA256)
    cutout_previews.clear(tmp_path)
    assert [*tmp_path.iterdir()] == []
