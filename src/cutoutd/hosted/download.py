"""Fetches one published file by HTTPS, for the command `cutoutd models fetch`.

It asks one address, and follows redirects to listed hosts only. An interrupted download is resumed, unless the file was
changed since. It sends nothing but the request. It must not look at the content: that is checked, and tried in the sandbox,
before it is used.

HTTP: RFC 9110, ranges in section 14, If-Range in 13.1.5.
"""

from __future__ import annotations

import logging
import re
import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import certifi
import httpcore

from cutoutd.errors import ModelError
from cutoutd.hosted.client import BREAKS
from cutoutd.hosted.connection import ConnectionBackend, ExchangeLimits, Resolver

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cutoutd.clock import Clock
    from cutoutd.hosted.partial import PartialFile

STALL_S: Final = 60.0
"""Seconds for the headers of an answer, and then for each MiB: slower than 17 kB/s counts as stalled."""

MAX_BYTES: Final = 2 << 30
"""Limit of a file whose size is not published: twice that of the largest one that is."""

_CONNECT_S: Final = 10.0
_PROGRESS_BYTES: Final = 1 << 20
_REDIRECTS: Final = 5
_ATTEMPTS: Final = 5
"""Attempts at a download; each further one is made only if the one before brought something."""

_REDIRECTING: Final = frozenset({301, 302, 303, 307, 308})
_WHOLE, _PART, _NO_SUCH_RANGE = 200, 206, 416
_LATER: Final = frozenset({429, 500, 502, 503, 504})
_RANGE: Final = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)")


class FetchError(ModelError):
    """The file could not be fetched; what came so far is kept."""

    title = "The model could not be fetched"
    advice = ""


class BrokenOffError(FetchError):
    """The connection failed: the download can be resumed."""


class _ChangedError(FetchError):
    """The file on the server is not the one that was begun: the download starts again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadTarget:
    """What to fetch.

    Attributes:
        url: published address, https.
        hosts: hosts that it may be redirected to, with the port if it is not 443.
        bytes: size; 0: unknown.
    """

    url: str
    hosts: Collection[str]
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactedHost:
    """A server that was contacted.

    Attributes:
        host: host, with the port if it is not 443.
        answer: its answer, in words.
    """

    host: str
    answer: str


class Download:
    """The download of one file.

    Args:
        wanted: what to fetch.
        partial: file that it is written to.
        clock: source of monotonic time.
        on_progress: called with the number of bytes so far, and the total; 0: unknown.
        context: TLS context; None: the authorities that come with the client.

    Attributes:
        contacts: all servers that were contacted, in order.
    """

    def __init__(
        self,
        wanted: DownloadTarget,
        partial: PartialFile,
        *,
        clock: Clock,
        on_progress: Callable[[int, int], object],
        context: ssl.SSLContext | None = None,
    ) -> None:
        logging.getLogger("httpcore").setLevel(logging.CRITICAL)
        self._wanted = wanted
        self._partial = partial
        self._clock = clock
        self._on_progress = on_progress
        self._exchange = ExchangeLimits(clock, limit_s=STALL_S)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context or ssl.create_default_context(cafile=certifi.where()),
            max_keepalive_connections=0,
            network_backend=ConnectionBackend(Resolver(), lambda: self._exchange, ()),
        )
        self.contacts: list[ContactedHost] = []

    def fetch(self) -> None:
        """Fetch the file, or the missing part of it.

        Raises:
            BrokenOffError: the connection failed or stalled; what came is kept.
            FetchError: the server does not have the file, has another one, or redirects elsewhere; or it cannot be written.
        """
        why = ""
        with self._pool:
            for _ in range(_ATTEMPTS):
                before = self._partial.size
                try:
                    self._follow()
                except _ChangedError as error:
                    why = error.cause
                except BrokenOffError as error:
                    why = error.cause
                    if self._partial.size <= before or not self._partial.version:
                        raise
                else:
                    return
        raise BrokenOffError(f"it was tried {_ATTEMPTS} times; the last time: {why}")

    def _follow(self) -> None:
        """Send the request, and follow allowed redirects."""
        url = _parse(self._wanted.url)
        for _ in range(_REDIRECTS + 1):
            try:
                onward = self._ask(url)
            except BREAKS as error:
                said = _describe(error)
                self._answered(said)
                raise BrokenOffError(f"{_authority(url)}: {said}") from error
            except OSError as error:  # of the file: the client has its own errors for the connection
                raise FetchError(
                    f"it cannot be written ({error.strerror})",
                    path=self._partial.path,
                    advice="Make room for it.",
                ) from error
            if onward is None:
                return
            url = self._onward(url, onward)
        raise FetchError(f"it is redirected more than {_REDIRECTS} times")

    def _onward(self, url: httpcore.URL, location: str) -> httpcore.URL:
        if location.startswith("/") and not location.startswith("//"):
            return httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=location.encode())
        onward = _parse(location)
        host = _authority(onward)
        if onward.scheme != b"https":
            raise FetchError(
                f"{_authority(url)} redirects to {host} without encryption, which cutoutd refuses"
            )
        if host not in self._wanted.hosts:
            raise FetchError(
                f"{_authority(url)} redirects to {host}, which is none of the hosts of the catalogue "
                f"({', '.join(self._wanted.hosts)}); no request was sent there"
            )
        return onward

    def _ask(self, url: httpcore.URL) -> str | None:
        """Ask one server. Returns where it redirects to, or None once the whole file is here."""
        self._exchange = ExchangeLimits(self._clock, limit_s=STALL_S)
        offset, version = self._partial.size, self._partial.version
        self.contacts.append(
            ContactedHost(host=_authority(url), answer="was asked; its answer was not read to the end")
        )
        headers = [("Host", _authority(url)), ("User-Agent", "cutoutd"), ("Accept-Encoding", "identity")]
        if version:
            headers += [("Range", f"bytes={offset}-"), ("If-Range", version)]
        timeouts = {"connect": _CONNECT_S, "read": STALL_S, "write": STALL_S, "pool": STALL_S}
        with self._pool.stream(b"GET", url, headers=headers, extensions={"timeout": timeouts}) as response:
            self._exchange.begin_body()
            said = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in _REDIRECTING and "location" in said:
                self._answered("redirected")
                return said["location"]
            if response.status == _NO_SUCH_RANGE and version:
                self._answered("does not have the missing part")
                self._partial.begin("")  # the file on the server is another, shorter one
                raise _ChangedError("the file was changed")
            total = self._begin(_authority(url), response.status, said)
            self._exchange.renew()
            self._take(response, total)
            size = self._partial.size
            self._answered(
                f"sent {(size - offset) / 1e6:.1f} MB"
                if size >= offset
                else f"sent {size / 1e6:.1f} MB, from the beginning"
            )
        return None

    def _begin(self, host: str, status: int, said: dict[str, str]) -> int:
        """Check the answer and prepare the file. Returns the total size; 0: unknown."""
        if said.get("content-encoding", "identity").strip().lower() != "identity":
            raise self._refusal(host, "sent a compressed answer, which was not asked for")
        length = int(said["content-length"]) if said.get("content-length", "").isdecimal() else 0
        if status == _PART:
            found = _RANGE.fullmatch(said.get("content-range", ""))
            if found is None or int(found[1]) != self._partial.size or not self._partial.version:
                self._partial.begin("")
                self._answered("sent another part than was asked for")
                raise _ChangedError("another part than was asked for came")
            total = 0 if found[3] == "*" else int(found[3])
        elif status == _WHOLE:
            self._partial.begin(_version(said))
            total = length
        elif status in _LATER:
            after = said.get("retry-after", "")
            later = f" for {after} s" if after.isdecimal() else ""
            raise self._refusal(host, f"cannot give it now{later} (HTTP {status}); try again later")
        else:
            raise self._refusal(host, f"does not have it there (HTTP {status})")
        wanted = self._wanted.bytes
        if wanted and total and total != wanted:
            self._partial.begin("")
            raise self._refusal(host, f"has another file there: {total:,} bytes, and not {wanted:,}")
        if total > MAX_BYTES:
            self._partial.begin("")
            raise self._refusal(host, f"has {total:,} bytes there, which is not a model that is known")
        return wanted or total

    def _take(self, response: httpcore.Response, total: int) -> None:
        most, renewed = total or MAX_BYTES, self._partial.size
        for piece in response.iter_stream():
            if self._partial.size + len(piece) > most:
                self._partial.begin("")
                raise FetchError(f"more than {most:,} bytes came, so it is another file")
            self._partial.append(piece)
            if self._partial.size - renewed >= _PROGRESS_BYTES:
                renewed = self._partial.size
                self._exchange.renew()
            self._on_progress(self._partial.size, total)
        if self._partial.size < total:
            raise httpcore.RemoteProtocolError("cut short")
        self._partial.sync()

    def _answered(self, words: str) -> None:
        """Record the answer of the last server."""
        self.contacts[-1] = replace(self.contacts[-1], answer=words)

    def _refusal(self, host: str, words: str) -> FetchError:
        self._answered(words)
        return FetchError(f"{host} {words}")


def _parse(url: str) -> httpcore.URL:
    try:
        parsed = httpcore.URL(url.encode("ascii"))
        host = parsed.host.decode("ascii")
    except ValueError as error:  # an encoding's error is one
        raise FetchError("it is redirected to something that is not an address") from error
    if not host:
        raise FetchError("it is redirected to something that is not an address")
    return parsed


def _authority(url: httpcore.URL) -> str:
    host = url.host.decode("ascii")
    host = f"[{host}]" if ":" in host else host
    return host if url.port in (None, 443) else f"{host}:{url.port}"


def _version(said: dict[str, str]) -> str:
    """Return the validator for If-Range: a strong ETag or a date; empty if there is none."""
    tag = said.get("etag", "")
    return tag if tag.startswith('"') else said.get("last-modified", "") if not tag else ""


def _describe(error: Exception) -> str:
    if isinstance(error, httpcore.ConnectError):
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return "it cannot prove that it is who it says"
        return f"it cannot be reached ({error})"
    if isinstance(error, httpcore.ConnectTimeout):
        return "it cannot be reached (no answer)"
    if isinstance(error, httpcore.TimeoutException):
        return f"nothing came for {STALL_S:.0f} s, or too little"
    return f"the connection broke ({str(error) or type(error).__name__})"
