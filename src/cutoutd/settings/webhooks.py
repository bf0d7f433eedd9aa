"""``[webhooks]`` and ``[[folder.webhook]]``: the receivers of a folder's results, and what is sent.

This is a tag of its own, independent of ``[hosted]``, since already the name of a file can be confidential. This module checks
only the text of an address; what a name resolves to is checked when it is used.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BeforeValidator, Field

from cutoutd.settings.hosted import Address, AddressScope, parse_with
from cutoutd.settings.types import Place, ReadBy, Table, format_value, lenient, number

if TYPE_CHECKING:
    from collections.abc import Iterator

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[A-Za-z0-9/._~%!$&'()*+,;=:@-]*(?:\?[A-Za-z0-9/?._~%!$&'()*+,;=:@-]*)?)?"
)
_EXPECTED: Final = (
    "it takes an address such as https://shop.example.net/cutouts, without a name, a password or a fragment"
)

MAX_PER_FOLDER: Final = 8
"""Each webhook has a thread of its own, and a result waits for each."""


class WebhookEvent(StrEnum):
    """The event that a webhook receives."""

    DONE = "done"  # a cutout was published
    REVIEW = "review"  # a cutout waits for a person
    FAILED = "failed"  # a picture failed, or it is unknown whether a service has cut it


class WebhookContent(StrEnum):
    """The content that is sent for a result."""

    SIDECAR = "sidecar"  # names, sizes and figures; no picture
    RESULT = "result"  # the same, and the published files themselves


def _url(written: object, _: object) -> Address:
    return written if isinstance(written, Address) else parse_with(written, _URL, _EXPECTED)


def _events(written: object) -> object:
    if not isinstance(written, list | tuple):
        return written
    known = [event.value for event in WebhookEvent]
    if not written:
        raise ValueError(f"is empty, so nothing would be sent; there are {', '.join(known)}")
    for one in written:
        if one not in known:
            raise ValueError(f"{format_value(one)} is not an event; there are {', '.join(known)}")
    return tuple(WebhookEvent(one) for one in dict.fromkeys(written))


class FolderWebhook(Table):
    """``[[folder.webhook]]``: a receiver of a folder's results, and what is sent."""

    url: Annotated[Address, ReadBy(_url)] = Field(description="Address that results are sent to, by POST.")
    secret_file: Place = Field(
        description="File with the secret that signs each message; while the secret is changed, one more line with the other one."
    )
    events: Annotated[tuple[WebhookEvent, ...], BeforeValidator(_events)] = lenient(
        tuple(WebhookEvent), "Events that are sent."
    )
    include: WebhookContent = lenient(WebhookContent.SIDECAR, "What is sent of a result.")
    allow_private: bool = Field(
        default=False,
        description="Whether the receiver may be on this machine or in a private network, also by plain http.",
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Return problems between the keys of the table, by key."""
        place = self.url
        is_near = place.scope in (AddressScope.LOOPBACK, AddressScope.PRIVATE)
        if is_near and not self.allow_private:
            text = f"{place.authority} is on this machine or in a private network; write allow_private = true if that is intended"
            yield "url", text
        elif not place.is_encrypted and not (self.allow_private and place.scope is not AddressScope.PUBLIC):
            text = f"everybody on the way to {place.authority} could read the messages; write the address with https"
            yield "url", text


class WebhookSettings(Table):
    """``[webhooks]``: whether results are sent to webhooks at all, and the limits."""

    enabled: bool = Field(default=False, description="Whether anything may be sent to webhooks at all.")
    timeout_s: float = number(15.0, (1, 300), "Seconds that a receiver may take to answer.")
    max_result_mb: int = number(
        25,
        (1, 100),
        'MiB of a file that is sent along with include = "result"; of a larger one, only the name is sent.',
    )
    max_waiting_mb: int = number(
        1024,
        (1, 1_000_000),
        "MiB of disk for messages that wait for receivers; above it, results wait in the journal.",
    )


def webhook_id(folder: str, webhook: FolderWebhook) -> str:
    """Return the id of a webhook in messages: 16 hex digits, constant for the same folder and address."""
    return hashlib.sha256(f"{folder}\0{webhook.url}".encode()).hexdigest()[:16]
