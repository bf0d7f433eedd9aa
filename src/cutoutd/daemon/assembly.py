"""The parts of a run, made from the settings: for the daemon and for `cutoutd cut`.

Each function makes one part; only `confine` and `handling_signals` change the process.
"""

from __future__ import annotations

import grp
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cutoutd import file_signatures
from cutoutd.errors import ConfigurationError
from cutoutd.logs import get
from cutoutd.pool import wire
from cutoutd.publish.places import Places
from cutoutd.publish.publisher import Publisher
from cutoutd.publish.writing import Permissions
from cutoutd.sandbox import survey
from cutoutd.sandbox.confinement import confine_supervisor
from cutoutd.settings.types import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cutoutd.exchange.cutout_previews import PreviewStore
    from cutoutd.protocols import ModelSpec
    from cutoutd.settings.schema import Folder, Settings


_BACKGROUND_ADVICE: Final = (
    'Give the path of one, or a colour such as "white" or "#f5f5f5", or "transparent".'
)


def check_backgrounds(folder: Folder) -> None:
    """Check that the background pictures of a folder's renditions exist and begin like pictures; none is decoded.

    Raises:
        ConfigurationError: a background picture is missing, unreadable, or not a picture.
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
            raise ConfigurationError(f"{where}: {path} is not a picture", advice=_BACKGROUND_ADVICE)


def publisher_of(folder: Folder, *, name: str, run: str, previews: PreviewStore | None = None) -> Publisher:
    """Return the publisher of a folder's results.

    Args:
        folder: settings of the folder.
        name: name of the folder in its sidecars.
        run: id of this session of the daemon.
        previews: store for previews of the results; None: no previews are made.

    Raises:
        ConfigurationError: the group of its files does not exist.
    """
    places = Places.of(
        name,
        folder.output,
        folder.sidecar_dir,
        run,
        permissions=permissions_of(folder),
        inputs=folder.input,
        portable=folder.has_portable_names,
    )
    return Publisher(places, on_conflict=folder.on_conflict, previews=previews)


def setup_of(
    settings: Settings,
    models: Sequence[ModelSpec],
    second: ModelSpec | None = None,
) -> wire.Setup:
    """Return what a worker is told at its start.

    Args:
        settings: the whole configuration.
        models: models to load; the first is for tasks that name none.
        second: model that is used where these leave doubt; None: there is none.
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
    """Remove the network from this process and all processes it starts, and log which layers of the sandbox are missing.

    To be called before any thread is started, and before any folder is touched.

    Returns:
        The layers of this process's sandbox.

    Raises:
        SandboxError: a layer is missing, here or for the workers, and the configuration requires all.
        CutoutdError: the system refused a layer that it has.
    """
    required = settings.pool.sandbox is Sandbox.REQUIRED
    missing = survey.gaps()
    if required:
        survey.refuse(missing)
    for gap in missing:
        get().warning("sandbox.incomplete", missing=gap.layer.value, why=gap.why)
    return confine_supervisor(required=required)


@contextmanager
def handling_signals(stop: Callable[[], None], reload: Callable[[], object] | None = None) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT stop the work in order, and a second one end the process at once.

    Args:
        stop: called at the first signal.
        reload: called at each SIGHUP; None: SIGHUP stops the work as well.
    """
    asked = False

    def stop_or_exit(number: int, _: object) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)  # the kernel ends the workers too; the journal is consistent at any moment
        asked = True
        stop()

    def request_reload(_: int, __: object) -> None:
        if reload is not None:
            reload()

    handlers = {
        signal.SIGTERM: stop_or_exit,
        signal.SIGINT: stop_or_exit,
        signal.SIGHUP: stop_or_exit if reload is None else request_reload,
    }
    # A signal that the caller ignores stays ignored: SIGHUP under nohup, SIGINT in the background of a script.
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    # A SIGHUP that came before there was a handler was blocked until now, see `cutoutd.__main__`.
    waited = signal.SIGHUP in signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        if waited:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        for number, handler in before.items():
            signal.signal(number, handler)


def permissions_of(folder: Folder) -> Permissions:
    """Return the mode and group of a folder's results.

    Raises:
        ConfigurationError: there is no such group, or this user may not give files to it.
    """
    if not folder.group:
        return Permissions(mode=folder.file_mode)
    where = f"[[folder]] {folder.name!r}, group"
    try:
        group = grp.getgrnam(folder.group).gr_gid
    except KeyError:
        raise ConfigurationError(f"{where}: this system has no group {folder.group!r}") from None
    if os.geteuid() != 0 and group not in (os.getegid(), *os.getgroups()):
        raise ConfigurationError(
            f"{where}: you are not in the group {folder.group!r}, so results cannot be given to it",
            advice="Have the administrator add you to it, and log in again; or leave group out.",
        )
    return Permissions(mode=folder.file_mode, group=group)
