"""A receiver of webhooks on this machine, which answers as a test says, and keeps the messages.

::

    with WebhookReceiver() as receiver:
        receiver.next(500, 410)  # the next two; all others get 200
        ...  # url = receiver.url, allow_private = true
        assert [one.status for one in receiver.seen] == [500, 410]
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

SILENCE: Final = 0
"""Stands for a status: read the whole message, and never answer."""

SECRET: Final = "whsec_" + base64.b64encode(b"a secret for the tests, 32 bytes").decode()


@dataclass(frozen=True, kw_only=True)
class ReceivedWebhook:
    """A message as the receiver saw it.

    Attributes:
        path: path with its query.
        headers: values by name in lower case.
        body: the body, unparsed.
        status: status of the answer; 0 if there was none.
        at_s: monotonic time of the arrival, in seconds.
    """

    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    at_s: float

    @property
    def id(self) -> str:
        """The message's identifier."""
        return self.headers["webhook-id"]

    @property
    def document(self) -> dict[str, Any]:
        """The message's JSON document."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class WebhookReceiver:
    """A server for webhooks, as a context manager.

    Args:
        delay_s: seconds before each answer.
        headers: headers of each answer.
        is_away: whether its port refuses connections until `come_back` is called.
    """

    def __init__(
        self, *, delay_s: float = 0.0, headers: dict[str, str] | None = None, is_away: bool = False
    ) -> None:
        self.seen: list[ReceivedWebhook] = []
        self.delay_s = delay_s
        self.usual = 200
        self.over = threading.Event()
        self._next: deque[int] = deque()
        receiver, extra = self, headers or {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # broken off: it was not told
                status = receiver._next.popleft() if receiver._next else receiver.usual
                receiver.over.wait(receiver.delay_s)
                receiver.seen.append(
                    ReceivedWebhook(
                        path=self.path,
                        headers={name.lower(): value for name, value in self.headers.items()},
                        body=body,
                        status=status,
                        at_s=time.monotonic(),
                    )
                )
                if status == SILENCE:
                    receiver.over.wait(60)
                    return
                self.send_response(status)
                for name, value in extra.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.server_bind()
        self._serves = False
        if not is_away:
            self.come_back()

    def come_back(self) -> None:
        """Accept connections from now on."""
        self._server.server_activate()
        self._serves = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """The address that the receiver listens on."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/told?by=cutoutd"

    def next(self, *statuses: int) -> None:
        """Answer the next messages with these statuses, in this order."""
        self._next.extend(statuses)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        if self._serves:
            self._server.shutdown()
        self._server.server_close()
