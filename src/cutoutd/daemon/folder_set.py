"""The hot folders of a run, which may change with the configuration.

A folder that is removed, or whose settings change, *leaves*: nothing more of it is started, pictures in work are finished under
the settings they were started with, and its threads end. Only then is a folder of the same name started, so that there are
never two on one directory, however long a share blocks a thread. Main thread only; this module must not touch a folder itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.clock import Clock
from cutoutd.daemon.reload import Refusal, change_between
from cutoutd.errors import UsageError
from cutoutd.faults.isolation import Guard
from cutoutd.folder.status import FolderStatus, standing_by
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from cutoutd.daemon.heartbeat import Heartbeat
    from cutoutd.daemon.reload import Change, Reloader
    from cutoutd.folder.hot_folder import HotFolder
    from cutoutd.jobs import Job
    from cutoutd.journal.commands import ReviewDecision
    from cutoutd.journal.journal import Journal
    from cutoutd.settings.schema import Folder


_LEAVING: Final = FolderStatus(why="pictures in work under the earlier settings are finished first")
_FAILED: Final = FolderStatus().closed(
    standing_by("it cannot be started, for the reason that the log gives. It is tried again")
)


class FolderSet:
    """The hot folders.

    Args:
        journal: the journal, which knows what is to be repaired, and parks the jobs of missing folders.
        make: puts a hot folder together; raises StorageError if the journal refuses, and is then called again.
        dead: ids of the ended sessions, whose staged files may be removed.
        reloader: reads the configuration again; None: reloads are not possible.
        clock: clock for pauses after errors; the machine's by default.
        configured: called with the configured folders, before any of them is started.

    Attributes:
        active: the folders whose jobs may be started, by name.
    """

    def __init__(
        self,
        journal: Journal,
        make: Callable[[Folder], HotFolder],
        *,
        dead: frozenset[str] = frozenset(),
        reloader: Reloader | None = None,
        clock: Clock | None = None,
        configured: Callable[[Iterable[Folder]], None] = lambda _: None,
    ) -> None:
        self._journal = journal
        self._make = make
        self._dead = dead
        self._reloader = reloader
        self._configured = configured
        self._log = get()
        self._has_begun = False
        self._guard = Guard(self._log, clock or Clock())
        self.active: dict[str, HotFolder] = {}
        self._pending: dict[str, Folder] = {}
        self._leaving: list[HotFolder] = []
        self._stopped: set[HotFolder] = set()
        # Folders that were not looked at yet, and that are not identified yet; with the jobs that were publishing at
        # their start.
        self._unseen: dict[HotFolder, list[Job]] = {}
        self._unknown: dict[HotFolder, list[Job]] = {}
        self._displaced: set[HotFolder] = set()  # with displaced results of earlier sessions

    @classmethod
    def of(cls, journal: Journal, folders: Mapping[str, HotFolder]) -> FolderSet:
        """Return a set of folders that are put together and started elsewhere, and do not change."""
        folder_set = cls(journal, _refuse_folder)
        folder_set.active.update(folders)
        return folder_set

    @property
    def all_folders(self) -> list[HotFolder]:
        """All folders, including those that are leaving."""
        return [*self.active.values(), *self._leaving]

    @property
    def is_settled(self) -> bool:
        """Whether no folder is about to start or to leave, except those that fail to start."""
        is_due = any(folder.knows_its_pictures for folder in self._displaced)
        return not (self._pending.keys() - self._failed or self._leaving or self._unseen or is_due)

    @property
    def _failed(self) -> set[str]:
        return {name for name in self._pending if self._guard.has_failed(f"the folder {name}")}

    def has(self, name: str) -> bool:
        """Whether the configuration has a folder of this name, started or not."""
        return name in self.active or name in self._pending

    def statuses(self) -> dict[str, FolderStatus]:
        """Return the status of each configured folder."""
        failed = self._failed
        return {name: _FAILED if name in failed else _LEAVING for name in self._pending} | {
            name: folder.effective_status for name, folder in self.active.items()
        }

    def change(self, wanted: Iterable[Folder]) -> tuple[list[str], list[str], list[str]]:
        """Set the configured folders; if the journal refuses, nothing changes.

        Args:
            wanted: the whole list, validated.

        Returns:
            The names of the added, changed and removed folders.

        Raises:
            StorageError: the journal refuses; nothing has changed, to be called again.
        """
        by_name = {folder.name: folder for folder in wanted}
        known = {name: folder.folder for name, folder in self.active.items()} | self._pending
        self._journal.queue.park(set(by_name))  # the one step that can fail comes first
        self._configured(by_name.values())
        for name, folder in list(self.active.items()):
            if by_name.get(name) != folder.folder:
                del self.active[name]
                self._leaving.append(folder)
                folder.stop_monitor()
        self._pending = {name: folder for name, folder in by_name.items() if name not in self.active}
        for folder in self._leaving:
            self._unseen.pop(folder, None)
            self._unknown.pop(folder, None)
            self._displaced.discard(folder)
        return (
            [name for name in by_name if name not in known],
            [name for name, folder in by_name.items() if known.get(name, folder) != folder],
            [name for name in known if name not in by_name],
        )

    def request_reload(self) -> int | None:
        """Request a reload; returns its number, as `Reloader.request` does, or None if this run has no reloads."""
        return None if self._reloader is None else self._reloader.request()

    def reloaded(self, request: int) -> str | None:
        """Return the result of a requested reload: why it was refused, or empty; None: it is not over."""
        if self._reloader is None or self._reloader.finished < request:
            return None
        return self._reloader.refused

    @property
    def refused_configuration(self) -> str:
        """Why the configuration as last read is not in force; empty: it is."""
        return "" if self._reloader is None else self._reloader.refused

    def reconfigure(self, heartbeat: Heartbeat, *, may_begin: bool = True) -> Change | None:
        """Take over a new configuration as a whole, if one was requested and is valid.

        Args:
            heartbeat: notified of the reload.
            may_begin: whether reading may begin now; a request is kept until then.

        Returns:
            What has changed; None: nothing.

        Raises:
            StorageError: the journal refuses; to be called again.
        """
        if self._reloader is None:
            return None
        if may_begin and self._reloader.begin():
            heartbeat.reloading()
        new, change = self._reloader.answer(), None
        if new is None:
            return None
        if isinstance(new, Refusal):
            self._log.error("reload.refused", why=new.why)
            heartbeat.notice(f"the new configuration is refused, and the old one stays in force: {new.why}")
            self._reloader.drop(refused=new.why)
        elif new == self._reloader.settings:
            self._log.info("reload.unchanged")
            heartbeat.notice("")
            self._reloader.drop()
        else:
            change = change_between(self._reloader.settings, new)
            added, changed, removed = self.change(new.folder)
            self._reloader.adopt(new)
            self._log.info("reload.done", added=added, changed=changed, removed=removed)
            heartbeat.notice("")
        heartbeat.reloaded()
        return change

    def reconcile(self, in_work: Collection[HotFolder]) -> None:
        """Remove leaving folders that have finished, and start waiting folders whose place is free.

        Args:
            in_work: folders whose pictures workers have.

        Raises:
            StorageError: the journal refuses; to be called again.
        """
        for folder in list(self._leaving):
            if folder not in in_work and self._try_to_release(folder):
                # A picture may have been queued again meanwhile.
                self._journal.queue.park({*self.active, *self._pending})
                self._leaving.remove(folder)
                self._stopped.discard(folder)
        taken = {folder.folder.name for folder in self._leaving}
        # It may be the same folder under another name.
        places = {folder.folder.input for folder in self._leaving}
        free = [
            settings
            for name, settings in self._pending.items()
            if name not in taken and settings.input not in places
        ]
        if free:
            self._begin(free)
        # Nothing waits for a folder that was looked at and is not there, but what it left is taken up once it is.
        self._unknown |= {folder: jobs for folder, jobs in self._unseen.items() if folder.snapshot.looks}
        self._unseen = {folder: jobs for folder, jobs in self._unseen.items() if folder not in self._unknown}
        for folder in [folder for folder in self._unknown if folder.snapshot.is_identified]:
            self._guard.run(f"what {folder.folder.name} left", partial(self._take_up, folder), None)
        for folder in [folder for folder in self._displaced if folder.knows_its_pictures]:
            self._displaced.remove(folder)
            folder.delivery.expire_displaced()

    def watch_over(
        self,
        now_s: float,
        *,
        in_hand: Mapping[int, HotFolder],
        blocked_on_io: AbstractSet[int],
        left_behind: AbstractSet[int],
    ) -> bool:
        """Stand by where a share hangs, and go on where it responds again.

        Args:
            now_s: monotonic seconds.
            in_hand: the folders of the jobs that workers have, by job id.
            blocked_on_io: ids of jobs whose workers wait for a disk or share.
            left_behind: ids of jobs whose workers are stuck.

        Returns:
            Whether a folder distrusts its workers' reports, so that the workers are to be replaced.

        Raises:
            StorageError: the journal refuses; to be called again.
        """
        distrusts = False
        for folder in self.all_folders:
            own = {number for number, its_folder in in_hand.items() if its_folder is folder}
            folder.watch_over(now_s, blocked_on_io=blocked_on_io & own, left_behind=left_behind)
            distrusts = folder.delivery.distrusts_workers() or distrusts
            if folder.has_recovered():
                name = folder.folder.name
                self._journal.queue.queue_delayed(name)
                folder.delivery.retry_now()
                for job in self._journal.review_decisions.sidecars_behind(name):
                    folder.delivery.tell_sidecar(job)  # another machine had the folder
        return distrusts

    def _take_up(self, folder: HotFolder) -> None:
        """Finish what earlier sessions left; only once the folder was looked at, since another machine may work on it."""
        name = folder.folder.name
        pending = self._journal.queue.cleanup_pending(name)
        decided = self._journal.review_decisions.pending(name)
        behind = self._journal.review_decisions.sidecars_behind(name)
        # Read again: the folder may have had another name at its start.
        unfinished = [self._journal.queue.publishing(job.id) for job in self._unknown[folder]]
        # Only now: the journal may refuse any of these reads, and then all are repeated.
        del self._unknown[folder]
        for job in unfinished:
            if job is not None and job.folder == name:
                folder.delivery.repair(job)
        folder.delivery.sweep(self._dead)
        self._displaced.add(folder)
        for job in pending:
            folder.delivery.clean_up(job)
        for job in decided:
            folder.delivery.carry_out_decision(job)
        for job in behind:
            folder.delivery.tell_sidecar(job)

    def decide(self, number: int, decision: ReviewDecision) -> bool:
        """Write a decision about a job in review, and have it carried out, now or when its folder is there.

        Returns:
            Whether the job can be decided about.

        Raises:
            StorageError: the journal refuses; to be called again.
        """
        job = self._journal.review_decisions.decide(number, decision)
        if job is None:
            return False
        folder = self._taken_up(job)
        if folder is not None:
            folder.delivery.carry_out_decision(job)
        return True

    def tell_sidecar(self, job: Job) -> None:
        """Have the sidecar of a published job say whether it is doubtful, now or when its folder is there."""
        folder = self._taken_up(job)
        if folder is not None:
            folder.delivery.tell_sidecar(job)

    def _taken_up(self, job: Job) -> HotFolder | None:
        folder = self.active.get(job.folder)
        return None if folder is None or folder in {*self._unseen, *self._unknown} else folder

    def _begin(self, free: Iterable[Folder]) -> None:
        unfinished = self._journal.queue.recover()
        for settings in free:
            folder = self._guard.run(
                f"the folder {settings.name}",
                partial(self._start, settings),
                None,
                passes=() if self._has_begun else (UsageError,),
            )
            if folder is None:
                continue  # it stays waiting, and is tried again
            del self._pending[settings.name]
            self.active[settings.name] = folder
            self._unseen[folder] = unfinished
        self._has_begun = True

    def _start(self, settings: Folder) -> HotFolder:
        folder = self._make(settings)
        try:
            folder.start()
        except BaseException:
            folder.stop()  # its started threads are known nowhere else
            raise
        return folder

    def _try_to_release(self, folder: HotFolder) -> bool:
        if folder not in self._stopped and folder.delivery.is_idle:
            self._stopped.add(folder)
            # Another folder with the same output has its own staged results in the directory.
            shared = any(other.staging == folder.staging for other in self.all_folders if other is not folder)
            folder.stop_delivery(sweep=not shared, for_good=True)
        return folder in self._stopped and folder.is_released()


def _refuse_folder(folder: Folder) -> HotFolder:
    raise LookupError(f"{folder.name!r} is not among the folders of this run")
