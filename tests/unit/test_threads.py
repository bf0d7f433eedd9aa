"""Threads of a folder that die and are restarted."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from cutoutd.faults.backoff import LONGEST_PAUSE_S
from cutoutd.faults.supervised_thread import SupervisedThread, ThreadSupervisor

if TYPE_CHECKING:
    from collections.abc import Callable


def no_more(_: threading.Thread) -> None:
    """Raise what Python raises where the system has no more threads."""
    raise RuntimeError("can't start new thread")


def dead() -> tuple[SupervisedThread, Callable[[], bool]]:
    """Return a thread that has died, and a function that waits until its body has run again."""
    lives = threading.Event()

    def body() -> None:
        if lives.is_set():
            again.set()
            return
        lives.set()
        raise ZeroDivisionError

    again = threading.Event()
    thread = SupervisedThread("t", body, lambda: None)
    thread.start()
    thread.join(20)
    return thread, lambda: again.wait(20)


def test_a_thread_that_could_not_be_started_again_is_dead_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would never be tried a second time."""
    thread, _ = dead()
    monkeypatch.setattr(threading.Thread, "start", no_more)
    with pytest.raises(RuntimeError, match="new thread"):
        thread.start()
    assert isinstance(thread.failure, ZeroDivisionError)
    assert thread.has_ended


def test_a_part_is_started_once_the_system_has_threads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its folder would stand by for ever."""
    thread, was_run_again = dead()
    supervisor = ThreadSupervisor("f", {"monitor": thread})
    assert not supervisor.check(0.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        assert not supervisor.check(LONGEST_PAUSE_S)
        assert supervisor.why
    assert supervisor.check(3 * LONGEST_PAUSE_S)
    assert not supervisor.why
    assert was_run_again()
