"""Opens the files of a folder's tasks for their workers, and closes and removes them again, in a thread of its own.

Any call on a share may hang, so the main loop makes none; and a folder's delivery has its own calls to wait for, which must
not hold the next picture up. It gives no task to a worker, and gives nothing a name.
"""

from __future__ import annotations

import queue
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.errors import CutoutdError
from cutoutd.failure import failure_of
from cutoutd.faults.isolation import report, unforeseen
from cutoutd.faults.supervised_thread import SupervisedThread
from cutoutd.logs import get
from cutoutd.pool.task_files import open_files
from cutoutd.process import channel

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock
    from cutoutd.fs.tree import Boundary
    from cutoutd.jobs import Failure, Task
    from cutoutd.protocols import Files
    from cutoutd.publish.staging import Staging


class Opener:
    """The files of one folder's tasks.

    Args:
        folder: its name.
        root: its input.
        staging: where the directories of its jobs are made.
        clock: its monotonic side.
        wake: called when the thread has died.
        boundary: gives what inside the input belongs to somebody else.
        originals: the folder that originals are moved to; None: they are not.

    Attributes:
        busy_since_s: when what is under way was begun, in monotonic seconds; None: nothing is.
        went_on_s: when it last began or ended something, in monotonic seconds.
        thread: in which it works; after a death it goes on without what was under way.
    """

    def __init__(
        self,
        folder: str,
        *,
        root: Path,
        staging: Staging,
        clock: Clock,
        wake: Callable[[], None],
        boundary: Callable[[], Boundary | None] = lambda: None,
        originals: Path | None = None,
    ) -> None:
        self._root = root
        self._staging = staging
        self._clock = clock
        self._boundary = boundary
        self._originals = originals
        self._log = get(folder=folder)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.busy_since_s: float | None = None
        self.went_on_s = 0.0
        self._lock = threading.Lock()
        self._is_over = False  # it was told to end, and nobody reads the queue any more
        self.thread = SupervisedThread(f"open {folder}", self._run, wake)

    def stop(self) -> None:
        """End once what was given is done."""
        self._work.put(None)

    def open(
        self, task: Task, tell: Callable[[Files | Failure | None], None], is_wanted: Callable[[], bool]
    ) -> None:
        """Open what a task takes; soon, from any thread.

        Args:
            task: the task.
            tell: is given the files, or why there are none, from the opener's thread; None: they were not wanted any more.
            is_wanted: whether they still are, asked when its turn comes, from that thread.
        """
        self._work.put(partial(self._open, task, tell, is_wanted))

    def close(self, files: Files) -> None:
        """Close what was opened; soon, from any thread."""
        self._give(partial(channel.close, files.descriptors))

    def discard(self, task: Task) -> None:
        """Remove the directory of a task, and all that is in it; soon, from any thread."""
        self._give(self._directory(task).remove_whole)

    def _give(self, action: Callable[[], None]) -> None:
        """Have something done, also after the end: what was opened for a folder that is leaving is closed as well."""
        with self._lock:
            if not self._is_over:
                self._work.put(action)
                return
        # Not here: any call on a share may hang.
        threading.Thread(target=action, name="late", daemon=True).start()

    def _open(
        self, task: Task, tell: Callable[[Files | Failure | None], None], is_wanted: Callable[[], bool]
    ) -> None:
        if not is_wanted():
            tell(None)
            return
        try:
            opened: Files | Failure = open_files(
                task, self._root, self._directory(task), self._boundary(), originals=self._originals
            )
        except CutoutdError as error:
            opened = failure_of(error)
        except Exception as error:  # noqa: BLE001 -- its job waits for an answer in any case
            report(self._log, error, over="a job", job=task.job, path=task.source)
            opened = failure_of(unforeseen(error))
        tell(opened)

    def _directory(self, task: Task) -> Staging:
        return self._staging.of_job(Path(task.staging).name)

    def _run(self) -> None:
        self.busy_since_s, self._is_over = None, False
        while (action := self._work.get()) is not None:
            self._do(action)
        while (action := self._left_over()) is not None:
            self._do(action)

    def _left_over(self) -> Callable[[], None] | None:
        """What was given after it was told to end, one after the other; after that, nothing more is waited for."""
        with self._lock:
            while not self._work.empty():
                if (action := self._work.get()) is not None:
                    return action
            self._is_over = True
            return None

    def _do(self, action: Callable[[], None]) -> None:
        self.busy_since_s = self.went_on_s = self._clock.monotonic_s()
        action()
        self.went_on_s = self._clock.monotonic_s()
        self.busy_since_s = None
