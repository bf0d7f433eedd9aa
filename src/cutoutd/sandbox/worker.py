"""Confines a process for its part: a worker, which sees pictures, or the supervisor, which starts workers.

The names of the layers are stable: they stand in sidecars and in what `doctor` prints. A layer that the
system lacks is not in the result; one that it has and refuses is an error, never a weaker sandbox.
This module must not know what a worker does, nor start one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.sandbox import capabilities, landlock, limits, seccomp, survey
from cutoutd.sandbox.survey import Layer

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence


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
    layers: list[str] = []
    if limits.bound_resources(memory_mb=memory_mb, nice=nice, file_bytes=file_bytes):
        layers.append(Layer.RLIMITS)
    if limits.dies_with_parent():
        layers.append(Layer.DIES_WITH_PARENT)
    if limits.hide_memory():
        layers.append(Layer.NO_DUMP)
    if capabilities.give_up(read):
        layers.append(Layer.CAPABILITIES)
    restriction = landlock.restrict(read, ())
    if restriction is not None:
        layers.append(f"{Layer.LANDLOCK}-abi{restriction.abi}")
    # Last: it refuses what the others need.
    if seccomp.refuse_all_sockets(tasks, graphics=graphics):
        layers.append(Layer.SECCOMP)
    if required:
        survey.refuse(survey.gaps_between(survey.WORKER, layers))
    return tuple(map(str, layers))


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
    layers: list[str] = []
    if limits.hide_memory():
        layers.append(Layer.NO_DUMP)
    if seccomp.refuse_network_sockets():
        layers.append(Layer.SECCOMP_NETWORK)
    if required:
        survey.refuse(survey.gaps_between(survey.SUPERVISOR, layers))
    return tuple(map(str, layers))
