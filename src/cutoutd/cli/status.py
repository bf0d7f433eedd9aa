"""`cutoutd status` and `cutoutd metrics`: is it running, and what is the status of each folder?"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cutoutd.cli import board
from cutoutd.cli.instance import (
    ConfigOption,
    InputOption,
    OutputOption,
    as_options,
    find,
    find_settings,
    first_run_page,
    last_pair,
    named_path,
)
from cutoutd.cli.printing import path_fields, paths_fields, printable
from cutoutd.cli.queue import JsonOption, open_journal
from cutoutd.cli.registry import Invocation, entries, is_waiting
from cutoutd.clock import Clock, rfc3339
from cutoutd.errors import UsageError
from cutoutd.exchange.cluster_spool import ClusterPaths, gateway_status
from cutoutd.exchange.spool import SpoolPaths, uploader_status
from cutoutd.job_detail import JobResult, cause_in
from cutoutd.overview import metrics as openmetrics
from cutoutd.overview.overview import SCHEMA, FolderView, Overview, room_of, summarise
from cutoutd.page import announcement
from cutoutd.serve import keys as serve_keys
from cutoutd.settings import places
from cutoutd.settings.types import Route
from cutoutd.webserver.backend import single_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cutoutd.settings.schema import Settings

EVERY_S: Final = 2.0
ROOM_EVERY_S: Final = 15.0
"""Interval at which free space is queried with --watch: each query starts a process."""


def status(
    *,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh it until Ctrl-C.")] = False,
    every: Annotated[
        float,
        typer.Option(min=0.5, max=3600.0, help="With --watch: seconds between two updates."),
    ] = EVERY_S,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Show whether cutoutd runs and, for each folder, whether it is watched, what waits and what was done."""
    is_bare = config is None and input_dir is None and output_dir is None
    if is_bare and not as_json and (address := _waits_at()) is not None:
        _print_waiting(address)
        return
    chosen, origin = find(config, input_dir, output_dir)
    start = f"cutoutd run{'' if origin == Invocation() else f' {as_options(origin)}'}"
    store = open_journal(chosen.service.state_dir)
    outputs = [os.fspath(folder.output) for folder in chosen.folder]
    clock = Clock()
    if not watch:
        _show_once(chosen, summarise(chosen, store, clock, room_of(outputs)), start=start, as_json=as_json)
        return
    room: dict[str, int | None] = {}
    asked_s: float | None = None

    def again() -> Overview:
        nonlocal room, asked_s
        if asked_s is None or clock.monotonic_s() - asked_s >= ROOM_EVERY_S:
            room = room_of(outputs)
            asked_s = clock.monotonic_s()
        return summarise(chosen, store, clock, room)

    try:
        if as_json or not sys.stdout.isatty():
            _print_repeatedly(chosen, again, every, start=start, as_json=as_json)
        else:
            _draw_repeatedly(lambda: _lines(chosen, again(), start), every)
    except KeyboardInterrupt:
        return


def _waits_at() -> str | None:
    """Return the address of the page if `cutoutd run` waits for folders to be chosen there, and no daemon runs; else None."""
    with suppress(OSError):  # an unreadable state directory is reported by the journal
        page = first_run_page() if is_waiting(places.registry()) else None
        if page is not None and not any(one.is_running for one in entries(places.registry())):
            return page[1]
    return None


def _print_waiting(address: str) -> None:
    print(f"cutoutd waits for a folder to be chosen on its page: {address} (`cutoutd page` opens it)")
    if (last := last_pair()) is not None:
        print(f"`cutoutd status {as_options(last)}` shows the folders that were used last.")


def metrics(
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            "-t",
            "-o",
            parser=named_path,
            help="Write to this file, which is replaced as a whole; without it the figures are printed.",
        ),
    ] = None,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_or_file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            parser=named_path,
            help="With --input: where its cutouts go. Without --input: the same as --to, as in earlier versions.",
        ),
    ] = None,
    output_dir: Annotated[Path | None, typer.Option("--output-dir", parser=named_path, hidden=True)] = None,
) -> None:
    """Write figures for Prometheus (OpenMetrics), for node_exporter's textfile collector; no port is opened."""
    if output_dir is not None or input_dir is None:  # as it was called before: --output was the file's
        to, output_or_file = to or output_or_file, output_dir
    text = openmetrics.render(_make_overview(find_settings(config, input_dir, output_or_file)))
    if to is None:
        print(text, end="")
    else:
        openmetrics.write(text, Path.cwd() / to)


def _make_overview(chosen: Settings) -> Overview:
    """Make an overview, also if no daemon has run yet, which an alert may check for."""
    outputs = [os.fspath(folder.output) for folder in chosen.folder]
    try:
        store = open_journal(chosen.service.state_dir)
    except UsageError:
        if chosen.service.state_dir.exists():
            raise
        store = None
    return summarise(chosen, store, Clock(), room_of(outputs))


def _show_once(chosen: Settings, overview: Overview, *, start: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_document(chosen, overview), indent=2))
    elif sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 -- 0.05 s that only a person at a terminal pays for

        _rich(Console(highlight=False), _lines(chosen, overview, start))
    else:
        for line in _lines(chosen, overview, start):
            print(board.plain(line))


def _print_repeatedly(
    chosen: Settings, again: Callable[[], Overview], every_s: float, *, start: str, as_json: bool
) -> None:
    """Print one text, or one line of JSON, after the other, for a pipe."""
    while True:
        overview = again()
        if as_json:
            print(json.dumps(_document(chosen, overview)), flush=True)
        else:
            print("\n".join(map(board.plain, _lines(chosen, overview, start))), end="\n\n", flush=True)
        time.sleep(every_s)


def _draw_repeatedly(lines: Callable[[], Iterable[board.Line]], every_s: float) -> None:
    from rich.console import Console, Group  # noqa: PLC0415 -- as above
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    with Live(
        console=console, auto_refresh=False, screen=console.is_terminal, vertical_overflow="crop"
    ) as live:
        while True:
            shown = [Text.assemble(*line) if line else Text() for line in lines()]
            live.update(Group(*shown), refresh=True)
            time.sleep(every_s)


def _rich(console: Any, lines: Iterable[board.Line]) -> None:  # noqa: ANN401 -- a Console, which is imported late
    from rich.text import Text  # noqa: PLC0415 -- as above

    for line in lines:
        console.print(Text.assemble(*line) if line else Text())


def _lines(chosen: Settings, overview: Overview, start: str) -> Iterator[board.Line]:
    yield from board.lines(overview)
    if not overview.running and start:
        yield ()
        yield ((f"`{start}` starts it; it continues where it stopped.", ""),)
    hosted = _hosted(chosen)
    if hosted is not None and chosen.tagged:
        yield from board.hosted(hosted)
    if hosted is not None and chosen.with_webhooks:
        yield from board.webhooks(hosted)
    if chosen.clustered:
        falls_back = [folder.name for folder in chosen.clustered if folder.route is Route.CLUSTER_THEN_LOCAL]
        yield from board.cluster(_cluster(chosen) or {}, overview.cluster_away, falls_back, overview.at_us)
    if (page := _page(chosen)) is not None:
        yield ()
        yield board.page(page["address"])
    if (api := _api(chosen)) is not None:
        yield board.api(api["address"])


def _document(chosen: Settings, overview: Overview) -> dict[str, Any]:
    return as_document(overview, _hosted(chosen), _page(chosen), _api(chosen), _cluster(chosen))


def _cluster(chosen: Settings) -> dict[str, Any] | None:
    """What the gateway says of the cluster; None where no picture is to go there."""
    return gateway_status(ClusterPaths.under(chosen.service.state_dir)) if chosen.clustered else None


def _hosted(chosen: Settings) -> dict[str, Any] | None:
    """Return the status of the uploader; None if nothing is to leave this machine."""
    return uploader_status(SpoolPaths.under(chosen.service.state_dir)) if chosen.needs_uploader else None


def _page(chosen: Settings) -> dict[str, Any] | None:
    """Return whether and where the page is served; None if it is disabled."""
    return _served(announcement.running, chosen.service.state_dir) if chosen.page.enabled else None


def _api(chosen: Settings) -> dict[str, Any] | None:
    """Return the same about the API, which may be served by hand although it is disabled."""
    said = _served(single_process.served_at, chosen.service.state_dir / serve_keys.DIRECTORY)
    return said if chosen.serve.enabled or said["running"] else None


def _served(look_at: Callable[[Path], str | None], place: Path) -> dict[str, Any]:
    address = None
    with suppress(OSError):  # an unreadable state directory is reported by the journal
        address = look_at(place)
    return {"running": address is not None, "address": address}


def as_document(
    overview: Overview,
    hosted: dict[str, Any] | None = None,
    page: dict[str, Any] | None = None,
    api: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return an overview as a JSON document."""
    return {
        "schema": SCHEMA,
        "at": rfc3339(overview.at_us),
        "running": overview.running,
        "pid": overview.pid,
        "paused": overview.paused,
        "rebuilt": overview.rebuilt,
        "refused_configuration": overview.refused_configuration,
        "ended_companions": list(overview.ended_companions),
        "workers": overview.workers,
        "worker": overview.worker,
        "state_dir": overview.state_dir,
        "state_trouble": None
        if overview.state_trouble is None
        else {"why": overview.state_trouble.why, "advice": overview.state_trouble.advice},
        "hosted": hosted,
        "cluster": cluster,
        "cluster_away": overview.cluster_away
        and {name.removesuffix("_us"): rfc3339(us) for name, us in overview.cluster_away.items()},
        "page": page,
        "serve": api,
        "folders": [_folder_document(folder) for folder in overview.folders],
    }


def _folder_document(folder: FolderView) -> dict[str, Any]:
    last = folder.last
    return {
        "name": folder.name,
        "watching": folder.watching,
        "why": folder.why,
        "trouble": folder.trouble,
        "note": folder.note,
        "links_skipped": folder.links,
        "unreadable": folder.unreadable,
        "settling": folder.settling,
        "held_up": folder.held_up,
        "queue": folder.queue,
        "waiting": folder.waiting,
        "in_work": folder.at_work,
        "done_today": folder.done_today,
        "doubtful": folder.doubtful,
        "to_review": folder.review,
        "failed": folder.failed,
        "rejected": folder.rejected,
        "originals_to_go": folder.originals_to_go,
        "skipped": {printable(why): count for why, count in folder.skipped.items()},
        "states": {state.value: count for state, count in sorted(folder.states.items())},
        "images_per_minute": round(folder.per_minute, 2),
        "recent": folder.recent,
        "eta_s": None if folder.eta_s is None else round(folder.eta_s),
        "median_s": None if folder.median_s is None else round(folder.median_s, 3),
        "free_bytes": folder.free_bytes,
        "last_failed": [
            {
                "job": job.id,
                **path_fields("path", job.path),
                "why": cause_in(job),
            }
            for job in folder.last_failed
        ],
        "last": None
        if last is None
        else {
            "job": last.id,
            **path_fields("path", last.path),
            "at": rfc3339(last.finished_us or 0),
            "state": last.state,
            **paths_fields("outputs", JobResult.of(last).outputs),
        },
        **path_fields("input", folder.input),
        **path_fields("output", folder.output),
    }
