"""A disk cache of bounded size whose entries are complete or absent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cutoutd.fs.disk_cache import DiskCache

if TYPE_CHECKING:
    from pathlib import Path


def _files(directory: Path) -> list[Path]:
    """Return the files of the cache, by name."""
    return sorted(directory.iterdir())


def test_an_entry_is_found_again_also_after_a_restart(tmp_path: Path) -> None:
    """Under its own key only."""
    cache = DiskCache(tmp_path / "cache")
    assert cache.get("a") is None
    cache.put("a", b"one")
    cache.put("b", b"")
    for each in (cache, DiskCache(tmp_path / "cache")):
        assert (each.get("a"), each.get("b"), each.get("c")) == (b"one", b"", None)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_the_oldest_files_are_evicted_and_those_that_were_read_are_recent(tmp_path: Path) -> None:
    """Also an earlier run's; together they never exceed the bound."""
    cache = DiskCache(tmp_path, max_bytes=4 * 108)
    for key in "abcd":
        cache.put(key, bytes(100))
    assert cache.get("a") is not None
    cache.put("e", bytes(100))
    assert [key for key in "abcde" if cache.get(key) is not None] == ["a", "c", "d", "e"]
    for number, path in enumerate(_files(tmp_path)):
        os.utime(path, (number, number))
    again = DiskCache(tmp_path, max_bytes=4 * 108)
    again.put("f", bytes(100))
    assert sum(path.stat().st_size for path in _files(tmp_path)) == 4 * 108
    assert again.get("f") is not None


def test_a_key_that_is_kept_again_counts_once(tmp_path: Path) -> None:
    """And the new content is found."""
    cache = DiskCache(tmp_path, max_bytes=300)
    for content in (b"x" * 100, b"y" * 100, b"z" * 100):
        cache.put("a", content)
    cache.put("b", bytes(100))
    assert (cache.get("a"), cache.get("b")) == (b"z" * 100, bytes(100))


def test_a_truncated_or_changed_file_counts_as_missing(tmp_path: Path) -> None:
    """As after a power cut; its space is freed."""
    cache = DiskCache(tmp_path)
    cache.put("a", b"picture")
    (path,) = _files(tmp_path)
    for torn in (b"", path.read_bytes()[:-1], path.read_bytes() + b"x"):
        cache.put("a", b"picture")
        path.write_bytes(torn)
        assert cache.get("a") is None
        assert not _files(tmp_path)


def test_drafts_of_a_crash_are_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    """Nothing is read through a link."""
    cache = DiskCache(tmp_path / "cache")
    cache.put("a", b"picture")
    (path,) = _files(tmp_path / "cache")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    draft = path.with_name(f".{path.name}.x.new")
    draft.touch()
    assert DiskCache(tmp_path / "cache").get("a") is None
    assert not draft.exists()


def test_a_full_disk_costs_no_picture(tmp_path: Path) -> None:
    """The entry is only computed again next time."""
    (tmp_path / "cache").touch()
    cache = DiskCache(tmp_path / "cache")
    cache.put("a", b"picture")
    assert cache.get("a") is None


def test_an_entry_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    """An entry of that size would evict all others."""
    cache = DiskCache(tmp_path)
    cache.put("a", bytes((4 << 20) + 1))
    assert not _files(tmp_path)


def test_nothing_is_kept_where_the_disk_is_nearly_full(tmp_path: Path) -> None:
    """Cutting needs the remaining space."""
    cache = DiskCache(tmp_path, free_bytes=1 << 62)
    cache.put("a", b"picture")
    assert cache.get("a") is None
    assert not _files(tmp_path)
