"""An uploader in its own process over a state directory of the test, and the supervisor's side of its directories."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from PIL import Image

from cutoutd.exchange import messages, spool
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.exchange.spool import Request, SpoolPaths, UploadReply
from cutoutd.hosted.audit import uploads
from cutoutd.hosted.ledger import FILE_NAME, Ledger
from cutoutd.settings.digest import uploads_sha256
from cutoutd.settings.loader import load

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

KEY: Final = "k3y-that-nobody-may-see"
PATIENCE_S: Final = 60.0
WIDTH, HEIGHT = 64, 48
LARGE: Final = 3 << 20
"""Number of bytes of a picture that is sent in many pieces."""


def picture(number: int, *, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Return a JPEG that differs for each number."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (number % 256, number // 256 % 256, 99)).save(file, "JPEG")
    return file.getvalue() + number.to_bytes(4, "big")


def large(number: int) -> bytes:
    """Return a JPEG that takes a while to be sent; decoders ignore what follows its end."""
    return picture(number) + os.urandom(LARGE)


class UploaderSetup:
    """A configuration, its directories, and its uploader.

    Args:
        directory: directory for all of it.
        base_url: address of the service.
        hosted: further keys of ``[hosted]``, in TOML.
        folders: keys of each folder by its name; by default one that is tagged.
    """

    def __init__(
        self,
        directory: Path,
        base_url: str,
        *,
        hosted: dict[str, str] | None = None,
        folders: dict[str, str] | None = None,
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.state = directory / "state"
        self.paths = SpoolPaths.under(self.state)
        self.paths.make()
        self.config = directory / "cutoutd.toml"
        self.log = directory / "log"
        keys = {
            "enabled": "true",
            "base_url": f'"{base_url}"',
            "max_credits_per_day": "1000",
            "timeout_s": "5.0",
            "megapixels_per_minute": "0",
        } | (hosted or {})
        lines = ["[service]", f'state_dir = "{self.state}"', 'log_format = "json"', "[hosted]"]
        lines += [f"{key} = {value}" for key, value in keys.items()]
        for name, text in (folders or {"tagged": 'route = "hosted"'}).items():
            place = directory / name
            (place / "in").mkdir(parents=True)
            lines += [
                "[[folder]]",
                f'name = "{name}"',
                f'input = "{place}/in"',
                f'output = "{place}/out"',
                text,
            ]
        self.config.write_text("\n".join(lines), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, key: str = KEY, environ: dict[str, str] | None = None) -> Self:
        """Start the uploader, and wait until it works."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("hosted"),
                env={**os.environ, **({"CUTOUTD_API_KEY": key} if key else {}), **(environ or {})},
                stderr=log,
                stdout=subprocess.DEVNULL,
            )
        end_s = time.monotonic() + PATIENCE_S
        while spool.uploader_status(self.paths).get("pid") != self.process.pid:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end_s, self.log.read_text()
            time.sleep(0.02)
        return self

    def command(self, verb: str, *arguments: str) -> list[str]:
        """Return a command line with this configuration."""
        return [sys.executable, "-P", "-m", "cutoutd", verb, "--config", str(self.config), *arguments]

    def stop(self) -> int:
        """Ask the uploader to end. Returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """Kill the uploader."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def request(
        self,
        content: bytes,
        *,
        folder: str = "tagged",
        again: bool = False,
        settings: str = "",
        sha256: str = "",
        announced: int = 0,
        width: int = WIDTH,
        height: int = HEIGHT,
    ) -> Request:
        """Put a picture and its request into the outbox."""
        id_ = messages.new_id()
        (self.paths.outbox / f"{id_}.jpg").write_bytes(content)
        request = Request(
            id=id_,
            folder=folder,
            job=7,
            why="the folder's route is hosted",
            file=f"{id_}.jpg",
            bytes=announced or len(content),
            sha256=sha256 or hashlib.sha256(content).hexdigest(),
            width=width,
            height=height,
            source_sha256="5" * 64,
            again=again,
            settings=settings or self.settings(),
        )
        spool.write_message(self.paths.outbox, request)
        return request

    def reply(self, request: Request, *, timeout_s: float = PATIENCE_S) -> UploadReply:
        """Wait for the reply to a request; its file stays in the inbox."""
        path = self.paths.inbox / f"{request.id}.json"
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            with suppress(FileNotFoundError, InvalidMessageError):
                return spool.read_reply(path)
            assert self.process is None or self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError(f"no reply: {spool.uploader_status(self.paths)}\n{self.log.read_text()}")

    def settings(self) -> str:
        """Return the digest of the present configuration."""
        return uploads_sha256(load(self.config, {}))

    def is_waiting(self, request: Request) -> bool:
        """Return whether a request is still in the outbox, without a reply."""
        return (self.paths.outbox / f"{request.id}.json").exists() and not (
            self.paths.inbox / f"{request.id}.json"
        ).exists()

    def body(self, reply: UploadReply) -> bytes:
        """Return the file of a reply."""
        return (self.paths.inbox / reply.file).read_bytes()

    def status(self) -> dict[str, Any]:
        """Return the status of the uploader."""
        return spool.uploader_status(self.paths)

    def wait_for_route(self, standing: str) -> dict[str, Any]:
        """Wait until the route has a state."""
        end_s = time.monotonic() + PATIENCE_S
        while self.status().get("route") != standing:
            assert time.monotonic() < end_s, f"{self.status()}\n{self.log.read_text()}"
            time.sleep(0.02)
        return self.status()

    def wait_for_counts(self, *, waiting: int, in_flight: int) -> None:
        """Wait until the uploader has this many waiting requests, and this many uploads."""
        end_s = time.monotonic() + PATIENCE_S
        while [self.status().get(key) for key in ("waiting", "in_flight")] != [waiting, in_flight]:
            assert time.monotonic() < end_s, f"{self.status()}\n{self.log.read_text()}"
            time.sleep(0.02)

    def rows(self, request: Request | None = None) -> list[dict[str, Any]]:
        """Return the rows of the ledger, of one request or of all."""
        with Ledger(self.paths.root / FILE_NAME) as ledger:
            return [row for row in uploads(ledger) if request is None or row["request"] == request.id]

    def pause(self) -> None:
        """Pause as `cutoutd pause --hosted` does."""
        self.paths.paused.touch()

    def resume(self) -> None:
        """Resume as `cutoutd resume --hosted` does."""
        self.paths.resumed.touch()
        self.paths.paused.unlink(missing_ok=True)
