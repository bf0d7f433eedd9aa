"""Paired browsers: SHA-256 of cookie and token, and the user, of each; kept over restarts.

It must not give the same secrets twice.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

from cutoutd import logs
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.private_directory import read_small
from cutoutd.page import pairing
from cutoutd.sha256 import is_sha256
from cutoutd.webserver.backend.method import RefusedError, Reply
from cutoutd.webserver.backend.parameters import text

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.page.backend.method import Backend
    from cutoutd.webserver.backend.method import Parameters

_FILE: Final = "sessions.json"
_MOST: Final = 64
"""Browsers; the one that was paired first is forgotten."""

_MAX_BYTES: Final = 1 << 16
_TRIES: Final = 10
_TRIES_S: Final = 60.0
"""Ten wrong codes or passwords a minute, of all browsers together; then no password, be it right, for the rest of it. A code has
192 bits, and a right one is always taken."""


class BrowserSessions:
    """Browsers that were paired.

    Args:
        state_dir: where they are kept.
        clock: of this machine.
        password: what is taken in a code's stead; empty: nothing is.
    """

    def __init__(self, state_dir: Path, clock: Clock, password: str = "") -> None:
        self._state_dir = state_dir
        self._clock = clock
        self._password = password
        self._lock = threading.Lock()
        self._known = self._read()
        self._wrong_s: list[float] = []

    def all(self) -> list[list[str | int | None]]:
        """Of each browser the SHA-256 of its cookie and of its token, and whose it is."""
        with self._lock:
            return [list(one) for one in self._known]

    def pair(self, _: Backend, params: Parameters) -> Reply:
        """Exchange a code or the password for the secrets of a browser.

        Raises:
            RefusedError: the code is expired, used or unknown; or there were too many wrong attempts.
        """
        code = text(params, "code", longest=1000)
        uid = params.get("uid")
        uid = uid if type(uid) is int else None
        with self._lock:
            # A code cannot be guessed: another user of this machine who brings wrong ones must not shut its owner out.
            if pairing.redeem(self._state_dir, code):
                return Reply(data=self._new(uid))
            now_s = self._clock.monotonic_s()
            self._wrong_s = [one for one in self._wrong_s if now_s - one < _TRIES_S]
            if len(self._wrong_s) >= _TRIES:
                raise RefusedError(429, "tries", "Too many codes were wrong. Try again in a minute.")
            if not self._is_password(code):
                self._wrong_s.append(now_s)
                raise RefusedError(
                    403,
                    "code",
                    "This code has expired or was used. Run `cutoutd page` again, which opens a new one.",
                )
            return Reply(data=self._new(uid))

    def _is_password(self, word: str) -> bool:
        return bool(self._password) and secrets.compare_digest(_digest(word), _digest(self._password))

    def _new(self, uid: int | None) -> dict[str, Any]:
        cookie, token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._known = [*self._known, (_digest(cookie), _digest(token), uid)][-_MOST:]
        path = pairing.directory(self._state_dir) / _FILE
        try:
            atomic_write(path, [json.dumps(self._known).encode()], synced=False)
        except OSError as error:  # it is paired all the same, until the page is started again
            logs.get().warning("page.sessions", why=str(error))
        return {
            "cookie": cookie,
            "token": token,
            "cookie_sha256": _digest(cookie),
            "token_sha256": _digest(token),
        }

    def _read(self) -> list[tuple[str, str, int | None]]:
        try:
            kept = json.loads(read_small(pairing.directory(self._state_dir) / _FILE, _MAX_BYTES))
            return [
                (cookie, token, uid)
                for cookie, token, uid in kept
                if is_sha256(cookie) and is_sha256(token)
                if uid is None or type(uid) is int
            ]
        except (OSError, ValueError, TypeError):
            return []  # browsers are paired anew


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
