"""The status of gateway and cluster, in a file that the supervisor and `cutoutd status` read.

It is written when something has changed, and every few seconds while there is something to send, so that readers notice a gateway
that hangs.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from cutoutd.exchange.cluster_spool import STATUS_SCHEMA
from cutoutd.fs.atomic_write import atomic_write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.cluster.machines import RemoteMachine
    from cutoutd.exchange.cluster_spool import ClusterPaths

LEAST_S: Final = 0.25
BEAT_S: Final = 3.0


class GatewayStatus:
    """The status of one gateway.

    Args:
        paths: the exchange directory.
        scheduler: address of the scheduler.
        layers: active layers of the sandbox.
    """

    def __init__(self, paths: ClusterPaths, scheduler: str, layers: tuple[str, ...]) -> None:
        self._paths = paths
        self._scheduler = scheduler
        self._layers = layers
        self._last_written: dict[str, Any] = {}
        self._written_s = 0.0
        self._beat = 0
        self._unfit = ""

    def away(self, why: str, *, silent_s: float = 0.0, force: bool = True) -> None:
        """Record that the scheduler is not connected, or does not answer.

        Args:
            why: the reason.
            silent_s: seconds for which it has not answered.
            force: whether to write it also where only the time is another one.
        """
        said = {"route": "away", "why": why, "machines": [], "in_flight": 0, "waiting": 0}
        self._write(said, force=force, silent_s=silent_s)

    def unfit(self, why: str) -> None:
        """Remember why no machine can get the waiting requests, for the next status."""
        self._unfit = why

    def connected(self, machines: Sequence[RemoteMachine], *, in_flight: int, waiting: int) -> None:
        """Record that the scheduler is connected, with its machines."""
        usable = sum(machine.slots for machine in machines if not machine.trouble)
        why, self._unfit = self._unfit, ""
        silent_s = 0.0
        if not usable:  # requests that were sent wait at the scheduler for a machine
            silent_s = min((machine.silent_s for machine in machines if not machine.fault), default=0.0)
            why = why or (
                "; ".join(f"{one.address}: {one.trouble}" for one in machines[:8])
                or "no machine has joined the scheduler"
            )
            in_flight, waiting = 0, in_flight + waiting
        is_open = bool(usable) and not (why and not in_flight)
        self._write(
            {
                "route": "open" if is_open else "no-machines",
                "why": why,
                "machines": [
                    {"address": one.address, "slots": one.slots, "fault": one.trouble} for one in machines
                ],
                "in_flight": in_flight,
                "waiting": waiting,
            },
            force=False,
            silent_s=silent_s,
        )

    def end(self) -> None:
        """Record that the gateway has ended."""
        self._write(
            {**self._last_written, "pid": None, "route": "away", "why": "the gateway has ended"}, force=True
        )

    def _write(self, said: dict[str, Any], *, force: bool, silent_s: float = 0.0) -> None:
        now_s = time.monotonic()
        is_old = now_s >= self._written_s + BEAT_S and bool(said["in_flight"] or said["waiting"])
        has_changed = said != self._last_written
        if not (force or is_old or (has_changed and now_s >= self._written_s + LEAST_S)):
            return
        self._beat += 1
        self._last_written, self._written_s = said, now_s
        document = {
            "schema": STATUS_SCHEMA,
            "pid": os.getpid(),
            "beat": self._beat,
            "scheduler": self._scheduler,
            "sandbox": list(self._layers),
            "silent_s": round(silent_s, 1),
            **said,
        }
        with suppress(OSError):
            atomic_write(self._paths.status, [json.dumps(document).encode("ascii")], synced=False)
