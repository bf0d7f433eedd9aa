"""Signatures of Standard Webhooks, by which a receiver verifies the sender and the time of a message.

Source: https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md (symmetric, ``v1``): HMAC-SHA256 over
``ID.TIMESTAMP.BODY``, in base64. While a secret is being changed both sign, so that a receiver may know either.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from itertools import chain
from typing import TYPE_CHECKING, Final

from cutoutd.errors import ConfigurationError
from cutoutd.hosted.key import secret_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_PREFIX: Final = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64
"""Of a secret, by the specification."""

_MOST: Final = 2
"""Secrets that hold at the same time."""

_MAX_FILE: Final = 400
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_WHAT: Final = "the webhook's secret"
_ADVICE: Final = (
    "It takes a file that only you can read (chmod 600), with a line such as whsec_ and 32 random bytes in base64: "
    "`(printf whsec_; head -c 32 /dev/urandom | base64) > FILE` makes one. A second line may hold the previous secret."
)


class WebhookSecret:
    """A secret whose ``repr`` does not reveal it.

    Args:
        secret: bytes of the secret.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def begin(self) -> hmac.HMAC:
        """Return a new HMAC of this secret."""
        return hmac.new(self._secret, digestmod=hashlib.sha256)

    def __repr__(self) -> str:
        return "WebhookSecret([secret])"

    def __reduce__(self) -> str:
        raise TypeError("a secret does not leave its process")


def read_secrets(file: Path) -> tuple[WebhookSecret, ...]:
    """Read the secrets of a file, the current one first.

    Raises:
        ConfigurationError: the file cannot be read, is readable by others, or holds no valid secret.
    """
    lines = secret_text(file, _WHAT, _ADVICE, most=_MAX_FILE).split()
    if not 1 <= len(lines) <= _MOST:
        raise ConfigurationError(
            f"the file holds {len(lines)} secrets, and takes one or two", path=file, advice=_ADVICE
        )
    return tuple(_secret(line, file) for line in lines)


def sign(secrets: Sequence[WebhookSecret], id_: str, timestamp: int, body: Iterable[bytes]) -> str:
    """Return the header ``webhook-signature``.

    Args:
        secrets: secrets, each of which signs.
        id_: id of the message.
        timestamp: time of this attempt, Unix seconds.
        body: chunks of the body.
    """
    signatures = [secret.begin() for secret in secrets]
    for piece in chain([f"{id_}.{timestamp}.".encode("ascii")], body):
        for one in signatures:
            one.update(piece)
    return " ".join(f"v1,{base64.b64encode(one.digest()).decode('ascii')}" for one in signatures)


def _secret(line: str, file: Path) -> WebhookSecret:
    text = line.removeprefix(_PREFIX)
    try:
        found = base64.b64decode(text, validate=True) if _BASE64.fullmatch(text) else b""
    except binascii.Error:
        found = b""
    if not line.startswith(_PREFIX) or not _LEAST_BYTES <= len(found) <= _MOST_BYTES:
        raise ConfigurationError(
            f"the file holds no secret: {_PREFIX} and {_LEAST_BYTES} to {_MOST_BYTES} bytes in base64",
            path=file,
            advice=_ADVICE,
        )
    return WebhookSecret(found)
