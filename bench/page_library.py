"""A generated library for the page: a long journal, and real pictures for the cutouts that are shown first.

No picture is cut: a few drawn ones have many names, as links. It starts no process and measures nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from PIL import Image

from bench.page_journal import FOLDERS, build
from cutoutd.exchange.cutout_previews import PreviewStore
from cutoutd.journal.store import FILE_NAME
from cutoutd.pipeline.preview import ReducedRendition

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cutoutd.exchange.cutout_previews import CutoutPreview

DIFFERENT: Final = 6
"""Number of pictures that are drawn; the others are the same ones under other names."""

IN_INBOX: Final = 60
"""Number of the newest cutouts that have files as well: the inbox shows 48."""

STRIP: Final = 64
"""Rows that go by at a time."""

_WORST_FIRST: Final = """\
SELECT job.id, job.folder, CAST(job.path AS TEXT), job.detail FROM job JOIN output USING (folder, path)
WHERE json_extract(job.detail, '$.reasons') IS NOT NULL AND (output.review OR json_extract(job.detail, '$.doubtful'))
ORDER BY json_extract(job.detail, '$.score'), job.id LIMIT :limit"""
_NEWEST: Final = """\
SELECT id, folder, CAST(path AS TEXT), detail FROM job
WHERE state IN ('done', 'review') AND sha256 NOT IN (SELECT value FROM json_each(:shown)) ORDER BY id DESC LIMIT :limit"""
_NEWEST_PLAIN: Final = """\
SELECT id, folder, CAST(path AS TEXT), detail FROM job
WHERE state = 'done' AND NOT coalesce(json_extract(detail, '$.doubtful'), 0) ORDER BY id DESC LIMIT 1"""
_SHOW: Final = "UPDATE job SET sha256 = :source, detail = :detail WHERE id = :id"
_NAME: Final = "UPDATE output SET target = :target, sha256 = :cutout WHERE folder = :folder AND path = :path"


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnPicture:
    """A photo and its cutout.

    Attributes:
        source: a JPEG.
        cutout: a PNG with alpha.
        preview: of the cutout, as the worker leaves it that makes one.
        size: width and height, pixels.
    """

    source: bytes
    cutout: bytes
    preview: CutoutPreview
    size: tuple[int, int]


def draw(width: int, height: int, seed: int) -> DrawnPicture:
    """A soft-edged subject of many colours, with as much detail as a photo has."""
    chance = np.random.default_rng(seed)
    large = chance.integers(0, 256, (height // 64 + 2, width // 64 + 2, 3), np.uint8)
    rgb = cv2.resize(large, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    rgb += chance.integers(-6, 7, (height, width, 1), np.int16)
    rgb = np.clip(rgb, 0, 255).astype(np.uint8)
    small = np.zeros((height // 4, width // 4), np.uint8)
    cv2.ellipse(small, (width // 8, height // 8), (width // 12, height // 10), 20 * seed, 0, 360, 255, -1)
    alpha = np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), 2), (width, height)), np.uint8)
    source, cutout = io.BytesIO(), io.BytesIO()
    Image.fromarray(rgb).save(source, "JPEG", quality=90)
    rgb[alpha == 0] = 0
    pixels = np.asarray(np.dstack((rgb, alpha)), np.uint8)
    Image.fromarray(pixels).save(cutout, "PNG", compress_level=1)
    return DrawnPicture(
        source=source.getvalue(), cutout=cutout.getvalue(), preview=_preview(pixels), size=(width, height)
    )


def _preview(pixels: NDArray[np.uint8]) -> CutoutPreview:
    height, width = pixels.shape[:2]
    reduced = ReducedRendition((width, height))
    deque(reduced.watched(pixels[top : top + STRIP] for top in range(0, height, STRIP)), maxlen=0)
    return reduced.preview(None)


def make(root: Path, jobs: int, *, real: int, size: tuple[int, int] = (4240, 2832)) -> Path:
    """Make a home for `cutoutd page`.

    Args:
        root: an empty directory.
        jobs: number of jobs in the journal.
        real: number of pictures in review, the worst first, that have files.
        size: size of each, pixels.

    Returns:
        The configuration.
    """
    state = root / "state"
    state.mkdir(mode=0o700)
    build(state / FILE_NAME, jobs)
    text = f'[service]\nstate_dir = "{state}"\nmin_free_disk_mb = 1\n'
    for name in FOLDERS:
        for kind in ("in", "out"):
            (root / f"{name}-{kind}").mkdir()
        text += f'[[folder]]\nname = "{name}"\ninput = "{root / name}-in"\noutput = "{root / name}-out"\n'
    give_pictures(root, [draw(*size, seed) for seed in range(DIFFERENT)], real)
    config = root / "cutoutd.toml"
    config.write_text(text, encoding="utf-8")
    config.chmod(0o600)
    return config


def give_pictures(root: Path, drawn: Sequence[DrawnPicture], count: int) -> None:
    """Make the worst cutouts, and the newest ones, show these pictures in turn."""
    files = [_Files(root, number, one) for number, one in enumerate(drawn)]
    with closing(sqlite3.connect(root / "state" / FILE_NAME)) as journal, journal:
        for number, row in enumerate(journal.execute(_WORST_FIRST, {"limit": count}).fetchall()):
            _show(journal, root, files[number % len(files)], row)
        shown = json.dumps([one.source for one in files])
        newest = journal.execute(_NEWEST, {"limit": IN_INBOX, "shown": shown}).fetchall()
        for number, row in enumerate(newest):
            _show(journal, root, files[number % len(files)], row)


def _show(journal: sqlite3.Connection, root: Path, shown: _Files, row: tuple[int, str, str, str]) -> None:
    job, folder, path, detail = row
    target = f"{path}.png"
    shown.link(root / f"{folder}-in" / path, root / f"{folder}-out" / target)
    journal.execute(_SHOW, {"source": shown.source, "detail": shown.told(detail), "id": job})
    named = {"target": target.encode(), "cutout": shown.cutout, "folder": folder, "path": path.encode()}
    journal.execute(_NAME, named)


def add_large(root: Path, size: tuple[int, int]) -> int:
    """Make the newest published cutout show a large picture. Returns its job."""
    with closing(sqlite3.connect(root / "state" / FILE_NAME)) as journal, journal:
        job, folder, path, detail = journal.execute(_NEWEST_PLAIN).fetchone()
        shown = _Files(root, DIFFERENT, draw(*size, DIFFERENT))
        _show(journal, root, shown, (job, folder, path, detail))
    return int(job)


class _Files:
    """The files of a drawn picture."""

    def __init__(self, root: Path, number: int, drawn: DrawnPicture) -> None:
        self._paths = root / f"drawn-{number}.jpg", root / f"drawn-{number}.png"
        for path, content in zip(self._paths, (drawn.source, drawn.cutout), strict=True):
            path.write_bytes(content)
        self.source, self.cutout = (hashlib.sha256(one).hexdigest() for one in (drawn.source, drawn.cutout))
        self._size = drawn.size
        store, name = PreviewStore(root / "state", min_free_mb=0), f"drawn-{number}"
        draft = store.open_draft(name)
        assert draft is not None  # noqa: S101 -- the disk has room
        with os.fdopen(draft, "wb") as file:
            file.write(drawn.preview.packed())
        store.keep(name, self.cutout)

    def link(self, *names: Path) -> None:
        """Give source and cutout further names."""
        for path, name in zip(self._paths, names, strict=True):
            name.parent.mkdir(parents=True, exist_ok=True)
            name.unlink(missing_ok=True)
            os.link(path, name)

    def told(self, detail: str) -> str:
        """Return a job's detail with the size of this picture."""
        said: dict[str, Any] = json.loads(detail)
        return json.dumps(said | dict(zip(("width", "height"), self._size, strict=True)))
