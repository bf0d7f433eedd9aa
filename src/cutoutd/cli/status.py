"""`cutoutd status`: is it running, and how does each folder stand?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cutoutd.cli.queue import JsonOption, open_journal, printable
from cutoutd.cli.where import ConfigOption, InputOption, OutputOption, settings
from cutoutd.clock import Clock, rfc3339
from cutoutd.daemon import statusfile
from cutoutd.daemon.standing import Watching
from cutoutd.jobs import OPEN, JobState
from cutoutd.journal.commands import Commands
from cutoutd.journal.reader import Reader
from cutoutd.journal.rebuild import rebuilt
from cutoutd.journal.state import running

if TYPE_CHECKING:
    from cutoutd.journal.store import Store
    from cutoutd.settings.schema import Settings

_RATE_WINDOW_S = 300
_WATCHING = {
    Watching.NATIVE: "watched: the system tells of new files at once",
    Watching.POLL: "watched by looking again and again",
}


def status(
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Say whether the daemon runs, and how each folder stands."""
    chosen = settings(config, input_dir, output_dir)
    found = _collect(chosen, open_journal(chosen.service.state_dir))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    print(_headline(found))
    if found["rebuilt"]:
        print(
            f"The journal was damaged and made anew at {found['rebuilt']['at']}; the old one is "
            f"{found['rebuilt']['set_aside']} in {found['state_dir']}. `cutoutd resume` ends this notice."
        )
    for folder in found["folders"]:
        _print_folder(folder)


def _collect(chosen: Settings, store: Store) -> dict[str, Any]:
    directory = chosen.service.state_dir
    run = running(directory)
    live = statusfile.read(directory)
    if live.get("run") != run:
        live = {}  # a dead daemon's
    reader = Reader(store)
    counts = reader.counts()
    return {
        "schema": "cutoutd.status/1",
        "running": run is not None,
        "pid": live.get("pid"),
        "paused": Commands(store, Clock()).is_paused(),
        "rebuilt": _rebuilt(store),
        "workers": live.get("workers"),
        "worker": live.get("worker"),
        "state_dir": str(directory),
        "folders": [
            _folder(folder.name, live.get("folders", {}).get(folder.name, {}), counts, reader)
            | {"input": printable(str(folder.input)), "output": printable(str(folder.output))}
            for folder in chosen.folder
        ],
    }


def _rebuilt(store: Store) -> dict[str, str] | None:
    note = rebuilt(store)
    if note is None:
        return None
    return {"at": rfc3339(note.at_us), "set_aside": note.aside, "why": note.cause}


def _folder(
    name: str, live: dict[str, Any], counts: dict[str, dict[JobState, int]], reader: Reader
) -> dict[str, Any]:
    states = counts.get(name, {})
    last = reader.last_done(name)
    recent = reader.done_since(name, Clock().now_us() - _RATE_WINDOW_S * 1_000_000)
    return {
        "name": name,
        "watching": live.get("watching"),
        "why": live.get("why", ""),
        "note": live.get("note", ""),
        "settling": live.get("settling", 0),
        "held_up": live.get("held_up", []),
        "queue": sum(states.get(state, 0) for state in OPEN),
        "states": {state.value: count for state, count in sorted(states.items())},
        "images_per_minute": round(recent / (_RATE_WINDOW_S / 60), 2),
        "last": None
        if last is None
        else {"job": last.id, "path": printable(last.path), "at": rfc3339(last.finished_us or 0)},
    }


def _headline(found: dict[str, Any]) -> str:
    if not found["running"]:
        return "cutoutd does not run."
    paused = ", paused: begins no new work until `cutoutd resume`" if found["paused"] else ""
    return f"cutoutd runs (process {found['pid']}, {found['workers']} workers{paused})."


def _print_folder(folder: dict[str, Any]) -> None:
    states = folder["states"]
    print(f"\n{folder['name']}: {folder['input']} -> {folder['output']}")
    if folder["watching"]:
        how = _WATCHING.get(folder["watching"], folder["watching"])
        print(f"  {how}{': ' + printable(folder['why']) if folder['why'] else ''}")
    if folder["note"]:
        print(f"  note: {folder['note']}")
    print(
        f"  {folder['queue']} waiting or in work, {folder['settling']} arriving, {states.get('done', 0)} done, "
        f"{states.get('review', 0)} to review, {states.get('failed', 0)} failed, "
        f"{folder['images_per_minute']} a minute"
    )
    for file in folder["held_up"]:
        print(f"  not taken yet: {printable(file['path'])} ({file['why']})")
    if folder["last"]:
        print(f"  last: {folder['last']['path']} at {folder['last']['at']}")
