"""Tells the owner's commands what happens: a listener between the daemon and whoever draws.

It decides which command an event is for, and what it is given; `cutoutd.hooks.runner` runs it, and nobody waits.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.hooks.desktop_notices import DesktopNotices
from cutoutd.hooks.runner import HookCommand, HookRunner
from cutoutd.jobs import JobState
from cutoutd.publish.naming import failure_names, sidecar_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.errors import CutoutdError
    from cutoutd.events import JobEnded, Listener, Progress
    from cutoutd.settings.schema import Folder, Hooks, Settings

_EVENTS: Final = {
    JobState.DONE: "on_done",
    JobState.REVIEW: "on_review",
    JobState.FAILED: "on_failed",
}
_DOUBTFUL: Final = "on_doubtful"
_ATTENTION: Final = "on_attention"

STOP_S: Final = 5.0
"""How long an end waits for commands under way."""


class HookDispatch:
    """A listener that runs commands, and passes everything on.

    Args:
        listener: hears it first.
        settings: those in force.
    """

    def __init__(self, listener: Listener, settings: Settings) -> None:
        self._listener = listener
        self._settings: Callable[[], Settings] = lambda: settings
        self._runner = HookRunner(settings.hooks.at_once)
        self._notices = DesktopNotices(self._runner, lambda: self._settings().hooks)

    def follow(self, settings: Callable[[], Settings]) -> None:
        """Ask for the settings in force from now on, which a reload may change."""
        self._settings = settings

    @property
    def wants_progress(self) -> bool:
        """Whether somebody looks."""
        return self._listener.wants_progress

    def progress(self, progress: Progress) -> None:
        """What there is to do now."""
        self._listener.progress(progress)

    def started(self, folders: int, workers: int) -> None:
        """The daemon is ready."""
        self._listener.started(folders, workers)

    def accepted(self, count: int) -> None:
        """So many more pictures wait."""
        self._listener.accepted(count)

    def attention(self, folder: str, message: str) -> None:
        """A folder's status changed; whether that lasts, and is the owner's affair, the alarm tells."""
        self._listener.attention(folder, message)

    def result(self, result: JobEnded) -> None:
        """A job has ended."""
        self._listener.result(result)
        event = _EVENTS.get(result.state)
        folder = self._folder(result.folder)
        if event is None or folder is None:
            return
        record = _record(folder, result)
        facts = {
            "HOOK_FOLDER": folder.name,
            "HOOK_SOURCE": os.fspath(folder.input / result.path),
            "HOOK_OUTPUT": result.outputs[0] if result.outputs else "",
            "HOOK_STATE": result.state.value,
            "HOOK_SIDECAR": record,
            "HOOK_MESSAGE": result.why,
        }
        arguments = (record,) if record else ()
        self._run(event, folder.hooks, arguments, facts)
        if result.doubtful:
            self._run(_DOUBTFUL, folder.hooks, arguments, facts | {"HOOK_STATE": "doubtful"})
        if result.doubtful or result.state is not JobState.DONE:
            self._notices.result(folder.name, result)

    def alarm(self, folder: str, kind: str, message: str, *, over: bool) -> None:
        """Something needs the owner, or does not any more.

        Args:
            folder: its name; empty if it concerns all.
            kind: stable name of what it is.
            message: for a person.
            over: it is well again.
        """
        known = self._folder(folder)
        words = f"cutoutd: {f'{folder}: ' if folder else ''}{message}"
        facts = {
            "HOOK_FOLDER": folder,
            "HOOK_KIND": kind,
            "HOOK_STATE": "over" if over else "begun",
            "HOOK_MESSAGE": message,
        }
        self._run(_ATTENTION, known.hooks if known is not None else None, (words,), facts)
        self._notices.say(f"{words.removeprefix('cutoutd: ')}{' (over)' if over else ''}")

    def ended(self, error: CutoutdError) -> None:
        """The daemon ends by a fault that it cannot mend."""
        self.alarm("", error.code.lower(), f"it has ended: {error.title}: {error}", over=False)

    def close(self, *, patient: bool) -> None:
        """Wait for the commands that are under way.

        Args:
            patient: for all that were given, each with its time: nothing else waits for this run's end.
        """
        self._notices.tell_rest()
        self._runner.end(self._settings().hooks.timeout_s if patient else STOP_S)

    def _folder(self, name: str) -> Folder | None:
        return next((folder for folder in self._settings().folder if folder.name == name), None)

    def _run(self, event: str, own: Hooks | None, arguments: tuple[str, ...], facts: dict[str, str]) -> None:
        common = self._settings().hooks
        command: tuple[str, ...] = getattr(own, event, ()) or getattr(common, event)
        if command:
            self._runner.give(
                HookCommand(
                    event=event,
                    command=(*command, *arguments),
                    facts={"HOOK_EVENT": event} | facts,
                    timeout_s=common.timeout_s,
                )
            )


def _record(folder: Folder, result: JobEnded) -> str:
    """Where the sidecar or the failure's record lies; by its name, since looking there may hang."""
    if result.state is JobState.FAILED:
        usual = failure_names(folder.name, result.path, portable=folder.has_portable_names)[0]
        return os.fspath(folder.output / (result.record or usual))
    if not result.outputs:
        return ""
    first = Path(result.outputs[0])
    if not first.is_relative_to(folder.output):
        return ""  # a reload has given the folder another output meanwhile
    first = first.relative_to(folder.output)
    return os.fspath((folder.sidecar_dir or folder.output) / sidecar_name(first.as_posix()))
