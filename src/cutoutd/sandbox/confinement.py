"""Confines a process for its part: a worker, which sees pictures; the supervisor, which starts workers; the uploader; the page.

The names of the layers are stable: they stand in sidecars and in what `doctor` prints. A layer that the
system lacks is not in the result; one that it has and refuses is an error, never a weaker sandbox.
This module must not know what a process does, nor start one.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import TYPE_CHECKING, Final

from cutoutd.sandbox import capabilities, landlock, limits, seccomp, survey
from cutoutd.sandbox.survey import Layer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_UPLOADER_MEMORY_MB: Final = 4096
"""Of address space, most of which is the stacks of threads and never used."""

FILE_BYTES: Final = 1 << 30
"""Of a file that the uploader writes: the largest answer that is taken has half of that, and its ledger a thousandth."""

_WEB_MEMORY_MB: Final = 1024
"""Of address space; what is in use is a twentieth of that."""

PAGE_MEMORY_MB: Final = 4096
"""Of address space at least, of the process behind the page: its workers have no more than it has itself."""

_CONNECTIONS: Final = 1024
"""Open files of the page's processes; of who answers browsers, most are connections that are about to be closed."""

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


def own_code() -> tuple[str, ...]:
    """Where a confined process reads what it imports late: Python's own directories and the system's libraries."""
    python = (
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        *filter(os.path.isdir, sys.path),
    )
    return tuple(dict.fromkeys((*python, "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")))


def confine_worker(
    *,
    read: Sequence[str | os.PathLike[str]],
    memory_mb: int,
    file_bytes: int,
    tasks: int | None = None,
    nice: int = 0,
    graphics: bool = False,
    required: bool = False,
) -> tuple[str, ...]:
    """Confine this process for good, with its libraries and its model loaded and before its first picture.

    `limits.die_with_parent` is called earlier, as a worker's first act; it is only reported here.

    Args:
        read: what it may open by its name, for reading: the directories of Python's own modules. All else comes opened.
        memory_mb: its address space, MiB.
        file_bytes: of a file that it writes.
        tasks: descriptor of the socket that opened files come through; None: none do.
        nice: its priority, 0..19.
        graphics: its model runs on a graphics processor, whose driver it has to speak to.
        required: whether each layer must be there.

    Returns:
        The layers in force, in the order they were put up.

    Raises:
        SandboxError: a layer that is required does not exist here.
        CutoutdError: a layer that exists here was refused, or a library has started threads that it would
            not bind (set OPENBLAS_NUM_THREADS=1 and the like before numpy is imported).
    """
    return _in_force(
        (Layer.RLIMITS, limits.bound_resources(memory_mb=memory_mb, nice=nice, file_bytes=file_bytes)),
        (Layer.DIES_WITH_PARENT, limits.dies_with_parent()),
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.CAPABILITIES, capabilities.give_up(read)),
        _landlock(landlock.restrict(read, ())),
        # Last: it refuses what the others need.
        (Layer.SECCOMP, seccomp.refuse_all_sockets(tasks, graphics=graphics)),
        required=survey.WORKER if required else (),
    )


def confine_supervisor(*, required: bool = False) -> tuple[str, ...]:
    """Take the network from this process and from all it starts, for good.

    Args:
        required: whether each layer must be there.

    Returns:
        The layers in force.

    Raises:
        SandboxError: a layer that is required does not exist here.
        CutoutdError: a layer that exists here was refused.
    """
    return _in_force(
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.SECCOMP_NETWORK, seccomp.refuse_network_sockets()),
        required=survey.SUPERVISOR if required else (),
    )


def confine_uploader(*, root: Path, ports: Sequence[int], required: bool = False) -> tuple[str, ...]:
    """Confine this process for good, before its first request is read: it calls out, and sees only what it may send.

    To be called once the client has read its authorities and the key is known: neither can be read afterwards.

    Args:
        root: STATE/hosted, which it may read and write.
        ports: of the service and the webhooks.
        required: whether each layer must be there.

    Returns:
        The layers in force, in the order they were put up.

    Raises:
        SandboxError: a layer that is required does not exist here.
        CutoutdError: a layer that exists here was refused, or there are threads that it would not bind.
    """
    return _in_force(
        (
            Layer.RLIMITS,
            limits.bound_resources(memory_mb=_UPLOADER_MEMORY_MB, nice=0, file_bytes=FILE_BYTES),
        ),
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.CAPABILITIES, capabilities.give_up()),
        _landlock(landlock.restrict((*own_code(), *_NAMES), (root,), connect=(*ports, _DNS))),
        (Layer.SECCOMP_UPLOADER, seccomp.refuse_all_but_network()),
        required=survey.UPLOADER if required else (),
    )


def confine_web(*, required: bool = False) -> tuple[str, ...]:
    """Confine this process for good: it answers whoever connects, calls nobody, and opens no file.

    To be called when its socket listens and all is imported. `limits.die_with_parent` is called earlier.

    Args:
        required: whether each layer must be there.

    Returns:
        The layers in force, in the order they were put up.

    Raises:
        SandboxError: a layer that is required does not exist here.
        CutoutdError: a layer that exists here was refused, or there are threads that it would not bind.
    """
    return _in_force(
        (
            Layer.RLIMITS,
            limits.bound_resources(memory_mb=_WEB_MEMORY_MB, nice=0, file_bytes=0, open_files=_CONNECTIONS),
        ),
        (Layer.DIES_WITH_PARENT, limits.dies_with_parent()),
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.CAPABILITIES, capabilities.give_up()),
        _landlock(landlock.restrict((), ())),
        (Layer.SECCOMP_WEB, seccomp.refuse_all_but_answers()),
        required=survey.WEB if required else (),
    )


def confine_page(*, memory_mb: int = PAGE_MEMORY_MB, required: bool = False) -> tuple[str, ...]:
    """Take the network from the process behind the page and from all it starts, for good; it keeps the listening socket.

    Args:
        memory_mb: its address space, MiB, and that of each process it starts.
        required: whether each layer must be there.

    Returns:
        The layers in force.

    Raises:
        SandboxError: a layer that is required does not exist here.
        CutoutdError: a layer that exists here was refused.
    """
    return _in_force(
        (
            Layer.RLIMITS,
            limits.bound_resources(memory_mb=memory_mb, nice=0, open_files=_CONNECTIONS),
        ),
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.SECCOMP_PAGE, seccomp.refuse_calling_out()),
        required=survey.PAGE if required else (),
    )


def _landlock(restriction: landlock.Restriction | None) -> tuple[str, bool]:
    if restriction is None:
        return Layer.LANDLOCK, False
    return f"{Layer.LANDLOCK}-abi{restriction.abi}", True


def _in_force(*layers: tuple[str, bool], required: tuple[Layer, ...]) -> tuple[str, ...]:
    """The layers that were put up while the arguments were evaluated, in their order.

    Raises:
        SandboxError: one of those that are required is not among them.
    """
    active = tuple(str(layer) for layer, is_up in layers if is_up)
    survey.refuse(survey.gaps_between(required, active))
    return active
