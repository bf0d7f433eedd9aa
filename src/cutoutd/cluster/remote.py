"""The function that a machine of the cluster runs: cut one picture.

Dask calls `cut`, which is sent as a name and never as code. `cutoutd.cluster.machine` has set up the slots before.
"""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING, Any, Final

from cutoutd.cluster import packing
from cutoutd.cluster.slot_host import DiedError, SlotsFailError, TooLargeError, WithdrawnError
from cutoutd.pool import wire
from cutoutd.process import installed_versions

if TYPE_CHECKING:
    from cutoutd.cluster.packing import Packed
    from cutoutd.cluster.slot_host import SlotHost

HEAD_SCHEMA: Final = "cutoutd.cluster-result/1"

_HOSTS: Final[list[SlotHost]] = []


def install(host: SlotHost) -> None:
    """Set the slots that this process uses from now on."""
    _HOSTS[:] = [host]


def cut(data: Packed) -> Packed:
    """Cut one picture. Dask calls this in a thread of its worker.

    Args:
        data: packed: a head with the limits, the task, the picture, and background pictures.

    Returns:
        Packed: a head with the outcome and, if there is a report, the report and the results.
    """
    head, line, picture, *backgrounds = packing.unpack(data)
    limits = json.loads(bytes(head))
    said: dict[str, Any] = {
        "schema": HEAD_SCHEMA,
        "kind": "failed",
        "permanent": False,
        "elsewhere": False,
        **_host_facts(),
    }
    parts: list[bytes] = []
    if not _HOSTS:
        return _pack(
            said | {"why": "this machine has no slots: it was started without cutoutd's preload"}, parts
        )
    try:
        task = wire.decode_task(bytes(line))
        report, results = _HOSTS[0].carry_out(
            task, picture, backgrounds, max_result_bytes=int(limits["max_result_bytes"]), key=_own_key()
        )
        said |= {"kind": "report"}
        parts = [wire.encode_report(task.job, report), *results]
    except DiedError as error:
        said |= {"kind": "lost", "why": str(error)}
    except WithdrawnError:
        said |= {"why": "nobody waits for it"}
    except TooLargeError as error:
        said |= {"permanent": True, "why": f"{error}, more than [cluster] max_result_mb allows"}
    except SlotsFailError as error:
        said |= {"elsewhere": True, "why": f"the machine's workers cannot work: {error}"}
    except OSError as error:
        said |= {"elsewhere": True, "why": f"the machine's disk refuses: {error.strerror}"}
    return _pack(said, parts)


def withdraw(key: str) -> None:
    """Stop the task with this Dask key, for which nobody waits any more."""
    for host in _HOSTS:
        host.withdraw(key)


def _own_key() -> str:
    """Return the key of the Dask task that this thread runs; empty if it runs none."""
    from distributed import get_worker  # noqa: PLC0415 -- the gateway imports this module without a worker

    try:
        return str(get_worker().get_current_task())
    except (ValueError, KeyError):
        return ""


def _host_facts() -> dict[str, Any]:
    facts = _HOSTS[0].facts if _HOSTS else None
    return {
        "cutoutd": installed_versions.versions()["cutoutd"],
        "onnxruntime": facts.onnxruntime if facts is not None else "",
        "python": platform.python_version(),
        "provider": facts.provider if facts is not None else "",
        "layers": list(facts.layers) if facts is not None else [],
    }


def _pack(said: dict[str, Any], parts: list[bytes]) -> Packed:
    return packing.pack([json.dumps(said).encode("ascii"), *parts])
