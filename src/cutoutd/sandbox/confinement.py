"""Confines a process according to its part: worker, supervisor, uploader, or the processes of the page.

The names of the layers are stable: sidecars and `doctor` contain them. A layer that the system lacks is not in the result;
one that exists and is refused is an error, never a weaker sandbox. This module must not know what a process does, nor start
one.
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
"""Address space; most of it is reserved for the stacks of threads and never used."""

FILE_BYTES: Final = 1 << 30
"""Size of a file that the uploader writes: the largest reply has half of that, and its ledger a thousandth."""

_PROXY_MEMORY_MB: Final = 8192
"""Of address space: a picture, its background pictures and its results are in it as a whole."""

_WEB_MEMORY_MB: Final = 1024
"""Address space; a twentieth of it is in use."""

PAGE_MEMORY_MB: Final = 4096
"""Least address space of the process behind the page: its workers cannot have more than it has itself."""

_CONNECTIONS: Final = 1024
"""Open files of the page's processes; most are connections of browsers that are about to be closed."""

_DNS: Final = 53

# Files that the C library reads to resolve a name, anew whenever the network changes: files in /etc are replaced then, and
# Landlock knows files, not names, so the directory is allowed. The others are targets of links in it.
_NAMES: Final = (
    "/etc",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/usr/share/zoneinfo",
)


def own_code() -> tuple[str, ...]:
    """Return the paths that a confined process imports from: Python's own directories and the system's libraries."""
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
    """Confine this process for good, after its libraries and model are loaded and before its first picture.

    `limits.die_with_parent` is called earlier, at the start of a worker; it is only reported here.

    Args:
        read: paths that it may open for reading: the directories of Python's modules. All other files come open.
        memory_mb: limit of the address space, MiB.
        file_bytes: limit of a file that it writes.
        tasks: descriptor of the socket that open files come through; None: there is none.
        nice: niceness, 0..19.
        graphics: whether its model runs on a graphics processor, whose driver it must reach.
        required: whether every layer must be active.

    Returns:
        The active layers, in the order of their activation.

    Raises:
        SandboxError: a required layer does not exist here.
        CutoutdError: a layer that exists here was refused, or a library has started threads that it would
            not bind (set OPENBLAS_NUM_THREADS=1 and the like before numpy is imported).
    """
    return _in_force(
        (Layer.RLIMITS, limits.bound_resources(memory_mb=memory_mb, nice=nice, file_bytes=file_bytes)),
        (Layer.DIES_WITH_PARENT, limits.dies_with_parent()),
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.CAPABILITIES, capabilities.drop(read)),
        _landlock(landlock.restrict(read, ())),
        # Last: it refuses calls that the other layers need.
        (Layer.SECCOMP, seccomp.refuse_all_sockets(tasks, graphics=graphics)),
        required=survey.WORKER if required else (),
    )


def confine_proxy(*, exchange: Path, tasks: int, file_bytes: int, required: bool = False) -> tuple[str, ...]:
    """Confine this process for good, before its first task: it passes pictures on through its exchange directory, and opens nothing else.

    `limits.die_with_parent` is called earlier.

    Args:
        exchange: STATE/cluster, in whose outbox and inbox it may read and write.
        tasks: descriptor of the socket that opened files come through.
        file_bytes: of a file that it writes.
        required: whether each layer must be there.

    Returns:
        The layers in force, in the order they were put up.

    Raises:
        SandboxError: a layer that is required does not exist here.
        CutoutdError: a layer that exists here was refused, or there are threads that it would not bind.
    """
    read = own_code()
    return _in_force(
        (
            Layer.RLIMITS,
            limits.bound_resources(memory_mb=_PROXY_MEMORY_MB, nice=0, file_bytes=file_bytes),
        ),
        (Layer.DIES_WITH_PARENT, limits.dies_with_parent()),
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.CAPABILITIES, capabilities.drop(read)),
        _landlock(landlock.restrict(read, (exchange / "outbox", exchange / "inbox"))),
        (Layer.SECCOMP_PROXY, seccomp.refuse_all_sockets(tasks, writes_files=True)),
        required=survey.PROXY if required else (),
    )


def confine_supervisor(*, required: bool = False) -> tuple[str, ...]:
    """Take the network from this process and from all that it starts, for good.

    Args:
        required: whether every layer must be active.

    Returns:
        The active layers.

    Raises:
        SandboxError: a required layer does not exist here.
        CutoutdError: a layer that exists here was refused.
    """
    return _in_force(
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.SECCOMP_NETWORK, seccomp.refuse_network_sockets()),
        required=survey.SUPERVISOR if required else (),
    )


def confine_uploader(
    *,
    root: Path | None,
    ports: Sequence[int],
    read: Sequence[str | os.PathLike[str]] = (),
    file_bytes: int = FILE_BYTES,
    memory_mb: int = _UPLOADER_MEMORY_MB,
    required: bool = False,
) -> tuple[str, ...]:
    """Confine this process for good, before its first request is read: it calls out, and sees only what it may send.

    For the uploader and for the gateway to a cluster. The uploader calls it once the client has read its authorities and
    the key is known: neither can be read afterwards.

    Args:
        root: STATE/hosted or STATE/cluster, which it may read and write; None: nothing.
        ports: that it may reach: of the service and the webhooks, or of the scheduler and the workers.
        read: what else it may read.
        file_bytes: of a file that it writes.
        memory_mb: its address space, MiB.
        required: whether each layer must be there.

    Returns:
        The active layers, in the order of their activation.

    Raises:
        SandboxError: a required layer does not exist here.
        CutoutdError: a layer that exists here was refused, or there are threads that it would not bind.
    """
    return _in_force(
        (
            Layer.RLIMITS,
            limits.bound_resources(memory_mb=memory_mb, nice=0, file_bytes=file_bytes),
        ),
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.CAPABILITIES, capabilities.drop()),
        _landlock(
            landlock.restrict(
                (*own_code(), *_NAMES, *read), () if root is None else (root,), connect=(*ports, _DNS)
            )
        ),
        (Layer.SECCOMP_UPLOADER, seccomp.refuse_all_but_network()),
        required=survey.UPLOADER if required else (),
    )


def confine_dask_worker(
    *,
    read: Sequence[str | os.PathLike[str]],
    write: Path,
    connect: int,
    bind: int,
    required: bool = False,
) -> tuple[str, ...]:
    """Confine this process for good, and all that it starts, before Dask is loaded: it listens, and runs what it is sent.

    It starts the slots, which confine themselves further, so it must be able to start Python. No filter of system calls:
    what a slot is started with is what a slot must not do.

    Args:
        read: certificates and models.
        write: a directory of its own, for what is under way.
        connect: port of the scheduler.
        bind: port that it listens on.
        required: whether each layer must be there.

    Returns:
        The active layers, in the order of their activation.

    Raises:
        SandboxError: a required layer does not exist here.
        CutoutdError: a layer that exists here was refused, or there are threads that it would not bind.
    """
    libraries = (sysconfig.get_config_var("LIBDIR") or "", "/lib", "/lib64", "/usr/lib", "/usr/lib64")
    python = (
        os.path.realpath(sys.executable),
        os.path.join(sys.base_prefix, "lib"),  # noqa: PTH118 -- as the other places of Python's
        *filter(None, libraries),
    )
    settings = os.path.join(sys.prefix, "pyvenv.cfg")  # noqa: PTH118 -- likewise
    # Other processes are seen by name there; Landlock refuses their memory, environment and open files.
    figures = ("/proc", "/sys")
    return _in_force(
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.CAPABILITIES, capabilities.drop(read)),
        _landlock(
            landlock.restrict(
                (*own_code(), settings, *_NAMES, *figures, *read),
                (write,),
                connect=(connect, _DNS),
                execute=python,
                bind=(bind,),
            )
        ),
        required=survey.DASK_WORKER if required else (),
    )


def confine_web(*, required: bool = False) -> tuple[str, ...]:
    """Confine the process that answers browsers for good: it accepts connections, makes none, and opens no file.

    Called when its socket listens and everything is imported. `limits.die_with_parent` is called earlier.

    Args:
        required: whether every layer must be active.

    Returns:
        The active layers, in the order of their activation.

    Raises:
        SandboxError: a required layer does not exist here.
        CutoutdError: a layer that exists here was refused, or there are threads that it would not bind.
    """
    return _in_force(
        (
            Layer.RLIMITS,
            limits.bound_resources(memory_mb=_WEB_MEMORY_MB, nice=0, file_bytes=0, open_files=_CONNECTIONS),
        ),
        (Layer.DIES_WITH_PARENT, limits.dies_with_parent()),
        (Layer.NO_DUMP, limits.hide_memory()),
        (Layer.CAPABILITIES, capabilities.drop()),
        _landlock(landlock.restrict((), ())),
        (Layer.SECCOMP_WEB, seccomp.refuse_all_but_answers()),
        required=survey.WEB if required else (),
    )


def confine_page(*, memory_mb: int = PAGE_MEMORY_MB, required: bool = False) -> tuple[str, ...]:
    """Take the network from the process behind the page and from all that it starts. It keeps the listening socket.

    Args:
        memory_mb: limit of the address space, MiB, of the process and of each that it starts.
        required: whether every layer must be active.

    Returns:
        The active layers.

    Raises:
        SandboxError: a required layer does not exist here.
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
    """Return the names of the layers that are active, in their order.

    Raises:
        SandboxError: a required layer is not active.
    """
    active = tuple(str(layer) for layer, is_up in layers if is_up)
    survey.refuse(survey.gaps_between(required, active))
    return active
