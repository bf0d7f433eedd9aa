"""`cutoutd hosted` and `cutoutd audit`: the uploader, and everything that ever left this machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cutoutd.cli.check import pictures_in
from cutoutd.cli.egress import describe_egress, require_extra
from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find_settings, settings
from cutoutd.cli.printing import printable
from cutoutd.cli.queue import JsonOption
from cutoutd.cli.terminal import ignoring_broken_pipe
from cutoutd.clock import Clock
from cutoutd.errors import CutoutdError, StorageError, UsageError
from cutoutd.exchange.cluster_spool import ClusterPaths
from cutoutd.exchange.sent_log import entries
from cutoutd.exchange.spool import SpoolPaths, announcement, requests
from cutoutd.exchange.upload_records import UPLOADED, read_known, traces
from cutoutd.hosted.audit import GroupBy, as_csv, as_json, cluster_as_csv, totals, uploads, webhooks_as_csv
from cutoutd.hosted.audit import webhooks as webhook_requests
from cutoutd.hosted.ledger import FILE_NAME, Ledger
from cutoutd.hosted.provider import upload_of
from cutoutd.hosted.providers import provider_of
from cutoutd.journal.store import FILE_NAME as JOURNAL
from cutoutd.journal.store import Store
from cutoutd.journal.uploads import uploaded
from cutoutd.process.child_environment import keep_for_uploader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.settings.schema import Settings


def hosted(
    context: typer.Context,
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; show what would be sent, and what it would cost.")
    ] = False,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
    key_on_stdin: Annotated[bool, typer.Option("--key-on-stdin", hidden=True)] = False,
    console: Annotated[bool, typer.Option("--console", hidden=True)] = False,
) -> None:
    """Run the uploader, which sends the pictures of tagged folders. `cutoutd run` starts it by itself if it is needed."""
    if dry_run:
        _print_forecast(find_settings(config, input_dir, output_dir))
        return
    chosen = settings(config, input_dir, output_dir)
    require_extra(chosen)
    key = sys.stdin.read() if key_on_stdin else context.obj or ""
    keep_for_uploader(os.environ)  # before the client and its OpenSSL are loaded
    from cutoutd.hosted import run  # noqa: PLC0415 -- the one command that loads an HTTP client

    # Read before the settings: a newer configuration that is announced after this is then noticed.
    announced = announcement(SpoolPaths.under(chosen.service.state_dir))
    chosen = settings(config, input_dir, output_dir)
    run.run(chosen, announced=announced, clock=Clock(), given_key=key, parent=parent, console=console)


def audit(
    *,
    as_json_: JsonOption = False,
    as_csv_: Annotated[bool, typer.Option("--csv", help="Print CSV, for a spreadsheet.")] = False,
    by: Annotated[
        GroupBy | None, typer.Option(help="Show sums by day or by folder instead of single uploads.")
    ] = None,
    webhooks: Annotated[
        bool, typer.Option("--webhooks", help="With --csv: messages to webhooks instead of uploads.")
    ] = False,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="With --csv: pictures sent to a cluster instead of uploads."),
    ] = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """List everything that ever left this machine: each upload, each picture for a cluster, and whatever a webhook was told."""
    if as_json_ and as_csv_:
        raise UsageError("--json and --csv cannot be used together", advice="Give one of them.")
    state_dir = find_settings(config, input_dir, output_dir).service.state_dir
    path = SpoolPaths.under(state_dir).root / FILE_NAME
    missing = _missing(path, state_dir)
    if missing:
        print(f"cutoutd: {missing}", file=sys.stderr)
    with ignoring_broken_pipe():
        is_there = bool(_bytes_of(path))
        if missing and not is_there:
            raise typer.Exit(1)
        if as_csv_ and cluster:
            cluster_as_csv(_to_cluster(state_dir), sys.stdout)
        elif as_json_ or as_csv_:
            _write(path, state_dir, by, as_json_=as_json_, webhooks=webhooks)
        elif not _show_cluster(state_dir, by) and not is_there:
            print("Nothing ever left this machine: there is no ledger of uploads.")
        elif is_there:
            with Ledger(path) as ledger:
                _show(ledger, by)
    if missing:
        raise typer.Exit(1)


def _to_cluster(state_dir: Path) -> Iterator[dict[str, Any]]:
    """Every picture that was sent to a machine of a cluster.

    Raises:
        StorageError: what tells of them cannot be read.
    """
    place = ClusterPaths.under(state_dir).sent
    try:
        yield from entries(place)
    except OSError as error:
        raise StorageError(
            f"the system says: {error.strerror}", path=place, advice="Check its permissions and its disk."
        ) from error


def _write(path: Path, state_dir: Path, by: GroupBy | None, *, as_json_: bool, webhooks: bool) -> None:
    if as_json_ and not _bytes_of(path):
        as_json((), by, sys.stdout, cluster=_to_cluster(state_dir))
        return
    with Ledger(path) as ledger:
        if as_json_:
            as_json(
                uploads(ledger),
                by,
                sys.stdout,
                webhooks=webhook_requests(ledger),
                cluster=_to_cluster(state_dir),
            )
        elif webhooks:
            webhooks_as_csv(webhook_requests(ledger), sys.stdout)
        else:
            as_csv(uploads(ledger), by, sys.stdout)


def _show_cluster(state_dir: Path, by: GroupBy | None) -> bool:
    """Show what was sent to machines of a cluster; whether there was anything."""
    sums: dict[str, list[int]] = {}
    for one in _to_cluster(state_dir):
        if by is None:
            print(
                f"{one['at']}  {printable(one['folder'])}  job {one['job']}  {one['bytes']:>9} bytes -> {one['scheduler']}  "
                "cluster"
            )
        name = one["folder"] if by is GroupBy.FOLDER else one["at"][:10]
        total = sums.setdefault(name, [0, 0])
        total[0] += 1
        total[1] += one["bytes"]
    for name, (count, size) in sorted(sums.items()):
        print(f"{printable(name)}: {count} pictures sent to a cluster, {size} bytes")
    return bool(sums)


def _missing(path: Path, state_dir: Path) -> str:
    """Return what is known of uploads and missing in the ledger; empty if nothing is."""
    try:
        own = uploaded(Store(state_dir / JOURNAL, create=False))
    except CutoutdError:
        own = None  # without a journal there is less to compare
    known = own or read_known(path.with_name(UPLOADED))
    what = known and f"the journal knows of {known.count} pictures that were sent, the last on {known.at}"
    size = _bytes_of(path)
    if not size:
        what = what or traces(path.parent)
        how = "EMPTY" if size == 0 else "MISSING"
        lost = (
            "It was emptied, removed or renamed; look for a backup, or for one that was set aside beside it."
        )
        return f"THE LEDGER OF UPLOADS IS {how} ({path}): {what}. {lost}" if what else ""
    if known is None:
        return ""
    with Ledger(path) as ledger:
        count, knows_last = ledger.count(), ledger.knows(known.last)
    if count >= known.count and knows_last:
        return ""
    return (
        f"THE LEDGER OF UPLOADS IS INCOMPLETE ({path}): {what}, and it has {count}. It was replaced or cut short; what "
        "follows is not all that left this machine."
    )


def _bytes_of(path: Path) -> int | None:
    """Return the size of a file; None if it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"the system says: {error.strerror}", path=path, advice="Check its permissions and its disk."
        ) from error


def _show(ledger: Ledger, by: GroupBy | None) -> None:
    if by is None:
        for one in uploads(ledger):
            cost = f"{one['counted']:g} credits" + ("" if one["credits"] is not None else " (expected)")
            why = f"  {printable(one['why'])}{': ' if one['cause'] else ''}{printable(one['cause'])}"
            print(
                f"{one['at']}  {one['folder']}  job {one['job']}  {one['bytes']:>9} bytes -> {one['host']}  "
                f"{one['end']}  {cost}{why}"
            )
        for one in webhook_requests(ledger):
            here = " (on this machine)" if one["on_this_machine"] else ""
            answer = f"answered {one['status']}" if one["status"] else one["end"]
            print(
                f"{one['at']}  {one['folder']}  job {one['job']}  {one['bytes']:>9} bytes -> {one['host']}{here}  "
                f"webhook: {one['type']}, {one['what']}, attempt {one['attempt']}, {answer}"
            )
    for name, total in totals(uploads(ledger), by or GroupBy.DAY).items():
        unknown = f", {total.unknown} unknown" if total.unknown else ""
        print(f"{name}: {total.uploads} uploads, {total.bytes} bytes, {total.credits:g} credits{unknown}")


def _print_forecast(chosen: Settings) -> None:
    """Print what would be sent: the outbox exactly, and the tagged folders as an upper limit."""
    for line in describe_egress(chosen):
        print(line)
    price = chosen.hosted.expected_credits
    for folder in chosen.tagged:
        try:
            count = pictures_in(folder)
        except OSError as error:
            print(f"{folder.name}: {printable(str(folder.input))} cannot be read now ({error.strerror})")
            continue
        most = f"at most {count * price:g} credits" if price else "no credits"
        print(f"{folder.name}: {count} pictures are there; if all of them were sent: {most}")
    waiting = list(requests(SpoolPaths.under(chosen.service.state_dir)))
    provider = provider_of(chosen.hosted, None)
    size = sum(one.bytes for one in waiting) / 1e6
    cost = sum(provider.price(upload_of(one)) for one in waiting)
    print(f"in the outbox: {len(waiting)} pictures, {size:.1f} MB, at most {cost:g} credits")
