"""Access control: hosts, origins, sessions, and security headers.

Another web site can make a person's browser send requests here, and its name can resolve to this machine (DNS rebinding). So
the Host header of every request must be an allowed name. A request that changes something needs the page's own origin and a
token that only the page's scripts have. The cookie alone allows only reading, since browsers send it to every port. A program
of another user of this machine could obtain cookie and token that way; so both are valid only for the user who paired the browser.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from cutoutd.webserver.web.hosts import AllowedHosts

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_HEADER: Final = "x-cutoutd-token"  # noqa: S105 -- a header's name

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Headers of every response."""


class Session(NamedTuple):
    """A paired browser.

    Attributes:
        token_sha256: SHA-256 of its token.
        uid: id of its user on this machine; None: unknown, or on another machine.
    """

    token_sha256: str
    uid: int | None


@dataclass(kw_only=True, slots=True)
class AccessRules(AllowedHosts):
    """Rules for hosts, origins and sessions.

    Attributes:
        is_encrypted: browsers use TLS, to this process or to the proxy.
        cookie: name of the cookie; each cutoutd of a machine has its own, since cookies ignore ports.
        sessions: paired browsers, by the SHA-256 of their cookie.
    """

    is_encrypted: bool
    cookie: str
    sessions: dict[str, Session] = field(default_factory=dict)

    def is_own_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether a request comes from the page itself; call it after the host was checked."""
        origin = headers.get("origin", "")
        own = f"{'https' if self.is_encrypted else 'http'}://{headers.get('host', '').lower()}"
        return origin.lower() == own and headers.get("sec-fetch-site", "same-origin") == "same-origin"

    def is_own_or_typed(self, headers: Mapping[str, str]) -> bool:
        """Whether the browser says that a request comes from the page itself, or from an address that a person opened."""
        return headers.get("sec-fetch-site", "none") in {"same-origin", "none"}

    def may_read(self, cookies: Mapping[str, str], uid: int | None) -> bool:
        """Whether the cookie is that of a paired browser, sent by the user who paired it."""
        return self._session(cookies, uid) is not None

    def may_write(self, cookies: Mapping[str, str], headers: Mapping[str, str], uid: int | None) -> bool:
        """Whether cookie and token are those of one paired browser, sent by the user who paired it."""
        session = self._session(cookies, uid)
        given = digest(headers.get(TOKEN_HEADER, ""))
        return session is not None and hmac.compare_digest(session.token_sha256, given)

    def _session(self, cookies: Mapping[str, str], uid: int | None) -> Session | None:
        given = cookies.get(self.cookie, "")
        # Looked up by a hash, so that the time it takes reveals nothing about the cookie.
        session = self.sessions.get(digest(given)) if given else None
        return session if session is not None and session.uid == uid else None


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret; only the hash is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
