"""Machines on one network: namespaces of their own, each joined to a switch by a pair of interfaces (veth) that can be cut.

The switch is a bridge in the namespace of the coordinator. All vanish with the processes that hold them.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from tests.integration.clustering import Cluster
from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

COORDINATOR: Final = "coordinator"
FAR: Final = ("scheduler", "worker")
ADDRESSES: Final = {COORDINATOR: "10.77.0.1", "scheduler": "10.77.0.2", "worker": "10.77.0.3"}
_CARDS: Final = {name: f"02:00:00:00:00:0{number}" for number, name in enumerate(ADDRESSES, 1)}


class NoNetworkError(OSError):
    """Network namespaces cannot be made here."""


class Cut(Enum):
    """How a machine loses its network."""

    LINK_DOWN = "link down"  # as if the cable were pulled: each side sees that there is no carrier
    DROPPED = "packets dropped"  # as by a router or firewall: all looks well, and nothing is ever answered


class Network:
    """A coordinator, a scheduler and a worker, each in a network namespace.

    Raises:
        NoNetworkError: namespaces cannot be made here.
    """

    def __init__(self) -> None:
        self._user = os.geteuid() != 0
        self._pids: dict[str, int] = {}
        self._holders = ExitStack()
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the namespaces."""
        self._holders.close()

    def inside(self, name: str, *command: str) -> list[str]:
        """Return a command line that runs a command on a machine."""
        user = ["-U", "--preserve-credentials"] if self._user else []
        return ["nsenter", "-t", str(self._pids[name]), *user, "-n", "--", *command]

    def cut(self, name: str, how: Cut) -> None:
        """Take a machine from the network."""
        if how is Cut.LINK_DOWN:
            self._ip(COORDINATOR, f"link set {name} down")
        else:
            self._ip(COORDINATOR, f"link set {name} nomaster")

    def mend(self, name: str) -> None:
        """Give a machine its network back."""
        self._ip(COORDINATOR, f"link set {name} master switch up")

    def _make(self) -> None:
        user = ["-Ur"] if self._user else []
        self._hold(COORDINATOR, ["unshare", *user, "-n"])
        self._ip(COORDINATOR, "link set lo up")
        self._ip(COORDINATOR, f"link add switch address {_CARDS[COORDINATOR]} type bridge")
        self._ip(COORDINATOR, f"address add {ADDRESSES[COORDINATOR]}/24 dev switch")
        self._ip(COORDINATOR, "link set switch up")
        for name in FAR:
            self._hold(name, self.inside(COORDINATOR, "unshare", "-n"))
            pair = f"link add {name} type veth peer name eth0 address {_CARDS[name]} netns {self._pids[name]}"
            self._ip(COORDINATOR, pair)
            self._ip(COORDINATOR, f"link set {name} master switch up")
            self._ip(name, "link set lo up")
            self._ip(name, f"address add {ADDRESSES[name]}/24 dev eth0")
            self._ip(name, "link set eth0 up")
        # Neighbours that are known for good: where packets are dropped, nothing reports that a machine is gone.
        for name in ADDRESSES:
            card = "switch" if name == COORDINATOR else "eth0"
            for other in ADDRESSES.keys() - {name}:
                to = f"{ADDRESSES[other]} lladdr {_CARDS[other]} dev {card} nud permanent"
                self._ip(name, f"neighbour replace {to}")

    def _hold(self, name: str, within: list[str]) -> None:
        """Start the process that keeps a namespace; it ends with its standard input, so also with this process."""
        holder = subprocess.Popen(
            [*within, "sh", "-c", "echo ready; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._holders.callback(_end, holder)
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            raise NoNetworkError("network namespaces are not allowed here")
        self._pids[name] = holder.pid

    def _ip(self, name: str, words: str) -> None:
        command = self.inside(name, "ip", *words.split())
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoNetworkError(f"ip {words}: {done.stderr.strip()}")


def _end(holder: subprocess.Popen[bytes]) -> None:
    holder.kill()
    holder.wait()
    for pipe in (holder.stdin, holder.stdout):
        if pipe is not None:
            pipe.close()


def network_or_skip() -> Network:
    """Return a network; skip the test where none can be made, but fail in CI."""
    for tool in ("unshare", "nsenter", "ip"):
        need(tool)
    try:
        return Network()
    except NoNetworkError as error:
        give_up(str(error))
        raise


@dataclass(kw_only=True)
class NetworkedCluster(Cluster):
    """A cluster whose scheduler and worker are on a network.

    Attributes:
        network: the network.
    """

    network: Network
    scheduler_host: str = ADDRESSES["scheduler"]
    worker_host: str = ADDRESSES["worker"]

    def inside(self, name: str) -> Callable[..., list[str]]:
        """Return what turns a command line into that of a machine."""
        return partial(self.network.inside, name)

    def _within(self, name: str, *command: str) -> list[str]:
        return self.network.inside(name, *command)
