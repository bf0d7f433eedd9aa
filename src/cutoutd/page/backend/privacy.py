"""Data that left this machine, from the uploader's ledger; and the four questions of docs/privacy.md, answered by the running processes.

The uploader itself is not known here: its ledger is read as the file that it is. This module must not write there.
"""

from __future__ import annotations

import os
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import rfc3339
from cutoutd.database import Database, Queries
from cutoutd.errors import CutoutdError, FailureCode, StorageError
from cutoutd.exchange.cluster_spool import PROVIDER, ClusterPaths
from cutoutd.exchange.sent_log import totals
from cutoutd.exchange.spool import SpoolPaths
from cutoutd.exchange.upload_records import LEDGER, traces
from cutoutd.journal.store import SQL as JOURNAL_SQL
from cutoutd.models import catalog
from cutoutd.page.backend.method import read
from cutoutd.page.backend.overview import daemon_status
from cutoutd.settings.hosted import stays_here
from cutoutd.settings.types import Route
from cutoutd.webserver.backend.journal import journal
from cutoutd.webserver.backend.method import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.settings.schema import Settings
    from cutoutd.webserver.backend.method import Parameters

SHOWN: Final = 200
"""Uploads that are listed; `cutoutd audit` has all."""

_TIMEOUT_S: Final = 2.0
_PROCESSES: Final = 32

_ENDS: Final = {None: "under_way", "ok": "done"}
"""What an upload's end is called in the page, where it is not called as in the ledger."""

_KEEPER: Final = "process that keeps the uploader, the gateway, the page or the API running"
_HANDLES_NOTHING: Final = "it starts that process, waits for its end, and gets to see no picture"

_MODULES: Final = (
    ("cutoutd.pool.cluster_proxy", "proxy of another machine's worker"),
    ("cutoutd.pool.worker", "worker, which decodes and cuts pictures"),
    ("cutoutd.page.web", "web server of the page"),
    ("cutoutd.cli.companions", _KEEPER),
)
_COMMANDS: Final = {
    "cluster": "gateway to the cluster",
    "hosted": "uploader",
    "page": "the page's reader of the journal",
}

SQL: Final = Queries("cutoutd.page.backend", "ledger.sql")


class LedgerUnreadableError(CutoutdError):
    """The ledger of uploads cannot be read now, or is invalid."""

    code = FailureCode.LEDGER
    title = "The ledger of uploads cannot be read"
    advice = "`cutoutd audit` says more."


def egress(backend: Backend, _: Parameters) -> Reply:
    """Return how much left this machine, since when, every upload, and how to verify it."""
    settings = backend.settings
    root = None if settings is None else SpoolPaths.under(settings.service.state_dir).root
    found, trouble = _uploads(root)
    if settings is not None:
        found = _with_cluster(found, ClusterPaths.under(settings.service.state_dir).sent)
    if not (found["uploads"] or found["messages"]) and not trouble and root is not None:
        trouble = traces(root)  # the ledger has nothing, and something else says that there was
    return Reply(
        data=found
        | {"since": _since(backend, found), "trouble": trouble, "tagged": _tagged(settings)}
        | {"webhooks": _webhooks(settings)}
        | {"questions": _questions(backend)}
    )


def _uploads(root: Path | None) -> tuple[dict[str, Any], str]:
    nothing: dict[str, Any] = {
        "uploads": 0,
        "messages": 0,
        "bytes": 0,
        "first": None,
        "last": None,
        "ledger": [],
    }
    if root is None or not (root / LEDGER).exists():
        return nothing, ""
    try:
        ledger = Database(
            root / LEDGER,
            create=False,
            timeout_s=_TIMEOUT_S,
            refused=StorageError,
            damaged=LedgerUnreadableError,
        )
        try:
            sums = [dict(row) for row in ledger.rows(SQL.sums)]
            rows = [_upload(row) for row in ledger.rows(SQL.last_uploads, limit=SHOWN)]
            if ledger.row(SQL.has_webhooks) is not None:
                sums += [dict(row) for row in ledger.rows(SQL.webhook_sums)]
                rows += [_message(row) for row in ledger.rows(SQL.last_webhooks, limit=SHOWN)]
        finally:
            ledger.close()
    except (CutoutdError, sqlite3.Error, OSError) as error:
        return nothing, f"{LedgerUnreadableError.title}: {error}"
    first_us = [one["first_us"] for one in sums if one["first_us"] is not None]
    last_us = [one["last_us"] for one in sums if one["last_us"] is not None]
    return {
        "uploads": sum(one.get("uploads", 0) for one in sums),
        "messages": sum(one.get("messages", 0) for one in sums),
        "bytes": sum(one["bytes"] for one in sums),
        "first": rfc3339(min(first_us)) if first_us else None,
        "last": rfc3339(max(last_us)) if last_us else None,
        "ledger": sorted(rows, key=lambda one: str(one["at"]), reverse=True)[:SHOWN],
    }, ""


def _with_cluster(found: dict[str, Any], sent: Path) -> dict[str, Any]:
    """The uploads, and what was sent to machines of a cluster."""
    try:
        cluster = totals(sent, SHOWN)
    except OSError:
        return found  # `cutoutd audit` says why
    if not cluster.pictures:
        return found
    rows = [
        {
            **{name: one[name] for name in ("at", "folder", "job", "bytes")},
            "host": one["scheduler"],
            "status": "done",
            "provider": PROVIDER,
            "credits": None,
            "why": "",
            "cause": "",
        }
        for one in cluster.newest
    ]
    ledger = sorted([*found["ledger"], *rows], key=lambda one: str(one["at"]), reverse=True)[:SHOWN]
    return found | {
        "uploads": found["uploads"] + cluster.pictures,
        "bytes": found["bytes"] + cluster.bytes,
        "first": min(filter(None, (found["first"], cluster.first))),
        "last": max(filter(None, (found["last"], cluster.last))),
        "ledger": ledger,
    }


def _message(row: sqlite3.Row) -> dict[str, Any]:
    """Return a request to a webhook in the form of an upload."""
    return {
        "at": rfc3339(row["began_us"]),
        "status": _ENDS.get(row["outcome"], row["outcome"]),
        **{name: row[name] for name in ("folder", "job", "host", "bytes")},
        "provider": "webhook",
        "credits": None,
        "why": f"{row['type']}, {row['what']}{_here(row['host'])}",
        "cause": row["cause"] or "",
    }


def _upload(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "at": rfc3339(row["began_us"]),
        "status": _ENDS.get(row["outcome"], row["outcome"]),
        **{name: row[name] for name in ("folder", "job", "host", "provider", "bytes", "credits", "why")},
        "cause": row["cause"] or "",
    }


def _since(backend: Backend, found: Mapping[str, Any]) -> str | None:
    """Return the start of the record: the first upload, or the first watched folder."""
    known = [found["first"]] if found["first"] is not None else []
    with journal(backend) as store:
        if store is not None:
            known += [
                rfc3339(row["first_run_us"])
                for row in store.rows(JOURNAL_SQL.first_runs)
                if 0 < row["first_run_us"] <= backend.clock.now_us()
            ]
    return min(known, default=None)


def _tagged(settings: Settings | None) -> list[dict[str, str]]:
    if settings is None:
        return []
    return [
        {"folder": one.name, "route": one.route.value, "host": str(settings.hosted.address)}
        for one in settings.tagged
    ] + [
        {"folder": one.name, "route": one.route.value, "host": settings.cluster.scheduler}
        for one in settings.clustered
    ]


def _webhooks(settings: Settings | None) -> list[dict[str, str]]:
    """Return the receivers of results; without full addresses, which may hold a secret."""
    if settings is None:
        return []
    return [
        {"folder": folder.name, "host": one.url.authority, "include": one.include.value}
        for folder in settings.with_webhooks
        for one in folder.webhook
    ]


def _here(host: str) -> str:
    return ", on this machine" if stays_here(host) else ""


def _questions(backend: Backend) -> list[dict[str, Any]]:
    is_running, live = daemon_status(backend)
    processes = _processes(live.get("pid")) if is_running else []
    worker = live.get("worker") or {}
    layers = [str(one) for one in worker.get("layers", ())]
    settings, tagged, told = backend.settings, _tagged(backend.settings), _webhooks(backend.settings)
    names = dict.fromkeys(one.model for one in settings.folder if one.model) if settings is not None else {}
    away = dict.fromkeys(one["folder"] for one in (*tagged, *told) if not stays_here(one["host"]))
    local = [one.name for one in settings.folder if one.name not in away] if settings is not None else []
    not_running = [] if is_running else ["cutoutd does not run just now, so there are no processes to show."]
    leaves = (
        f"Yes, but for the pictures of {', '.join(one['folder'] for one in tagged)}, which are sent away."
        if tagged
        else f"Yes, and the results of {', '.join(away)} are sent to webhooks."
        if away
        else f"Yes. The results of {', '.join(dict.fromkeys(one['folder'] for one in told))} are sent to programs on this machine."
        if told
        else "Yes. No folder may send a picture away, so no process that gets to see one has a way to the network."
    )
    return [
        {
            "code": "where_runs",
            "answer": _where_it_runs(settings),
            "evidence": [
                *not_running,
                *(
                    [f"{_workers(live.get('workers'))}; the model runs on {worker['provider']}"]
                    if worker
                    else []
                ),
                *processes,
            ],
        },
        {
            "code": "where_stored",
            "answer": "On this machine, as a file whose checksum is compared before it is used.",
            "evidence": _models(names),
        },
        {
            "code": "offline",
            "answer": leaves,
            "evidence": [
                *(f"{one}: nothing leaves this machine" for one in local),
                *(f"{one['folder']}: {one['route']} → {one['host']}" for one in tagged),
                *(f"{one['folder']}: {one['include']} → {one['host']}{_here(one['host'])}" for one in told),
            ],
        },
        {
            "code": "workers",
            "answer": "They decode pictures in a sandbox: each can use one opened picture and the files of its results, and nothing else.",
            "evidence": layers or not_running or ["No worker has started yet."],
        },
    ]


def _workers(count: object) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _where_it_runs(settings: Settings | None) -> str:
    here = "On this machine, in processes of cutoutd of their own, the workers"
    clustered = settings.clustered if settings is not None else ()
    if settings is None or not clustered:
        return f"{here}."
    names = ", ".join(folder.name for folder in clustered)
    there = f"of {names} on the machines of the cluster at {settings.cluster.scheduler}"
    away = [folder.name for folder in clustered if folder.route is Route.CLUSTER_THEN_LOCAL]
    but = f", and those of {', '.join(away)} here while that is away" if away else ""
    return f"{here}; the pictures {there}{but}."


def _models(names: Mapping[str, None]) -> list[str]:
    try:
        specs = [spec for spec in catalog.read() if spec.name in names] or list(catalog.read()[:1])
    except CutoutdError as error:
        return [str(error)]
    return [f"{one.name}: {one.file}, SHA-256 {one.sha256}" for one in specs]


def _processes(pid: object) -> list[str]:
    """What the kernel says of the daemon and its children: that the filter of system calls is on, and rights cannot grow."""
    if not isinstance(pid, int):
        return []
    family = [pid]
    for one in family:
        try:
            children = Path(f"/proc/{one}/task/{one}/children").read_text(encoding="ascii")
        except OSError:
            continue
        family += [int(child) for child in children.split()][: _PROCESSES - len(family)]
    return [said for one in family if (said := _status_of(one))]


def _status_of(pid: int) -> str:
    """In words, what one process of ours is and may do; empty if it is gone, or another user's."""
    process = Path(f"/proc/{pid}")
    try:
        if process.stat().st_uid != os.getuid():
            return ""
        lines = (process / "status").read_text(encoding="utf-8", errors="replace").splitlines()
        words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    found = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    calls = (
        "its system calls are filtered"
        if found.get("Seccomp") == "2"
        else "its system calls are not filtered"
    )
    rights = (
        "and it cannot gain privileges"
        if found.get("NoNewPrivs") == "1"
        else "and it has its user's privileges"
    )
    role = role_of(words)
    handles = f"{_HANDLES_NOTHING}; " if role == _KEEPER else ""
    return f"{role}, process {pid}: {handles}{calls}, {rights}"


def role_of(words: Sequence[str]) -> str:
    """What a process of ours is.

    Args:
        words: of its command line; folders that it names may be called as anything here is.
    """
    for word, following in pairwise((*words, "")):
        if word.startswith("cutoutd."):
            return next(
                (said for name, said in _MODULES if word.startswith(name)), "short-lived helper process"
            )
        if (word == "cutoutd" or word.endswith("/cutoutd")) and not following.startswith("-"):
            return _COMMANDS.get(following, "supervisor")
    return "supervisor"


ENDPOINTS: Final[Mapping[str, Endpoint]] = {"egress": read(egress)}
