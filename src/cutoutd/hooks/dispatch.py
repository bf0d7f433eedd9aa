"""Runs the owner's commands on events. It stands between the daemon and its event sink, and passes each event on.

It decides which command belongs to an event, and its arguments; `cutoutd.hooks.runner` runs it, and nothing waits.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.events import AlarmChanged, JobEnded
from cutoutd.hooks.desktop_notices import DesktopNotices
from cutoutd.hooks.runner import HookCommand, HookRunner
from cutoutd.jobs import JobState
from cutoutd.publish.naming import failure_names, sidecar_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.events import Event, EventSink
    from cutoutd.settings.schema import Folder, Hooks, Settings

_EVENTS: Final = {
    JobState.DONE: "on_done",
    JobState.REVIEW: "on_review",
    JobState.FAILED: "on_failed",
}
_DOUBTFUL: Final = "on_doubtful"
_ATTENTION: Final = "on_attention"

STOP_S: Final = 5.0
"""How long the shutdown waits for running commands."""


class HookDispatch:
    """Runs the configured commands; an `EventSink`.

    Args:
        emit: gets each event first.
        settings: settings in force.
    """

    def __init__(self, emit: EventSink, settings: Settings) -> None:
        self._emit = emit
        self._settings: Callable[[], Settings] = lambda: settings
        self._runner = HookRunner(settings.hooks.at_once)
        self._notices = DesktopNotices(self._runner, lambda: self._settings().hooks)

    def __call__(self, event: Event) -> None:
        """Pass an event on, and run the command configured for it.

        A change of a folder runs none: if it lasts and needs the owner, an `AlarmChanged` follows.
        """
        self._emit(event)
        if isinstance(event, JobEnded):
            self._job_ended(event)
        elif isinstance(event, AlarmChanged):
            self._alarm_changed(event)

    def follow(self, settings: Callable[[], Settings]) -> None:
        """Read the settings in force from here on, since a reload may change them."""
        self._settings = settings

    def close(self, *, patient: bool) -> None:
        """Wait for the commands that are running.

        Args:
            patient: whether to wait for all queued commands, each with its timeout, since nothing else waits for this run.
        """
        self._notices.tell_rest()
        self._runner.end(self._settings().hooks.timeout_s if patient else STOP_S)

    def _job_ended(self, result: JobEnded) -> None:
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

    def _alarm_changed(self, alarm: AlarmChanged) -> None:
        known = self._folder(alarm.folder)
        words = f"cutoutd: {f'{alarm.folder}: ' if alarm.folder else ''}{alarm.message}"
        facts = {
            "HOOK_FOLDER": alarm.folder,
            "HOOK_KIND": alarm.kind,
            "HOOK_STATE": "over" if alarm.is_over else "begun",
            "HOOK_MESSAGE": alarm.message,
        }
        self._run(_ATTENTION, known.hooks if known is not None else None, (words,), facts)
        self._notices.say(f"{words.removeprefix('cutoutd: ')}{' (over)' if alarm.is_over else ''}")

    def _folder(self, name: str) -> Folder | None:
        return next((folder for folder in self._settings().folder if folder.name == name), None)

    def _run(self, event: str, own: Hooks | None, arguments: tuple[str, ...], facts: dict[str, str]) -> None:
        common = self._settings().hooks
        command: tuple[str, ...] = getattr(own, event, ()) or getattr(common, event)
        if command:
            self._runner.enqueue(
                HookCommand(
                    event=event,
                    command=(*command, *arguments),
                    facts={"HOOK_EVENT": event} | facts,
                    timeout_s=common.timeout_s,
                )
            )


def _record(folder: Folder, result: JobEnded) -> str:
    """Return the path of the sidecar or failure record. Derived from the name alone, since checking there may hang."""
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
