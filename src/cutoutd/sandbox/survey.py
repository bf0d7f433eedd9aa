"""Which layers of the sandbox this system lacks, and why. It queries the kernel without confining anything.

Landlock counts in any version: what its first ones do not cover (truncating a file, signals, TCP) the worker's filter
refuses. This module must not decide what follows from a gap.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.errors import SandboxError
from cutoutd.sandbox import landlock, seccomp
from cutoutd.sandbox.calls import this_machine
from cutoutd.sandbox.kernel import is_linux

if TYPE_CHECKING:
    from collections.abc import Iterable


class Layer(StrEnum):
    """A layer of the sandbox; the name of Landlock gets its version appended, such as landlock-abi7."""

    RLIMITS = "rlimits"  # address space, open files, core dumps, priority
    DIES_WITH_PARENT = "dies-with-parent"  # the kernel ends the worker with its supervisor
    NO_DUMP = "no-dump"  # other processes of the user cannot read its memory
    CAPABILITIES = "capabilities"  # none, except to read its own modules where that needs one
    LANDLOCK = "landlock"  # it can open Python's own modules, and no other file
    SECCOMP = "seccomp-tsync"  # a worker: only the system calls of its list, in any thread
    SECCOMP_NETWORK = "seccomp-network-tsync"  # the supervisor: no sockets but AF_UNIX, in any thread
    SECCOMP_PROXY = "seccomp-proxy-tsync"  # a proxy of another machine's worker: a worker's list, with files in its exchange directory
    SECCOMP_UPLOADER = (
        "seccomp-uploader-tsync"  # the uploader: its list, with sockets for connections over IP
    )
    SECCOMP_WEB = "seccomp-web-tsync"  # the process that answers browsers: its list, with incoming connections and no file
    SECCOMP_PAGE = (
        "seccomp-page-tsync"  # the process behind the page: as the supervisor, and no outgoing connections
    )


WORKER: Final = (
    Layer.RLIMITS,
    Layer.DIES_WITH_PARENT,
    Layer.NO_DUMP,
    Layer.CAPABILITIES,
    Layer.LANDLOCK,
    Layer.SECCOMP,
)
"""All layers of a worker, in the order of their activation."""

SUPERVISOR: Final = (Layer.NO_DUMP, Layer.SECCOMP_NETWORK)
"""All layers of the supervisor."""


UPLOADER: Final = (
    Layer.RLIMITS,
    Layer.NO_DUMP,
    Layer.CAPABILITIES,
    Layer.LANDLOCK,
    Layer.SECCOMP_UPLOADER,
)
"""All layers of the uploader."""

PROXY: Final = (
    Layer.RLIMITS,
    Layer.DIES_WITH_PARENT,
    Layer.NO_DUMP,
    Layer.CAPABILITIES,
    Layer.LANDLOCK,
    Layer.SECCOMP_PROXY,
)
"""A whole sandbox of a proxy."""

DASK_WORKER: Final = (Layer.NO_DUMP, Layer.CAPABILITIES, Layer.LANDLOCK)
"""All layers of the process of `cutoutd worker`; its slots have those of workers."""

WEB: Final = (
    Layer.RLIMITS,
    Layer.DIES_WITH_PARENT,
    Layer.NO_DUMP,
    Layer.CAPABILITIES,
    Layer.LANDLOCK,
    Layer.SECCOMP_WEB,
)
"""All layers of the process that answers browsers."""

PAGE: Final = (Layer.RLIMITS, Layer.NO_DUMP, Layer.SECCOMP_PAGE)
"""All layers of the process behind the page."""

_FILTERS: Final = frozenset(
    {
        Layer.SECCOMP,
        Layer.SECCOMP_PROXY,
        Layer.SECCOMP_NETWORK,
        Layer.SECCOMP_UPLOADER,
        Layer.SECCOMP_WEB,
        Layer.SECCOMP_PAGE,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A missing layer.

    Attributes:
        layer: the layer.
        why: what the system lacks, in words for its owner.
    """

    layer: Layer
    why: str


def gaps() -> tuple[Gap, ...]:
    """Return the layers of workers and supervisor that this system lacks."""
    return _gaps((*WORKER, *SUPERVISOR))


def page_gaps() -> tuple[Gap, ...]:
    """Return the layers of the page's two processes that this system lacks."""
    return _gaps((*WEB, *PAGE))


def _gaps(wanted: Iterable[Layer]) -> tuple[Gap, ...]:
    return gaps_between(wanted, (layer for layer in Layer if not _lacks(layer)))


def gaps_between(wanted: Iterable[Layer], active: Iterable[str]) -> tuple[Gap, ...]:
    """Return the wanted layers that are not among the active ones, whose names may have a version appended."""
    names = tuple(active)
    return tuple(
        Gap(layer=layer, why=_lacks(layer) or "it was not put up")
        for layer in dict.fromkeys(wanted)
        if not any(name == layer or name.startswith(f"{layer}-abi") for name in names)
    )


def refuse(missing: Iterable[Gap]) -> None:
    """Refuse an incomplete sandbox.

    Raises:
        SandboxError: there is a gap; the message names each layer and what the system lacks.
    """
    why: dict[str, list[str]] = {}
    for gap in missing:
        why.setdefault(gap.why, []).append(gap.layer.value)
    if why:
        told = "; ".join(f"{' and '.join(layers)} ({reason})" for reason, layers in why.items())
        raise SandboxError(f'[pool] sandbox = "required", but this system lacks {told}')


def _lacks(layer: Layer) -> str:
    """Return what the system lacks for a layer; empty if it exists."""
    if not is_linux():
        return "it needs Linux"
    if layer is Layer.LANDLOCK and not landlock.abi():
        return (
            "the kernel is older than 5.13, or Landlock is switched off: add it to `lsm=` on the kernel's "
            "command line; in a container, the runtime's seccomp profile may hide it"
        )
    if layer in _FILTERS and not seccomp.supported():
        if this_machine() is None:
            return f"there is no filter for {platform.machine()}, only for x86_64 and aarch64 in 64 bits"
        return "the kernel has no CONFIG_SECCOMP_FILTER, or the container's runtime hides seccomp(2)"
    return ""
