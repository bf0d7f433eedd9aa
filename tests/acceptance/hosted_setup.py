"""A tagged and an untagged folder, with a service on loopback that their configuration names."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests.acceptance.conftest import picture
from tests.hosted_server import HostedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

KEY = "a-key-that-nobody-else-may-see"


@dataclass(frozen=True, slots=True)
class HostedSetup:
    """A configuration with a tagged and an untagged folder, and its service."""

    bench: Bench
    server: HostedServer
    config: Path

    def configure(self, route: str, *lines: str) -> None:
        """Write the configuration."""
        root = self.bench.root
        self.config.write_text(
            f'[service]\nstate_dir = "{root}/own-state"\n'
            f'[hosted]\nenabled = true\nbase_url = "{self.server.url}"\napi_key_file = "{root}/key"\n'
            "max_credits_per_day = 100\n"
            + "".join(
                f'[[folder]]\nname = "{name}"\ninput = "{root}/{name}"\noutput = "{root}/{name}-out"\n'
                f'route = "{way}"\nsettle_s = 0.2\npoll_interval_s = 0.2\n{extra}\n'
                for name, way, extra in (("shop", route, "\n".join(lines)), ("private", "local", ""))
            ),
            encoding="utf-8",
        )

    def drop(self, folder: str, name: str, image: Image.Image | None = None) -> None:
        """Add a picture that is old enough to be taken at once, with metadata that tell where it was taken."""
        exif = Image.Exif()
        exif[0x010E] = "at home"
        draft = self.bench.root / "draft.jpg"
        (image or picture()).save(draft, quality=90, exif=exif)
        os.utime(draft, (time.time() - 60,) * 2)
        draft.rename(self.bench.root / folder / name)

    def once(self, *options: str) -> int:
        """Cut what is in the folders."""
        return self.bench.call("run", "--config", self.config, "--once", *options).returncode

    def kill_all(self, daemon: Daemon) -> None:
        """Kill the daemon and its uploader at once, as in a failure of the machine."""
        status = json.loads((self.bench.root / "own-state/hosted/status.json").read_text("ascii"))
        os.kill(status["pid"], signal.SIGKILL)
        os.killpg(daemon.process.pid, signal.SIGKILL)
        daemon.process.wait()

    def sidecar(self, folder: str, name: str) -> dict[str, Any]:
        """Return a sidecar of a folder."""
        return self.bench.sidecar(f"{self.bench.root}/{folder}-out/{name}.json")

    def states(self) -> dict[str, str]:
        """Return the states in the journal, by path."""
        return self.bench.states()


def opened(bench: Bench) -> Iterator[HostedSetup]:
    """Yield a shop with its folders, its key and its service, for a fixture."""
    for name in ("shop", "private"):
        (bench.root / name).mkdir()
        (bench.root / f"{name}-out").mkdir()
    key = bench.root / "key"
    key.write_text(f"{KEY}\n", encoding="ascii")
    key.chmod(0o600)
    with HostedServer() as server:
        yield HostedSetup(bench=bench, server=server, config=bench.root / "cutoutd.toml")
