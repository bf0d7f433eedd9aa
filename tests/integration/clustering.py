"""A cluster on loopback: certificates, a scheduler and workers, each the real command in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cutoutd.cluster import certificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

PATIENCE_S = 240.0


def free_port() -> int:
    """Return a port that is not in use now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass
class Cluster:
    """A cluster of a scheduler and a worker.

    Attributes:
        root: directory of its files.
        environment: environment of its processes.
        within: turns the command line of a process into another one.
        scheduler_host, worker_host: addresses on which they listen.
    """

    root: Path
    environment: dict[str, str]
    scheduler_port: int = field(default_factory=free_port)
    worker_port: int = field(default_factory=free_port)
    scheduler: subprocess.Popen[bytes] | None = None
    worker: subprocess.Popen[bytes] | None = None
    within: Callable[..., list[str]] = lambda *command: [*command]
    scheduler_host: str = "127.0.0.1"
    worker_host: str = "127.0.0.1"

    def __enter__(self) -> Self:
        certificates.make(self.root / "certs")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(self.worker)
        self.stop(self.scheduler)

    @property
    def address(self) -> str:
        """Address of the scheduler."""
        return f"tls://{self.scheduler_host}:{self.scheduler_port}"

    def table(self, **keys: object) -> str:
        """Return ``[cluster]`` of the coordinator's configuration."""
        certs = self.root / "certs"
        lines = {
            "enabled": "true",
            "scheduler": f'"{self.address}"',
            "tls_ca_file": f'"{certs}/ca.pem"',
            "tls_cert": f'"{certs}/coordinator.pem"',
            "tls_key": f'"{certs}/coordinator.key"',
            "worker_port": self.worker_port,
            "max_in_flight": 2,
            **keys,
        }
        return "[cluster]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())

    def start(self) -> None:
        """Start scheduler and worker."""
        self.start_scheduler()
        self.start_worker()

    def start_scheduler(self, certs: Path | None = None) -> None:
        """Start the scheduler, with the cluster's certificates or with others."""
        place = certs or self.root / "certs"
        options = ("--host", self.scheduler_host, "--port", str(self.scheduler_port))
        self.scheduler = self._start("scheduler", "cluster", "scheduler", *options, *_tls(place, "scheduler"))

    def start_worker(self) -> None:
        """Start a machine with one slot."""
        options = ("--scheduler", self.address, "--host", self.worker_host, "--port", str(self.worker_port))
        self.worker = self._start(
            "worker", "worker", *options, "--slots", "1", *_tls(self.root / "certs", "worker")
        )

    def log(self, name: str) -> str:
        """Return the log of a process."""
        path = self.root / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def wait_for_worker(self) -> None:
        """Wait until the worker has joined."""
        end_s = time.monotonic() + PATIENCE_S
        while "cluster.joined" not in self.log("worker"):
            assert self.worker is not None
            assert self.worker.poll() is None, self.log("worker")
            assert time.monotonic() < end_s, self.log("worker")
            time.sleep(0.05)

    def kill_worker(self) -> None:
        """Kill the worker, like a machine that loses its power."""
        assert self.worker is not None
        os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait(PATIENCE_S)
        (self.root / "worker.log").unlink()

    def replace_worker(self) -> None:
        """End the worker, and start another one with the present environment."""
        self.stop(self.worker)
        (self.root / "worker.log").unlink(missing_ok=True)
        self.start_worker()
        self.wait_for_worker()

    @staticmethod
    def stop(process: subprocess.Popen[bytes] | None) -> None:
        """End a process."""
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(20)

    def _within(self, _: str, *command: str) -> list[str]:
        """Return the command line by which a process of this name is started."""
        return self.within(*command)

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a cutoutd command with a log file of its own."""
        with (self.root / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                self._within(name, sys.executable, "-P", "-m", "cutoutd", *arguments),
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )


def _tls(certs: Path, role: str) -> tuple[str, ...]:
    """Return the options for a role's certificates."""
    return (
        *("--tls-ca-file", f"{certs}/ca.pem"),
        *("--tls-cert", f"{certs}/{role}.pem"),
        *("--tls-key", f"{certs}/{role}.key"),
    )
