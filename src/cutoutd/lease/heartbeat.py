"""The heartbeat of this machine's lease on one folder: renews it while the folder is worked on, and releases it at the end.

Each folder has a thread of its own: a scan of a large share takes longer than other machines wait, and any call on a share may
hang. This module must not begin a lease; the folder's monitor does, when it finds the folder healthy.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cutoutd.errors import CutoutdError
from cutoutd.faults.supervised_thread import SupervisedThread
from cutoutd.lease.policy import HEARTBEAT_S
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.lease.lease import Lease


class LeaseHeartbeat:
    """Renews the lease on one folder, and answers challenges.

    Args:
        folder: name of the folder.
        lease: the lease on it.
        lost: called, in this thread, when the lease could not be renewed.

    Attributes:
        thread: its thread.
    """

    def __init__(self, folder: str, lease: Lease, *, lost: Callable[[], object]) -> None:
        self._lease = lease
        self._lost = lost
        self._log = get(folder=folder)
        self._ended = threading.Event()
        self._release = False
        self.thread = SupervisedThread(f"keep {folder}", self._run, lost)

    def stop(self, *, release: bool) -> None:
        """End soon.

        Args:
            release: whether to release the lease, since nothing is published any more and another machine may begin.
        """
        self._release = release
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            try:
                kept = self._lease.renew()
            except (OSError, CutoutdError) as error:
                self._log.debug("owner.not-renewed", why=str(error))
                kept = False
            if not kept:
                self._lost()
        if self._release:
            try:
                self._lease.release()
            except (OSError, CutoutdError) as error:
                self._log.warning("owner.not-released", why=str(error))
