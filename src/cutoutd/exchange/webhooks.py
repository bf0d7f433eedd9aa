"""Messages for webhooks, from the supervisor to the uploader: what is to be sent, and the state of its sending.

A message is a JSON file with its body beside it, which is complete and synced before the message has its name. It must not
touch the network, a picture or the journal, and holds no address: the uploader has that from the configuration it reads.

    STATE/hosted/events/ID.json, ID.body    written by the supervisor, for folders with a webhook; updated and removed by the uploader
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.durable import make_directory
from cutoutd.fs.private_directory import read_small, remove

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from pydantic import TypeAdapter

SCHEMA: Final = "cutoutd.webhook/1"
"""Schema of the message; the body is another document."""

BODY_SCHEMA: Final = "cutoutd.event/1"

TEST: Final = "webhook.test"
"""Type of a message that a person sends as a test."""

MAX_BYTES: Final = 16 << 10
_MESSAGE: Final = re.compile(r"([0-9a-f]{32})\.json")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_WEBHOOK: Final = re.compile(r"[0-9a-f]{16}")
_MAX_NUMBER: Final = (1 << 63) - 1


class MessageState(StrEnum):
    """State of a message."""

    WAITING = "waiting"  # for its turn, or for another attempt
    DEAD = "dead"  # given up until a person has it sent again


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookMessage:
    """A message to one receiver.

    Attributes:
        id: 32 hex digits; the receiver gets it, and recognises a repeated message by it.
        webhook: id of the receiver, from `cutoutd.settings.webhooks.webhook_id`.
        folder: name of the folder.
        job: id in the journal; 0 for a test.
        type: type of the event, such as ``picture.done``.
        what: "sidecar" or "result", as in the configuration.
        number: increasing; messages about one picture are sent in this order.
        about: key of the picture, from `picture_key`.
        bytes, sha256: size and digest of the body.
        made_us: time when it was written, UTC microseconds.
        settings: `uploads_sha256` of the supervisor's configuration.
        state: state of the message.
        attempts: number of attempts since it was made, or since a person had it sent again.
        waited_us: scheduled pauses after those attempts, microseconds; other time does not count.
        not_before_us: time of the next attempt, UTC microseconds.
        cause: what the last attempt met, in words.
        given_up_us: time when it was given up; 0 if it is not.
        by_hand: whether a person asked for it, so that it is also sent to a receiver that wanted no more.
    """

    id: str
    webhook: str
    folder: str
    job: int
    type: str
    what: str
    number: int
    about: str
    bytes: int
    sha256: str
    made_us: int
    settings: str
    state: MessageState = MessageState.WAITING
    attempts: int = 0
    waited_us: int = 0
    not_before_us: int = 0
    cause: str = ""
    given_up_us: int = 0
    by_hand: bool = False

    @property
    def is_dead(self) -> bool:
        """Whether the message is given up."""
        return self.state is MessageState.DEAD

    def asked_again(self) -> WebhookMessage:
        """Return the message in the state after a person has it sent again."""
        return replace(
            self,
            state=MessageState.WAITING,
            attempts=0,
            waited_us=0,
            not_before_us=0,
            cause="",
            given_up_us=0,
            by_hand=True,
        )


def picture_key(folder: str, path: str) -> str:
    """Return a key for a picture, so that a message need not name it."""
    return hashlib.sha256(os.fsencode(f"{folder}\0{path}")).hexdigest()[:32]


class WebhookPaths:
    """The files of messages and their bodies.

    Args:
        root: STATE/hosted.
    """

    def __init__(self, root: Path) -> None:
        self.events = root / "events"

    @classmethod
    def under(cls, state_dir: Path) -> WebhookPaths:
        """Return the paths below a state directory."""
        return cls(state_dir / "hosted")

    def make(self) -> None:
        """Create the missing directory, for the owner alone.

        Raises:
            OSError: the disk refuses.
        """
        make_directory(self.events, parents=True, mode=0o700)

    def message(self, id_: str) -> Path:
        """Return the file of a message."""
        return self.events / f"{id_}.json"

    def body(self, id_: str) -> Path:
        """Return the file of a message's body."""
        return self.events / f"{id_}.body"

    def ids(self) -> list[str]:
        """Return the ids of all messages, sorted.

        Raises:
            OSError: the directory cannot be read.
        """
        with suppress(FileNotFoundError), os.scandir(self.events) as entries:
            return sorted(found[1] for entry in entries if (found := _MESSAGE.fullmatch(entry.name)))
        return []


def write_body(paths: WebhookPaths, id_: str, content: Iterable[bytes]) -> tuple[int, str]:
    """Write a body. It is synced when this returns.

    Returns:
        Its size in bytes, and its SHA-256.

    Raises:
        OSError: the disk refuses.
    """
    digest = hashlib.sha256()

    def counted() -> Iterator[bytes]:
        for piece in content:
            digest.update(piece)
            yield piece

    size = atomic_write(paths.body(id_), counted(), synced=True, draft=paths.events / f"{id_}.draft")
    return size, digest.hexdigest()


def write_webhook(paths: WebhookPaths, message: WebhookMessage, *, synced: bool = True) -> None:
    """Write a message, or its new state, once its body is there.

    Raises:
        OSError: the disk refuses; the file is unchanged.
    """
    content = json.dumps({"schema": SCHEMA} | asdict(message)).encode("ascii")
    atomic_write(paths.message(message.id), [content], synced=synced)


def read_webhook(paths: WebhookPaths, id_: str) -> WebhookMessage:
    """Read a message.

    Raises:
        InvalidMessageError: it is not valid.
        OSError: it cannot be read.
    """
    path = paths.message(id_)
    content = read_small(path, MAX_BYTES + 1)
    try:
        fields = json.loads(content) if len(content) <= MAX_BYTES else None
        if not isinstance(fields, dict) or fields.pop("schema", None) != SCHEMA or fields.get("id") != id_:
            raise InvalidMessageError(f"{path}: not a message for a webhook")
        message: WebhookMessage = _adapter().validate_json(json.dumps(fields), strict=True)
    except (
        ValueError,
        RecursionError,
    ) as error:  # pydantic's are of the first kind, as is what a number of 5000 digits gives
        raise InvalidMessageError(f"{path}: not a message for a webhook") from error
    numbers = (
        message.job,
        message.bytes,
        message.number,
        message.attempts,
        message.waited_us,
        message.given_up_us,
        message.made_us,
    )
    if (
        not _ID.fullmatch(id_)
        or not _WEBHOOK.fullmatch(message.webhook)
        or not all(0 <= one <= _MAX_NUMBER for one in numbers)
    ):
        raise InvalidMessageError(f"{path}: an impossible name or number")
    return message


def webhooks_waiting(paths: WebhookPaths) -> list[WebhookMessage]:
    """Return all valid messages, in the order they were made.

    Raises:
        OSError: the directory cannot be read.
    """
    found = []
    for id_ in paths.ids():
        with suppress(OSError, InvalidMessageError):
            found.append(read_webhook(paths, id_))
    return sorted(found, key=lambda one: (one.number, one.made_us))


def remove_webhook(paths: WebhookPaths, id_: str) -> None:
    """Remove a message and then its body, as far as they exist.

    Raises:
        OSError: the disk refuses.
    """
    remove(paths.message(id_))
    remove(paths.body(id_))


def rename_folder(paths: WebhookPaths, webhooks: Mapping[str, str], name: str) -> None:
    """Give the messages of a folder that was renamed its present name; their bodies stay as they are.

    Args:
        paths: the files.
        webhooks: present ids of the folder's webhooks, by the ids under the former name.
        name: present name of the folder.

    Raises:
        OSError: the disk refuses; to be called again.
    """
    for id_ in paths.ids() if webhooks else ():
        with suppress(InvalidMessageError, FileNotFoundError):
            message = read_webhook(paths, id_)
            if (webhook := webhooks.get(message.webhook)) is not None:
                write_webhook(paths, replace(message, webhook=webhook, folder=name))


def withdraw_others(paths: WebhookPaths, webhooks: Collection[str]) -> int:
    """Remove the messages for any other webhook than these, which the configuration no longer allows. Returns how many.

    Raises:
        OSError: the disk refuses.
    """
    count = 0
    for id_ in paths.ids():
        whom = ""
        with suppress(InvalidMessageError, FileNotFoundError):
            whom = read_webhook(paths, id_).webhook
        if whom not in webhooks:
            remove_webhook(paths, id_)
            count += 1
    return count


def remove_leftovers(paths: WebhookPaths, before_s: float) -> None:
    """Remove bodies and drafts without a message.

    Args:
        paths: the files.
        before_s: only files that were written before this time, seconds since 1970.

    Raises:
        OSError: the directory cannot be read.
    """
    ids = set(paths.ids())
    with os.scandir(paths.events) as entries:
        for entry in entries:
            stem, _, suffix = entry.name.partition(".")
            is_left = suffix in ("new", "draft") or (suffix == "body" and stem not in ids)
            with suppress(OSError):
                if is_left and entry.stat(follow_symlinks=False).st_mtime < before_s:
                    remove(paths.events / entry.name)


@cache
def _adapter() -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 -- 0.1 s that the local route is spared

    return TypeAdapter(WebhookMessage)
