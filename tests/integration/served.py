"""A page that the real command serves, and a minimal browser."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Served:
    """A page served by a real process.

    Attributes:
        process: process of the backend.
        port: port on which it listens.
        code: the first pairing code that it printed.
        home: directory with its state directory and its log.
    """

    process: subprocess.Popen[str]
    port: int
    code: str
    home: Path

    @property
    def log(self) -> str:
        """Return its log."""
        return (self.home / "log").read_text(encoding="utf-8")

    @property
    def state_dir(self) -> Path:
        """State directory of a daemon, which need not run."""
        return self.home / "xdg_state_home" / "cutoutd"

    @property
    def origin(self) -> str:
        """Origin, as a browser sends it."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(kw_only=True)
class Browser:
    """A browser's cookie and token, and its requests."""

    page: Served
    cookie: str = ""
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        path: str,
        *,
        data: object = None,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Send a request. Returns the status, the answer (JSON parsed), and the headers in lower case."""
        sent = {"Sec-Fetch-Site": "same-origin", **self.headers}
        if self.cookie:
            sent["Cookie"] = self.cookie
        body = None
        if data is not None:
            body = json.dumps(data)
            sent |= {"Content-Type": "application/json", "Origin": self.page.origin}
            if self.token:
                sent["X-Cutoutd-Token"] = self.token
        sent |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=30)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        named = {name.lower(): value for name, value in answer.getheaders()}
        is_json = named.get("content-type", "").startswith("application/json")
        return answer.status, json.loads(content) if is_json and content else content, named

    def pair(self, code: str | None = None) -> int:
        """Send a pairing code. Returns the status."""
        status, answer, headers = self.ask("/pair", data={"code": self.page.code if code is None else code})
        if status == 200:
            self.token = answer["token"]
            self.cookie = headers["set-cookie"].partition(";")[0]
        return status


@contextmanager
def served(home: Path, *options: str, **environ: str) -> Iterator[Served]:
    """Serve a page at a free port, with a new state directory."""
    places = {name: os.fspath(home / name.lower()) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    home.mkdir(exist_ok=True)
    with (home / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cutoutd", "page", "--any-port", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **places, **environ},
        )
    assert process.stdout is not None
    try:
        address, _, code = process.stdout.readline().strip().partition("/#")
        port = address.rpartition(":")[2]
        yield Served(process=process, port=int(port) if port.isdigit() else 0, code=code, home=home)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
