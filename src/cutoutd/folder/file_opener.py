"""Opens the files of a folder's tasks for the workers, closes them, and removes staging directories, in a thread of its own.

Any call on a share may hang, so the main loop makes none. The folder's delivery thread may wait for calls of its own, which must
not delay the next picture. This module assigns no task to a worker, and publishes nothing.
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
    from cutoutd.exchange.cutout_previews import PreviewStore
    from cutoutd.fs.tree import Boundary
    from cutoutd.jobs import Failure, Task
    from cutoutd.protocols import Files
    from cutoutd.publish.staging import Staging


class Opener:
    """Opens the files of one folder's tasks.

    Args:
        folder: name of the folder.
        root: path of its input.
        staging: staging directory in which the jobs' directories are made.
        clock: clock for monotonic times.
        wake: called when the thread has died.
        boundary: returns what inside the input does not belong to the folder.
        originals: the directory that originals are moved to; None: they are not moved.
        previews: store for previews of the results; None: no previews are made.
        mattes: state directory in which the page keeps coarse mattes; None: it keeps none.

    Attributes:
        busy_since_s: when the current action began, in monotonic seconds; None: there is none.
        progressed_s: when an action last began or ended, in monotonic seconds.
        thread: its thread; after a death it continues with the next action.
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
        previews: PreviewStore | None = None,
        mattes: Path | None = None,
    ) -> None:
        self._root = root
        self._staging = staging
        self._clock = clock
        self._boundary = boundary
        self._originals = originals
        self._previews = previews
        self._mattes = mattes
        self._log = get(folder=folder)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.busy_since_s: float | None = None
        self.progressed_s = 0.0
        self._lock = threading.Lock()
        self._is_over = False  # it was told to stop, and its queue is not read any more
        self.thread = SupervisedThread(f"open {folder}", self._run, wake)

    def stop(self) -> None:
        """End the thread once the queued actions are done."""
        self._work.put(None)

    def open(
        self, task: Task, tell: Callable[[Files | Failure | None], None], is_wanted: Callable[[], bool]
    ) -> None:
        """Queue the opening of a task's files; from any thread.

        Args:
            task: the task.
            tell: receives the files, or the failure, in the opener's thread; None: they are not wanted any more.
            is_wanted: whether they are still wanted; called in the opener's thread when their turn comes.
        """
        self._work.put(partial(self._open, task, tell, is_wanted))

    def close(self, files: Files) -> None:
        """Queue the closing of opened files; from any thread."""
        self._give(partial(channel.close, files.descriptors))

    def discard(self, task: Task) -> None:
        """Queue the removal of a task's directory with its contents, and of its preview's draft; from any thread."""
        self._give(partial(self._discard, task))

    def _discard(self, task: Task) -> None:
        directory = self._directory(task)
        directory.remove_whole()
        if self._previews is not None:
            self._previews.drop(directory.directory.name)

    def _give(self, action: Callable[[], None]) -> None:
        """Queue an action; after the end, run it in a thread of its own, so that files of a removed folder are closed too."""
        with self._lock:
            if not self._is_over:
                self._work.put(action)
                return
        # Not in this thread: any call on a share may hang.
        threading.Thread(target=action, name="late", daemon=True).start()

    def _open(
        self, task: Task, tell: Callable[[Files | Failure | None], None], is_wanted: Callable[[], bool]
    ) -> None:
        if not is_wanted():
            tell(None)
            return
        try:
            opened: Files | Failure = open_files(
                task,
                self._root,
                self._directory(task),
                self._boundary(),
                originals=self._originals,
                previews=self._previews,
                mattes=self._mattes,
            )
        except CutoutdError as error:
            opened = failure_of(error)
        except Exception as error:  # noqa: BLE001 -- the job needs an answer in any case
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
        """Return the next action that was queued after the end; None, for ever, once there is none."""
        with self._lock:
            while not self._work.empty():
                if (action := self._work.get()) is not None:
                    return action
            self._is_over = True
            return None

    def _do(self, action: Callable[[], None]) -> None:
        self.busy_since_s = self.progressed_s = self._clock.monotonic_s()
        action()
        self.progressed_s = self._clock.monotonic_s()
        self.busy_since_s = None
