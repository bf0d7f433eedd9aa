"""The machines of the cluster, parsed from what the scheduler says of them, which may be malformed in any way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cutoutd.cluster.fingerprint import differences

_MAX_WORD: Final = 200
METRIC: Final = "cutoutd"
"""Name of the metric with the facts of a machine, which Dask sends with each heartbeat."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteMachine:
    """One worker process of the cluster.

    Attributes:
        address: address on which it listens.
        threads: number of its Dask threads.
        resources: resources that it offers.
        versions, models, second: as it reports them; empty if it does not.
        slots, done, per_minute: likewise; 0 if it does not.
        layers: sandbox layers of its slots.
        fault: why its slots cannot work; empty if they can.
        seen: when the scheduler last heard of it, by the scheduler's clock; 0 if it does not say.
        silent_s: seconds for which nothing has been heard of it; 0 while that is not too long.
    """

    address: str
    threads: int
    resources: frozenset[str]
    versions: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    second: Mapping[str, str] = field(default_factory=dict)
    slots: int = 0
    done: int = 0
    per_minute: int = 0
    layers: tuple[str, ...] = ()
    provider: str = ""
    fault: str = ""
    seen: float = 0.0
    silent_s: float = 0.0

    @property
    def trouble(self) -> str:
        """Why it cannot be given any picture; empty if it can."""
        if self.fault:
            return f"its workers cannot work: {self.fault}"
        return "it does not answer" if self.silent_s else ""

    def why_not(self, resource: str, mine: Mapping[str, str], model: str) -> str:
        """Return why it gets no pictures that ask for a resource; empty if it gets them.

        Args:
            resource: the resource.
            mine: versions of this installation.
            model: SHA-256 of the model.
        """
        if self.trouble:
            return self.trouble
        if resource in self.resources:
            return ""
        if not self.versions:
            return "it was not started by `cutoutd worker`, nor with cutoutd's preload"
        if differing := differences(mine, self.versions):
            return f"results could differ: {'; '.join(differing)}"
        if model not in self.models.values():
            return f"it does not have the model {model[:12]}"
        return "it has another second model"


def machines_of(identity: object) -> list[RemoteMachine]:
    """Return the machines in a scheduler's description of itself, sorted by address."""
    workers = identity.get("workers") if isinstance(identity, Mapping) else None
    if not isinstance(workers, Mapping):
        return []
    return [
        _machine(str(address)[:_MAX_WORD], said)
        for address, said in sorted(workers.items(), key=lambda one: str(one[0]))
        if isinstance(said, Mapping)
    ]


def _machine(address: str, said: Mapping[str, Any]) -> RemoteMachine:
    metrics = said.get("metrics")
    own = metrics.get(METRIC) if isinstance(metrics, Mapping) else None
    own = own if isinstance(own, Mapping) else {}
    resources = said.get("resources")
    layers = own.get("layers")
    return RemoteMachine(
        address=_text(address),
        threads=_number(said.get("nthreads")),
        resources=frozenset(map(str, resources)) if isinstance(resources, Mapping) else frozenset(),
        versions=_texts(own.get("versions")),
        models=_texts(own.get("models")),
        second=_texts(own.get("second")),
        slots=_number(own.get("slots")),
        done=_number(own.get("done")),
        per_minute=_number(own.get("per_minute")),
        layers=tuple(map(_text, layers[:16])) if isinstance(layers, list | tuple) else (),
        provider=_text(own.get("provider")),
        fault=_text(own.get("fault")),
        seen=_time(said.get("last_seen")),
    )


def _number(value: object) -> int:
    return min(max(value, 0), 1 << 31) if type(value) is int else 0


def _time(value: object) -> float:
    return value if isinstance(value, float) and math.isfinite(value) else 0.0


def _texts(value: object) -> dict[str, str]:
    return (
        {_text(key): _text(one) for key, one in list(value.items())[:32]}
        if isinstance(value, Mapping)
        else {}
    )


def _text(value: object) -> str:
    text = str(value)[:_MAX_WORD] if value is not None else ""
    return "".join(one for one in text if one.isprintable())
