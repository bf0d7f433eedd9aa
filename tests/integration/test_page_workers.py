"""The processes that render previews, where threads are short or one of them does not let go."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cutoutd.page.backend import workers
from cutoutd.page.backend.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS = """
from cutoutd.pool import request_worker
def work(setup, requests):
    return lambda: request_worker.answer_all(requests, lambda document, files: ({"ok": 1}, b""))
request_worker.serve(work)
"""


@pytest.fixture
def starter() -> Iterator[ThreadPoolExecutor]:
    """The thread that starts processes."""
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def worker(starter: ThreadPoolExecutor) -> Iterator[Worker]:
    """A worker whose process answers everything, for one test."""
    setup = {"memory_mb": 4096, "required": False}
    made = Worker((sys.executable, "-P", "-c", ANSWERS), lambda: setup, starter)
    yield made
    made.close()


def test_a_worker_that_does_not_come_free_does_not_keep_others_from_being_closed(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that is being started on a busy machine."""
    monkeypatch.setattr(workers, "_CLOSE_S", 0.05)
    with worker.turn(1):
        worker.close()


def test_a_worker_is_given_back_where_there_is_no_thread_that_would_end_it(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every later preview was refused, since it was in use for good."""

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with worker.turn(1):
        assert worker.ask({}, 30) == ({"ok": 1}, b"")
        monkeypatch.setattr(threading.Thread, "start", no_more)
    assert not worker.is_busy
    monkeypatch.undo()
    with worker.turn(1):
        assert worker.ask({}, 30) == ({"ok": 1}, b"")
