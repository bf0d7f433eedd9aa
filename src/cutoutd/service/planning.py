"""Derives the service from a configuration: its user, its command, and the directories that it may write in.

It must not change anything.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import UsageError
from cutoutd.folder.root_access import ADVICE, exposed
from cutoutd.process import program
from cutoutd.service import machine
from cutoutd.service.unit import GATEWAY, UPLOADER, Scope, ServerUnit, Unit, UploaderUnit
from cutoutd.settings import document, places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cutoutd.service.machine import Account
    from cutoutd.settings.schema import Folder, Settings

_ROOT: Final = "root"
_PROGRAM: Final = program.command()

_KEPT: Final = ("XDG_STATE_HOME", "XDG_DATA_HOME")
"""These decide where the journal and added models are; a service manager does not see the environment of the shell."""


def unit_for(
    settings: Settings,
    *,
    scope: Scope,
    arguments: Sequence[str],
    config: Path | None,
    environ: Mapping[str, str],
    run_as: str | None = None,
    uploader_apart: bool = True,
) -> Unit:
    """Return the service for a configuration.

    Args:
        settings: the configuration, as it was read.
        scope: scope of the service.
        arguments: arguments of ``cutoutd run``, with absolute paths.
        config: path of the configuration, if there is one.
        environ: environment of the command.
        run_as: name of the user, for the system scope; None: the owner of the folders.
        uploader_apart: whether the uploader, where a folder is tagged or has a webhook, is a separate service, as the
            page always is.

    Raises:
        UsageError: there is no such service; the advice says what is possible.
    """
    if scope is Scope.SYSTEM:
        _check_paths(settings, config)
        owner = _owner(settings, run_as)
    else:
        owner = machine.account_of(os.geteuid())
    written = [place for folder in settings.folder for place in _places(folder)]
    backgrounds = [picture for folder in settings.folder for picture in folder.backgrounds]
    # Under systemd the daemon has no network, so they cannot run beside it; launchd does not remove the network.
    uploads = settings.needs_uploader and uploader_apart
    clusters = bool(settings.clustered) and uploader_apart
    serves = settings.serve.enabled and uploader_apart
    options = [
        *(["--uploader-apart"] if uploads else []),
        *(["--cluster-apart"] if clusters else []),
        "--page-apart",
        *(["--serve-apart"] if serves else []),
    ]
    write = writable(written, mount_points())
    return Unit(
        scope=scope,
        command=(*_PROGRAM, "run", *arguments, *options),
        owner=owner.name,
        home=owner.home,
        state_dir=settings.service.state_dir,
        read=(*_own_code(), *([config] if config is not None else []), *written, *backgrounds),
        write=(*write, *_registries(scope)),
        environment={}
        if scope is Scope.SYSTEM
        else {name: environ[name] for name in _KEPT if name in environ},
        chowns=any(folder.group for folder in settings.folder),
        uploader=_uploader(settings, arguments, config, written) if uploads else None,
        gateway=_gateway(settings, arguments, config, written) if clusters else None,
        page=_page(settings, arguments, config, owner.home) if settings.page.enabled else None,
        serve=_serve(settings, arguments, write) if serves else None,
    )


def _registries(scope: Scope) -> Iterator[Path]:
    """Yield where a user's daemon registers itself for the user's commands; those of a system service need its configuration."""
    if scope is Scope.USER:
        yield places.registry()


def _uploader(
    settings: Settings, arguments: Sequence[str], config: Path | None, folders: Sequence[Path]
) -> UploaderUnit:
    secrets = [webhook.secret_file for folder in settings.with_webhooks for webhook in folder.webhook]
    key = settings.hosted.api_key_file if settings.tagged else None
    files = [place for place in dict.fromkeys((config, key, *secrets)) if place is not None]
    return UploaderUnit(
        name=UPLOADER,
        does="sends pictures of tagged folders to a hosted service",
        exchange="hosted",
        command=(*_PROGRAM, "hosted", *arguments),
        sees=(*_own_code(), *files),
        hidden=tuple(folders),
    )


def _gateway(
    settings: Settings, arguments: Sequence[str], config: Path | None, folders: Sequence[Path]
) -> UploaderUnit:
    files = [*([config] if config is not None else []), *map(Path, settings.cluster.files)]
    return UploaderUnit(
        name=GATEWAY,
        does="sends pictures of tagged folders to the machines of a cluster",
        exchange="cluster",
        command=(*_PROGRAM, "cluster", "gateway", *arguments),
        sees=(*_own_code(), *files),
        hidden=tuple(folders),
    )


def _page(settings: Settings, arguments: Sequence[str], config: Path | None, home: Path) -> ServerUnit:
    # The home of the user who installs it may not be that of the user it runs as.
    roots = [home if root == Path.home() else root for root in settings.page.roots]
    beside = [config.parent] if config is not None else []
    return ServerUnit(
        command=(*_PROGRAM, "page", "--serve-only", *arguments),
        write=tuple(dict.fromkeys([*roots, *beside, settings.service.state_dir])),
        is_loopback=settings.page.address.is_loopback,
    )


def _serve(settings: Settings, arguments: Sequence[str], write: Sequence[Path]) -> ServerUnit:
    return ServerUnit(
        command=(*_PROGRAM, "serve", "--serve-only", *arguments),
        write=tuple(dict.fromkeys([*write, settings.service.state_dir])),
        is_loopback=settings.serve.address.is_loopback,
    )


def cautions(unit: Unit, settings: Settings) -> Iterator[str]:
    """Yield warnings about a service."""
    for folder in settings.folder:
        for place in _places(folder):
            if is_pinned(place, unit.write):
                yield (
                    f"{place} lies directly below /: if it is unmounted or made anew, restart the service, "
                    "which would not see it otherwise"
                )
        if unit.owner == _ROOT and not settings.service.allow_root and (why := exposed(folder)):
            yield f'the service would run as root, and is refused then for "{folder.name}": {why}. {ADVICE}'


def _own_code() -> Iterator[Path]:
    """Yield where Python and this program are: a checkout or a private environment may be anywhere."""
    yield from map(Path, (sys.prefix, sys.base_prefix))
    yield Path(__file__).parents[2]
    if (whole := program.bundle()) is not None:
        yield Path(whole)


def _places(folder: Folder) -> Iterator[Path]:
    for place in (folder.input, folder.output, folder.sidecar_dir, folder.originals_dir):
        if place is not None:
            yield place


def _check_paths(settings: Settings, config: Path | None) -> None:
    if config is not None and _has_home(document.read(config)):
        raise UsageError(
            "a path begins with ~, which is another directory for a system service",
            path=config,
            advice="Write the paths in full.",
        )
    if settings.service.state_dir == places.state_dir():
        raise UsageError(
            f"[service] state_dir is not set, so the journal would lie in the home of {machine.account_of(os.geteuid()).name}",
            path=config,
            advice=f"Move the configuration to {places.SYSTEM_FILE}, or set state_dir.",
        )


def _has_home(value: object) -> bool:
    """Whether a path anywhere in a document begins with ``~``; only path settings are checked."""
    if isinstance(value, dict):
        named = (
            one
            for key, one in value.items()
            if key in ("input", "output", "background") or key.endswith(("_dir", "_file"))
        )
        nested = (one for one in value.values() if isinstance(one, dict | list))
        return any(isinstance(one, str) and one.startswith("~") for one in named) or any(
            map(_has_home, nested)
        )
    return isinstance(value, list) and any(map(_has_home, value))


def _owner(settings: Settings, run_as: str | None) -> Account:
    if run_as is not None:
        account = machine.account_named(run_as)
        if account is None:
            raise UsageError(f"this machine has no user {run_as!r}", advice="Give --run-as the name of one.")
        return account
    owners = {}
    for folder in settings.folder:
        try:
            owners[folder.input] = folder.input.stat().st_uid
        except OSError as error:
            raise UsageError(
                f"its owner cannot be seen ({error.strerror})",
                path=folder.input,
                advice="Make the folder, or say with --run-as as whom the service is to run.",
            ) from error
    if len(set(owners.values())) == 1 and 0 not in owners.values():
        return machine.account_of(next(iter(owners.values())))
    listed = ", ".join(f"{path} ({machine.account_of(uid).name})" for path, uid in owners.items())
    why = (
        "the folders belong to root" if set(owners.values()) == {0} else "the folders belong to several users"
    )
    raise UsageError(
        f"{why}: {listed}",
        advice="Say with --run-as as whom the service is to run; it must be able to write there.",
    )


MOUNTINFO: Final = Path("/proc/self/mountinfo")
FSTAB: Final = Path("/etc/fstab")

_TOP: Final = Path("/")
_USUAL: Final = (Path("/mnt"), Path("/media"), Path("/run/media"))
"""Where removable disks and shares appear that may not be mounted now."""


def writable(places: Iterable[Path], mounts: Iterable[Path]) -> tuple[Path, ...]:
    """Return the directories to grant for these places; none is inside another.

    Args:
        places: absolute paths, without ``..``; they need not exist.
        mounts: mount points, also of file systems that are not mounted now.
    """
    points = frozenset(mounts)
    granted = {_grant(place, points) for place in places}
    return tuple(
        sorted(one for one in granted if not any(other in one.parents for other in granted if other != one))
    )


def _grant(place: Path, mounts: frozenset[Path]) -> Path:
    for usual in _USUAL:
        if usual in place.parents:
            return usual
    above = sorted(
        (point for point in (place, *place.parents) if point in mounts), key=lambda p: len(p.parts)
    )
    for point in above:
        if _TOP not in (point.parent, point):
            return point.parent
    # The parent of a directory directly below the root is the root: granting it would grant everything.
    return place if place.parent == _TOP else place.parent


def is_pinned(place: Path, granted: Iterable[Path]) -> bool:
    """Whether a place that disappears and comes back stays invisible until the service is restarted."""
    return any(place == one for one in granted)


def mount_points(mountinfo: Path = MOUNTINFO, fstab: Path = FSTAB) -> tuple[Path, ...]:
    """Return the current mount points, and those in fstab; empty where the system does not list them."""
    now = [fields[4] for line in _lines(mountinfo) if len(fields := line.split()) > 4]  # noqa: PLR2004 -- proc(5)
    later = [fields[1] for line in _lines(fstab) if len(fields := line.split()) > 1 and line[0] != "#"]
    return tuple(Path(_unescape(text)) for text in (*now, *later) if text.startswith("/"))


def _lines(path: Path) -> list[str]:
    try:
        return [
            line for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if line
        ]
    except OSError:
        return []


def _unescape(text: str) -> str:
    r"""Decode spaces and the like, which are written as ``\040``."""
    for code, one in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, one)
    return text
