"""Confines the uploader: it calls out over the network, and sees nothing but what it may send.

It must not be put up before the client has read its authorities and the key is known: neither can be read afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.sandbox import capabilities, landlock, limits, seccomp, survey
from cutoutd.sandbox.roots import own_code
from cutoutd.sandbox.survey import Layer

if TYPE_CHECKING:
    from pathlib import Path

_MEMORY_MB: Final = 4096
"""Of address space, most of which is the stacks of threads and never used."""

FILE_BYTES: Final = 1 << 30
"""Of a file that it writes: the largest answer that is taken has half of that, and its ledger a thousandth."""

_DNS: Final = 53

# What the C library reads to find an address, and anew whenever the network changes: files in /etc are replaced then,
# and Landlock knows files, not names, so the directory is allowed. The rest is where links in it lead.
_NAMES: Final = (
    "/etc",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/usr/share/zoneinfo",
)


def confine_uploader(*, root: Path, port: int, required: bool = False) -> tuple[str, ...]:
    """Confine this process for good, before its first request is read.

    Args:
        root: STATE/hosted, which it may read and write.
        port: of the service.
        required: whether each layer must be there.

    Returns:
        The layers in force, in the order they were put up.

    Raises:
        SandboxError: a layer that is required does not exist here.
        CutoutdError: a layer that exists here was refused, or there are threads that it would not bind.
    """
    layers: list[str] = []
    if limits.bound_resources(memory_mb=_MEMORY_MB, nice=0, file_bytes=FILE_BYTES):
        layers.append(Layer.RLIMITS)
    if limits.hide_memory():
        layers.append(Layer.NO_DUMP)
    if capabilities.give_up():
        layers.append(Layer.CAPABILITIES)
    restriction = landlock.restrict((*own_code(), *_NAMES), (root,), connect=(port, _DNS))
    if restriction is not None:
        layers.append(f"{Layer.LANDLOCK}-abi{restriction.abi}")
    if seccomp.refuse_all_but_network():
        layers.append(Layer.SECCOMP_UPLOADER)
    if required:
        survey.refuse(survey.gaps_between(survey.UPLOADER, layers))
    return tuple(map(str, layers))
