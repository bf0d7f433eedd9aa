"""`cutoutd webhook`: lists webhooks and their messages, retries messages, and sends a test."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cutoutd.cli.instance import ConfigOption, find_settings
from cutoutd.cli.printing import printable
from cutoutd.cli.queue import JsonOption
from cutoutd.clock import Clock, rfc3339
from cutoutd.errors import StorageError, UsageError
from cutoutd.exchange.messages import new_id
from cutoutd.exchange.spool import SpoolPaths, uploader_status
from cutoutd.exchange.webhooks import (
    BODY_SCHEMA,
    TEST,
    WebhookMessage,
    WebhookPaths,
    webhooks_waiting,
    write_body,
    write_webhook,
)
from cutoutd.settings.digest import uploads_sha256
from cutoutd.settings.webhooks import webhook_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cutoutd.settings.schema import Folder, Settings
    from cutoutd.settings.webhooks import FolderWebhook

SCHEMA: Final = "cutoutd.webhooks/1"

TEST_S: Final = 60.0
"""Timeout of a test: a receiver may be slow, and the uploader may just be starting."""

_LOOK_S: Final = 0.1
_LEAST: Final = 4
"""Least number of characters of a message id that name it, if they are unique."""

FolderOption = Annotated[str | None, typer.Option("--folder", help="Only this folder's.")]


def build() -> typer.Typer:
    """Make the sub-commands of `cutoutd webhook`."""
    app = typer.Typer(
        help="List webhooks and messages that were given up, send these again, send a test.",
        no_args_is_help=True,
    )
    app.command("list")(list_webhooks)
    app.command("retry")(retry)
    app.command("test")(send_test)
    return app


def list_webhooks(
    *, folder: FolderOption = None, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """List the webhooks, and each message that waits or was given up, with the reason."""
    chosen = find_settings(config, None, None)
    webhooks = _chosen(chosen, folder)
    waiting = [one for one in _messages(chosen) if folder in (None, one.folder)]
    states = {str(one.get("id")): one for one in _receivers(chosen)}
    if as_json:
        documents = [_webhook_document(one, webhook, states) for one, webhook in webhooks]
        document = {"schema": SCHEMA, "webhooks": documents, "messages": [_document(one) for one in waiting]}
        print(json.dumps(document, indent=2))
        return
    if not webhooks:
        print("No folder has a webhook, or [webhooks] enabled is false: nothing is sent.")
    for one, webhook in webhooks:
        off = (
            " - RECEIVER ANSWERED 410: WANTS NO MORE MESSAGES"
            if states.get(webhook_id(one.name, webhook), {}).get("off")
            else ""
        )
        events = ", ".join(webhook.events)
        print(printable(f"{one.name} -> {webhook.url.authority}: {events}; {webhook.include}{off}"))
    for message in waiting:
        print(printable(_line(message)))


def retry(
    message: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of messages, or their beginnings, as `webhook list` shows them."),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that were given up.")] = False,
    folder: FolderOption = None,
    config: ConfigOption = None,
) -> None:
    """Send again what was given up; also to a receiver that wanted nothing more."""
    if bool(message) == everything:
        raise UsageError("name messages, or say --all", advice="`cutoutd webhook list` shows them.")
    chosen = find_settings(config, None, None)
    paths, now_us = WebhookPaths.under(chosen.service.state_dir), Clock().now_us()
    there = [one for one in _messages(chosen) if folder in (None, one.folder)]
    meant = [one for one in there if one.is_dead] if everything else list(_find_named(message or [], there))
    for one in meant:
        try:
            write_webhook(paths, one.asked_again())
        except OSError as error:
            raise StorageError(f"the system says: {error.strerror}", path=paths.events) from error
    print(f"{len(meant)} message{'s' * (len(meant) != 1)} will be sent again.")
    if everything and (waiting := [one for one in there if not one.is_dead]):
        print(_describe_waiting(waiting, now_us))
    if meant and not uploader_status(SpoolPaths.under(chosen.service.state_dir)):
        print("The uploader does not run; `cutoutd run` starts it.")


def _describe_waiting(waiting: list[WebhookMessage], now_us: int) -> str:
    """Return how many messages wait for their next attempt, which `--all` skips, and how to send one now."""
    next_us = max(one.not_before_us for one in waiting)
    at = rfc3339(next_us) if next_us > now_us else "soon"
    how = "`cutoutd webhook list` shows ids; `cutoutd webhook retry ID` sends one now."
    if len(waiting) == 1:
        return f"1 message waits for its next attempt, which comes by itself: {at}. {how}"
    return f"{len(waiting)} messages wait for their next attempts, which come by themselves, the last: {at}. {how}"


def send_test(*, folder: FolderOption = None, config: ConfigOption = None) -> None:
    """Send each webhook a signed test message, and say what came of it."""
    chosen = find_settings(config, None, None)
    webhooks = _chosen(chosen, folder)
    if not webhooks:
        raise UsageError(
            "no folder has a webhook, or [webhooks] enabled is false",
            advice="`cutoutd docs automation` says what to write.",
        )
    if not uploader_status(SpoolPaths.under(chosen.service.state_dir)):
        raise UsageError("the uploader does not run, and only it can send", advice="Start `cutoutd run`.")
    paths = WebhookPaths.under(chosen.service.state_dir)
    sent = [_enqueue_test(paths, chosen, one, webhook) for one, webhook in webhooks]
    failures = [
        _outcome(paths, message, webhook) for message, (_, webhook) in zip(sent, webhooks, strict=True)
    ]
    if any(failures):
        raise typer.Exit(1)


def _enqueue_test(
    paths: WebhookPaths, chosen: Settings, folder: Folder, webhook: FolderWebhook
) -> WebhookMessage:
    now_us, id_ = Clock().now_us(), new_id()
    data = {"schema": BODY_SCHEMA, "folder": folder.name}
    body = json.dumps({"type": TEST, "timestamp": rfc3339(now_us), "data": data})
    try:
        size, sha256 = write_body(paths, id_, [body.encode("utf-8")])
        message = WebhookMessage(
            id=id_,
            webhook=webhook_id(folder.name, webhook),
            folder=folder.name,
            job=0,
            type=TEST,
            what="sidecar",
            number=0,
            about=id_,
            bytes=size,
            sha256=sha256,
            made_us=now_us,
            settings=uploads_sha256(chosen),
            by_hand=True,
        )
        write_webhook(paths, message)
    except OSError as error:
        raise StorageError(f"the system says: {error.strerror}", path=paths.events) from error
    return message


def _outcome(paths: WebhookPaths, message: WebhookMessage, webhook: FolderWebhook) -> str:
    """Wait for the outcome of a test and print it. Returns why it failed; empty if it did not."""
    why = "it was not sent in time; see `cutoutd status`"
    end_s = time.monotonic() + TEST_S
    while time.monotonic() < end_s:
        found = [one for one in webhooks_waiting(paths) if one.id == message.id]
        if not found and not paths.message(message.id).exists():
            why = ""
            break
        if found and found[0].is_dead:
            why = found[0].cause
            break
        time.sleep(_LOOK_S)
    paths.message(message.id).unlink(missing_ok=True)
    said = f"FAILED: {why}" if why else "it was accepted"
    print(printable(f"{message.folder} -> {webhook.url.authority}: {said}"))
    return why


def _chosen(chosen: Settings, name: str | None) -> list[tuple[Folder, FolderWebhook]]:
    if name is not None and name not in {folder.name for folder in chosen.folder}:
        known = ", ".join(folder.name for folder in chosen.folder)
        raise UsageError(f"there is no folder {name!r}", advice=f"Name one of: {known}.")
    return [
        (folder, webhook)
        for folder in chosen.with_webhooks
        for webhook in folder.webhook
        if name in (None, folder.name)
    ]


def _messages(chosen: Settings) -> list[WebhookMessage]:
    paths = WebhookPaths.under(chosen.service.state_dir)
    try:
        return webhooks_waiting(paths)
    except OSError as error:
        raise StorageError(f"the system says: {error.strerror}", path=paths.events) from error


def _find_named(names: Iterable[str], there: list[WebhookMessage]) -> Iterator[WebhookMessage]:
    for name in names:
        found = [one for one in there if len(name) >= _LEAST and one.id.startswith(name.lower())]
        if len(found) != 1:
            what = (
                "no message has an id that begins so"
                if not found
                else f"{len(found)} messages have ids that begin so"
            )
            raise UsageError(f"{printable(name)}: {what}", advice="`cutoutd webhook list` shows them.")
        yield found[0]


def _receivers(chosen: Settings) -> list[dict[str, Any]]:
    return list(uploader_status(SpoolPaths.under(chosen.service.state_dir)).get("webhooks") or ())


def _webhook_document(
    folder: Folder, webhook: FolderWebhook, states: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    id_ = webhook_id(folder.name, webhook)
    return {
        "id": id_,
        "folder": folder.name,
        "host": webhook.url.authority,
        "events": list(webhook.events),
        "include": webhook.include.value,
        "off": bool(states.get(id_, {}).get("off")),
    }


def _document(one: WebhookMessage) -> dict[str, Any]:
    return {
        "id": one.id,
        "webhook": one.webhook,
        "folder": one.folder,
        "job": one.job,
        "type": one.type,
        "state": one.state.value,
        "made_at": rfc3339(one.made_us),
        "attempts": one.attempts,
        "next_at": rfc3339(one.not_before_us) if one.not_before_us and not one.is_dead else None,
        "cause": one.cause,
    }


def _line(one: WebhookMessage) -> str:
    state = "GIVEN UP" if one.is_dead else "waiting"
    why = f": {one.cause}" if one.cause else ""
    at = f", again at {rfc3339(one.not_before_us)}" if one.not_before_us and not one.is_dead else ""
    return f"{one.id[:12]}  {one.folder}  job {one.job}  {one.type}  {state} after {one.attempts} attempts{at}{why}"
