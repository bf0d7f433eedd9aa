"""A daemon with its API, by the real commands and a small model, and a minimal client."""

from __future__ import annotations

import http.client
import io
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.integration import small_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Serving:
    """An API, and the folder behind it.

    Attributes:
        home: directory for everything.
        port: port on which it listens.
        key: key of a client, for the folder ``shop``.
        environment: environment of the commands.
        serve: process behind the API.
    """

    home: Path
    port: int
    key: str
    environment: Mapping[str, str]
    serve: subprocess.Popen[str]

    @property
    def input(self) -> Path:
        """Input of the folder."""
        return self.home / "in"

    @property
    def output(self) -> Path:
        """Output of the folder."""
        return self.home / "out"

    @property
    def web_process(self) -> int:
        """Process that answers clients; any thread of the process behind it may have started it."""
        tasks = Path(f"/proc/{self.serve.pid}/task").glob("*/children")
        return int(" ".join(one.read_text(encoding="ascii") for one in tasks).split()[0])

    @property
    def log(self) -> str:
        """Return the log of the API."""
        return _text(self.home / "serve.log")

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a cutoutd command to its end."""
        return subprocess.run(
            command(*words, "--config", os.fspath(self.home / "c.toml")),
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Send a request. Returns the status, the answer (JSON parsed), and the headers in lower case."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        sent = {"X-Api-Key": self.key if key is None else key, **(headers or {})}
        try:
            connection.request(method, path, body, {name: value for name, value in sent.items() if value})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        named = {name.lower(): value for name, value in answer.getheaders()}
        is_json = "json" in named.get("content-type", "")
        return answer.status, json.loads(content) if is_json and content else content, named

    def cut(self, body: bytes, query: str = "", **headers: str) -> tuple[int, Any, Mapping[str, str]]:
        """Submit a picture, and wait for its end."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(
            "POST",
            f"/v1/folders/shop/pictures{query}",
            body,
            {"Content-Type": "image/jpeg", "Prefer": "wait=60", **sent},
        )


def picture(number: int = 0, *, side: int = 96) -> bytes:
    """Return a dark disc on a light background, as JPEG; each number gives another picture."""
    y, x = np.mgrid[0:side, 0:side]
    ground = np.full((side, side, 3), 235 - number % 40, np.uint8)
    ground[np.hypot(x - side / 2, y - side / 2) < side * 0.3] = (20, 20 + number // 40 % 60, 30)
    file = io.BytesIO()
    Image.fromarray(ground).save(file, "JPEG", quality=90)
    return file.getvalue()


def command(*words: str) -> list[str]:
    """Return a command line of cutoutd."""
    return [sys.executable, "-P", "-m", "cutoutd", *words]


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(0.02)


def prepared(home: Path, settings: str = "") -> dict[str, str]:
    """Make folders, a small model and a configuration. Returns the environment."""
    for one in (home / "in", home / "out", home / "data"):
        one.mkdir(parents=True)
    (home / "state").mkdir(mode=0o700)
    small_models.data_directory(home / "data")
    (home / "c.toml").write_text(
        f"""
[service]
state_dir = "{home}/state"
min_free_disk_mb = 1
[pool]
workers = 1
[model]
name = "darkness"
[page]
enabled = false
[[folder]]
name = "shop"
input = "{home}/in"
output = "{home}/out"
review_below = 0.0
doubtful_below = 0.0
{settings}
""",
        encoding="utf-8",
    )
    return {**os.environ, "XDG_DATA_HOME": str(home / "data"), "XDG_STATE_HOME": str(home / "xdg")}


@contextmanager
def daemon(home: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run the daemon without its API."""
    with (home / "daemon.log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            command("run", "--serve-apart", "--config", os.fspath(home / "c.toml")),
            stdout=log,
            stderr=log,
            text=True,
            env=dict(environment),
        )
    try:
        until(lambda: process.poll() is not None or "folder.status" in _text(home / "daemon.log"), "a daemon")
        assert process.poll() is None, _text(home / "daemon.log")
        yield process
    finally:
        process.terminate()
        process.wait(40)


@contextmanager
def serving(home: Path, settings: str = "", *, runs: bool = True) -> Iterator[Serving]:
    """Serve the API of a daemon at a free port."""
    environment = prepared(home, settings)
    with ExitStack() as stack:
        if runs:
            stack.enter_context(daemon(home, environment))
        done = subprocess.run(
            command(
                "serve", "keys", "add", "test", "--per-minute", "6000", "--config", os.fspath(home / "c.toml")
            ),
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        with (home / "serve.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command("serve", "--any-port", "--config", os.fspath(home / "c.toml")),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        assert process.stdout is not None
        try:
            output = process.stdout.readline()
            port = int(output.split()[0].rpartition(":")[2])
            yield Serving(
                home=home, port=port, key=done.stdout.strip(), environment=environment, serve=process
            )
        finally:
            process.terminate()
            process.wait(20)
            process.stdout.close()


def _text(path: Path) -> str:
    """Return the text of a file."""
    return path.read_text(encoding="utf-8")
