"""The parts of a run, made from the settings: used by the daemon and by `cutoutd cut`.

Each function makes one part; nothing is started here.
"""

from __future__ import annotations

import grp
import os
import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cutoutd import file_signatures
from cutoutd.errors import ConfigurationError
from cutoutd.intake.rules import Rules
from cutoutd.logs import get
from cutoutd.pool import wire
from cutoutd.publish.publisher import Publisher
from cutoutd.publish.writing import Permissions
from cutoutd.sandbox import survey
from cutoutd.sandbox.confinement import confine_supervisor
from cutoutd.settings.types import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cutoutd.protocols import ModelSpec
    from cutoutd.settings.schema import Folder, Settings


_BACKGROUND_ADVICE: Final = 'Give the path of one, or a colour such as "white" or "#f5f5f5", or "transparent"; then run `cutoutd check`.'


def rules_of(folder: Folder) -> Rules:
    """Which names a folder takes.

    Raises:
        ConfigurationError: a pattern makes no sense.
    """
    try:
        return Rules(
            include=folder.include,
            exclude=folder.exclude,
            recursive=folder.recursive,
            subtrees=folder.subtrees,
        )
    except (ValueError, re.error) as error:
        raise ConfigurationError(f"[[folder]] {folder.name!r}, include or exclude: {error}") from error


def check_backgrounds(folder: Folder) -> None:
    """See that the pictures its renditions name are there and begin like pictures; none is decoded.

    Raises:
        ConfigurationError: one is not.
    """
    for number, one in enumerate(folder.rendition, 1):
        path = one.background_picture
        if path is None:
            continue
        where = f"[[folder.rendition]] number {number} of {folder.name!r}, background"
        try:
            if not path.is_file():
                raise ConfigurationError(f"{where}: there is no picture {path}", advice=_BACKGROUND_ADVICE)
            with path.open("rb") as file:
                head = file.read(file_signatures.HEAD_BYTES)
        except OSError as error:
            raise ConfigurationError(f"{where}: {path} cannot be read ({error.strerror})") from error
        if file_signatures.picture_format(head) is None:
            raise ConfigurationError(f"{where}: {path} is no picture", advice=_BACKGROUND_ADVICE)


def publisher_of(folder: Folder, *, name: str, run: str) -> Publisher:
    """What gives a folder's results their names.

    Args:
        folder: its settings.
        name: what its sidecars call it.
        run: id of this run.

    Raises:
        ConfigurationError: the group its files are to belong to does not exist.
    """
    return Publisher(
        folder=name,
        output=folder.output,
        sidecar_dir=folder.sidecar_dir,
        on_conflict=folder.on_conflict,
        run=run,
        permissions=permissions_of(folder),
        inputs=folder.input,
        portable=folder.has_portable_names,
    )


def setup_of(
    settings: Settings,
    models: Sequence[ModelSpec],
    second: ModelSpec | None = None,
) -> wire.Setup:
    """What a worker is told at its start.

    Args:
        settings: the whole configuration.
        models: to load; the first is for tasks that name none.
        second: that is asked where these leave doubt; None: there is none.
    """
    pool = settings.pool
    return wire.Setup(
        parent=os.getpid(),
        models=tuple(models),
        provider=settings.model.provider,
        memory_mb=pool.worker_memory_mb + (0 if second is None else second.room_mb),
        nice=pool.nice,
        max_pixels=pool.max_pixels,
        max_file_bytes=pool.max_file_mb << 20,
        formats=tuple(map(str, pool.formats)),
        sandbox_required=pool.sandbox is Sandbox.REQUIRED,
        second=second,
    )


def confine(settings: Settings) -> tuple[str, ...]:
    """Take the network from this process and all it starts, and say which layers of the sandbox there are.

    Before any thread, and before any folder is touched.

    Returns:
        This process's layers.

    Raises:
        SandboxError: one is missing, here or for the workers, and the configuration requires all.
        CutoutdError: a layer that exists here was refused.
    """
    required = settings.pool.sandbox is Sandbox.REQUIRED
    missing = survey.gaps()
    if required:
        survey.refuse(missing)
    for gap in missing:
        get().warning("sandbox.incomplete", missing=gap.layer.value, why=gap.why)
    return confine_supervisor(required=required)


@contextmanager
def obeying_signals(stop: Callable[[], None], reload: Callable[[], object] | None = None) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT stop the work in order, and a second one end it at once.

    Args:
        stop: called by the first.
        reload: called by each SIGHUP; None: SIGHUP is one of those that stop.
    """
    asked = False

    def obey(number: int, _: object) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)  # the kernel ends the workers with us; the journal is whole at any moment
        asked = True
        stop()

    def hear(_: int, __: object) -> None:
        if reload is not None:
            reload()

    handlers = {
        signal.SIGTERM: obey,
        signal.SIGINT: obey,
        signal.SIGHUP: obey if reload is None else hear,
    }
    # What the caller ignores stays ignored: SIGHUP under nohup, SIGINT in the background of a script.
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    # One that came before there was a handler has waited for it, see `cutoutd.__main__`.
    waited = signal.SIGHUP in signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        if waited:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        for number, handler in before.items():
            signal.signal(number, handler)


def has_terminal() -> bool:
    """Whether a terminal controls this process, whose closing would send it SIGHUP.

    That is the very case in which SIGHUP means "end": the kernel sends it to nobody else. Variables such as
    NOTIFY_SOCKET or INVOCATION_ID tell less, since a terminal that is itself a service hands them on to its
    shells; and standard input may be a file in either case.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return False
    os.close(terminal)
    return True


def permissions_of(folder: Folder) -> Permissions:
    """Whom a folder's results belong to.

    Raises:
        ConfigurationError: there is no such group.
    """
    if not folder.group:
        return Permissions(mode=folder.file_mode)
    try:
        return Permissions(mode=folder.file_mode, group=grp.getgrnam(folder.group).gr_gid)
    except KeyError:
        raise ConfigurationError(
            f"[[folder]] {folder.name!r}, group: this system has no group {folder.group!r}"
        ) from None
