"""Checks the state directory: its owner, its file system, its journal, its ledger, and the daemon that uses it.

It only reads; the journal is opened as by `cutoutd status`.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import rfc3339
from cutoutd.daemon import status_file
from cutoutd.daemon.companion_watch import ADVICE, MISSED
from cutoutd.doctor.finding import Finding, note, ok, problem
from cutoutd.errors import CutoutdError
from cutoutd.exchange.cluster_spool import ClusterPaths, gateway_status
from cutoutd.exchange.spool import SpoolPaths, uploader_status
from cutoutd.exchange.upload_records import LEDGER, traces
from cutoutd.intake import filesystems
from cutoutd.journal.folders import Folders
from cutoutd.journal.reader import Reader
from cutoutd.journal.rebuild import rebuilt
from cutoutd.journal.state import check_state, running, unreachable
from cutoutd.journal.store import FILE_NAME, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.journal.folders import FolderMemory
    from cutoutd.settings.schema import Settings

_MIB: Final = 1 << 20
_OTHERS: Final = 0o077


@dataclass(kw_only=True, slots=True)
class State:
    """What was found in the state directory.

    Attributes:
        findings: findings about it.
        live: last status of the running daemon; empty without one.
        remembered: folders in the journal, by name.
        mounts: the mounts that the folders' places were on, by name and path.
        newest_us: latest time in the journal, UTC microseconds.
    """

    findings: list[Finding] = field(default_factory=list)
    live: Mapping[str, Any] = field(default_factory=dict)
    remembered: dict[str, FolderMemory] = field(default_factory=dict)
    mounts: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    newest_us: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running daemon."""
        return self.live.get("pid")


def collect(directory: Path, names: Sequence[str], *, min_free_mb: int, clock: Clock) -> State:
    """Examine a state directory.

    Args:
        directory: the state directory of the configuration.
        names: names of the folders.
        min_free_mb: free space, in MiB, below which no new file is taken.
        clock: the system clock.
    """
    state = State()
    try:
        if not os.path.lexists(directory):
            check_state(directory)
            seen = (
                f"the state directory {directory} is not there yet: no daemon has run with this configuration"
            )
            state.findings.append(note("state", seen, "It is made by the first `cutoutd run`."))
            return state
        check_state(directory)
        state.findings += _place(directory, min_free_mb)
        run = running(directory)
    except PermissionError:
        error = unreachable(directory)
        state.findings.append(problem("state", f"{directory}: {error.cause}", error.advice))
        return state
    except CutoutdError as error:
        state.findings.append(problem("state", f"{error.path or directory}: {error.cause}", error.advice))
        return state
    except OSError as error:
        state.findings.append(
            problem("state", f"{directory}: {error.strerror}", "Check the disk it lies on.")
        )
        return state
    live = status_file.read(directory)
    state.live = live if run is not None and live.get("run") == run else {}
    state.findings.append(_daemon(state.live, running_now=run is not None))
    for name in state.live.get("ended_companions") or ():
        state.findings.append(problem("running", MISSED.get(name, f"{name} has ended"), ADVICE))
    _open_journal(directory, state, names, clock)
    return state


def _place(directory: Path, min_free_mb: int) -> list[Finding]:
    findings = [ok("state", f"the state directory {directory} is there and belongs to you")]
    if directory.stat().st_mode & _OTHERS:
        findings.append(
            note(
                "state",
                f"other users may look into {directory}, where the names of all pictures are",
                f"The next start closes it to them; `chmod 700 {directory}` does so now.",
            )
        )
    mode = filesystems.watch_mode(os.fspath(directory))
    if mode.fstype == filesystems.UNKNOWN:
        findings.append(
            note(
                "state",
                "the file system that the journal lies on is not known",
                "If it is a network share, set [service] state_dir to a directory on a disk of this machine.",
            )
        )
    elif mode.network:
        findings.append(
            problem(
                "state",
                f"the journal lies on {mode.fstype}, where locks and syncs cannot be relied on",
                "Set [service] state_dir to a directory on a disk of this machine.",
            )
        )
    free_mb = shutil.disk_usage(directory).free // _MIB
    if free_mb < min_free_mb:
        findings.append(
            problem(
                "disk",
                f"{free_mb} MiB are free where the journal lies, less than min_free_disk_mb = {min_free_mb}",
                "Nothing new is taken. Free some space; work goes on by itself.",
            )
        )
    return findings


def _daemon(live: Mapping[str, Any], *, running_now: bool) -> Finding:
    if not running_now:
        return note(
            "running",
            "no daemon runs with this configuration",
            "`cutoutd run` starts one here; `cutoutd service install` starts one now and after every login.",
        )
    if not live:
        return note("running", "a daemon is starting, or ends just now", "Ask again in a moment.")
    paused = " It is paused: `cutoutd resume` continues." if live.get("paused") else ""
    return ok(
        "running", f"the daemon runs (process {live.get('pid')}, {live.get('workers')} workers).{paused}"
    )


def _open_journal(directory: Path, state: State, names: Sequence[str], clock: Clock) -> None:
    path = directory / FILE_NAME
    if not path.exists():
        state.findings.append(note("journal", "there is no journal yet"))
        return
    try:
        with closing(Store(path)) as store:
            memory = Folders(store, clock)
            for name in names:
                if (known := memory.recall(name)) is not None:
                    state.remembered[name] = known
                state.mounts[name] = memory.mounts(name)
            state.newest_us = Reader(store).newest_us()
            was = rebuilt(store)
            count = sum(sum(states.values()) for states in Reader(store).counts().values())
    except CutoutdError as error:
        state.findings.append(problem("journal", error.cause, error.advice))
        return
    size = path.stat().st_size / 1e6
    state.findings.append(
        ok("journal", f"the journal knows {count} picture{'s' * (count != 1)} ({size:.1f} MB)")
    )
    if was is not None:
        state.findings.append(
            note(
                "journal",
                f"it was damaged and rebuilt at {rfc3339(was.at_us)}; the old one is {was.aside}"
                if was.aside
                else f"an earlier one was put back; what it did not know was taken from the sidecars at {rfc3339(was.at_us)}",
                "Nothing is cut again by that. `cutoutd resume` ends this notice.",
            )
        )


_LOST = (
    "Nothing is sent without it. Put it back, or a backup of it, or say `cutoutd resume --hosted` while cutoutd runs: a "
    "new one is begun then, and today's limits count what the journal knows."
)


def judge(settings: Settings) -> Iterator[Finding]:
    """Yield findings about uploads; none where no folder is tagged and nothing was ever sent."""
    yield from _cluster(settings)
    paths = SpoolPaths.under(settings.service.state_dir)
    lost = ledger_lost(paths)
    if lost:
        yield problem("ledger", lost, _LOST)
    if not settings.needs_uploader:
        return
    said = uploader_status(paths)
    if said:
        yield from _webhooks(said)
    if not said:
        yield note(
            "hosted", "the uploader does not run; nothing leaves", "A start of `cutoutd run` starts it."
        )
    elif not settings.tagged:
        pass
    elif said.get("route") == "open":
        yield ok("hosted", f"the hosted route is open, to {said.get('host')}")
    elif not lost:
        why = str(said.get("why") or "no reason is given")
        yield problem(
            "hosted", f"the hosted route is {said.get('route')}: {why}", "Nothing is sent meanwhile."
        )


def _cluster(settings: Settings) -> Iterator[Finding]:
    """The cluster, where a folder is tagged for it."""
    if not settings.clustered:
        return
    said = gateway_status(ClusterPaths.under(settings.service.state_dir))
    advice = "`cutoutd cluster status` asks all machines. Pictures of other folders are cut as usual."
    if not said:
        yield note(
            "cluster", "the gateway to the cluster does not run", "A start of `cutoutd run` starts it."
        )
    elif said.get("route") == "open":
        count = len(said.get("machines") or ())
        yield ok("cluster", f"{count} machines have joined {said.get('scheduler')}")
    else:
        yield problem("cluster", f"the cluster is away: {said.get('why') or 'no reason is told'}", advice)


def _webhooks(said: Mapping[str, Any]) -> Iterator[Finding]:
    for one in said.get("webhooks") or ():
        name = f'the webhook of "{one.get("folder")}" at {one.get("host")}'
        if one.get("off"):
            advice = "Take it out of the configuration, or see `cutoutd webhook retry`."
            yield problem("webhook", f"{name} wants no more messages: it answered 410", advice)
        elif one.get("dead"):
            advice = "`cutoutd webhook list` says why, `cutoutd webhook retry` sends them again."
            yield problem("webhook", f"{name}: {one['dead']} messages were given up", advice)
        elif one.get("failures"):
            yield note(
                "webhook", f"{name} does not answer as it should: {one.get('why')}", "It is tried again."
            )
        else:
            yield ok("webhook", f"{name} gets its messages ({one.get('include')}); {one.get('waiting')} wait")


def ledger_lost(paths: SpoolPaths) -> str:
    """Return what shows that there were uploads though the ledger is missing; empty otherwise."""
    path = paths.root / LEDGER
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = -1
    except OSError as error:
        return f"the ledger of uploads cannot be read ({path}: {error.strerror})"
    if size > 0 or not (told := traces(paths.root)):
        return ""
    return f"the ledger of uploads is {'gone' if size < 0 else 'empty'} ({path}), but {told}"
