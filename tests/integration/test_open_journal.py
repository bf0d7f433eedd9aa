"""The journal as the threads of a backend have it open."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cutoutd.journal.store import FILE_NAME, JournalDamagedError, make
from cutoutd.webserver.backend.open_journal import OpenJournal

if TYPE_CHECKING:
    from pathlib import Path


def test_a_picture_does_not_wait_for_a_long_list(tmp_path: Path) -> None:
    """They were read through one connection, so that a tile came a second later while a list of 100,000 was on its way."""
    make(tmp_path / FILE_NAME)
    opened = OpenJournal(tmp_path)
    long_list = opened.open()
    assert long_list is not None

    def version() -> int | None:
        store = opened.open()
        return None if store is None else store.data_version()

    with ThreadPoolExecutor(1) as thread, long_list.lock:
        assert thread.submit(version).result(timeout=60.0) is not None


def test_a_thread_keeps_its_connection_until_there_is_another_journal(tmp_path: Path) -> None:
    """A removed one is damage for every thread, also for one that comes only then."""
    opened = OpenJournal(tmp_path)
    assert opened.open() is None
    make(tmp_path / FILE_NAME)
    first = opened.open()
    assert opened.open() is first
    make(tmp_path / FILE_NAME)
    assert opened.open() not in (None, first)
    (tmp_path / FILE_NAME).unlink()
    with ThreadPoolExecutor(1) as thread, pytest.raises(JournalDamagedError):
        thread.submit(opened.open).result()
