"""Units for systemd, as text. It must not examine the machine, nor run anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import UsageError
from cutoutd.service.unit import GATEWAY, Scope, ServerUnit, Unit, UploaderUnit, fill, template
from cutoutd.settings import places

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEPS_SINCE: Final = 254
"""First version of systemd with RestartSteps=; older ones log a warning about it."""

_HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 -- names to compare with

_ALWAYS_SEEN: Final = (Path("/usr"), Path("/etc"), Path("/opt"), Path("/bin"), Path("/lib"))

_LOOPBACK: Final = ("IPAddressDeny=any", "IPAddressAllow=localhost")

_UMASK: Final = (
    "# Cutouts are for whoever may read the folder; the journal's directory is closed to others by its own mode.",
    "UMask=0022",
)
"""Not in a user's unit, which has the umask of the user, so that groups can share files."""

_NEED_NAMESPACES: Final = frozenset(
    {
        "BindPaths", "BindReadOnlyPaths", "CapabilityBoundingSet", "DevicePolicy", "InaccessiblePaths", "IPAddressAllow", "IPAddressDeny", "PrivateDevices", "PrivateIPC", "PrivateMounts",
        "PrivateNetwork", "PrivateTmp", "PrivateUsers", "ProcSubset", "ProtectClock", "ProtectControlGroups",
        "ProtectHome", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
        "ProtectProc", "ProtectSystem", "ReadOnlyPaths", "ReadWritePaths",
        "SocketBindDeny", "TemporaryFileSystem",
    }
)  # fmt: skip
"""Settings that a user's service manager supports only where users may create namespaces; otherwise the unit would not start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemdManager:
    """The abilities of a systemd.

    Attributes:
        version: version of systemd.
        namespaces: whether a user's units can get their own view of files and network.
    """

    version: int
    namespaces: bool = True


def render(unit: Unit, manager: SystemdManager) -> str:
    """Return the text of ``cutoutd.service``.

    Raises:
        UsageError: a path contains characters that a unit cannot hold.
    """
    is_user = unit.scope is Scope.USER
    steps = manager.version >= _STEPS_SINCE
    seen = (*unit.read, *unit.write, unit.state_dir)
    own_state = not is_user and unit.state_dir == places.SYSTEM_STATE
    text = fill(
        template("systemd/cutoutd.service.in"),
        {
            "USER_FLAG": " --user" if is_user else "",
            "EXEC_START": " ".join(_word(part, dollar=True) for part in unit.command),
            "OWNER": [] if is_user else [f"User={unit.owner}"],
            "ENVIRONMENT": [
                f"Environment={_word(f'{name}={value}')}" for name, value in unit.environment.items()
            ],
            "BACK_OFF": ["RestartSteps=8", "RestartMaxDelaySec=300"] if steps else [],
            "PROTECT_HOME": list(_protect_home(seen, unit.write)),
            "PRIVATE_TMP": [] if _any_below(seen, _TEMPORARY) else ["PrivateTmp=yes"],
            "STATE": ["StateDirectory=cutoutd", "StateDirectoryMode=0700"] if own_state else [],
            "READ_WRITE_PATHS": list(_read_write(unit, own_state=own_state)),
            "CAPABILITIES": ["CapabilityBoundingSet=", *([] if is_user else ["AmbientCapabilities="])],
            "PRIVATE_USERS": [] if unit.chowns else ["PrivateUsers=yes"],
            "UMASK": [] if is_user else list(_UMASK),
            "WANTED_BY": "default.target" if is_user else "multi-user.target",
        },
    )
    return text if has_namespaces(unit, manager) else _without_namespaces(text)


def render_uploader(unit: Unit, part: UploaderUnit, manager: SystemdManager) -> str:
    """The text of ``cutoutd-hosted.service`` or ``cutoutd-cluster.service``.

    Args:
        unit: whose it is.
        part: its uploader, or its gateway.
        manager: what systemd can do.

    Raises:
        UsageError: a path contains characters that a unit cannot hold.
    """
    is_user = unit.scope is Scope.USER
    sees = [place for place in dict.fromkeys(part.sees) if not _any_below((place,), _ALWAYS_SEEN)]
    # A path inside a directory that is bound needs no line of its own.
    sees = [place for place in sees if not any(other in place.parents for other in sees)]
    text = fill(
        template("systemd/cutoutd-hosted.service.in"),
        {
            "USER_FLAG": " --user" if is_user else "",
            "NAME": part.name,
            "DOES": part.does,
            "EXEC_START": " ".join(_word(word, dollar=True) for word in part.command),
            "OWNER": [] if is_user else [f"User={unit.owner}"],
            "ENVIRONMENT": [
                f"Environment={_word(f'{name}={value}')}" for name, value in unit.environment.items()
            ],
            # Dask asks how much memory the machine has.
            "PROC_SUBSET": [] if part.name == GATEWAY else ["ProcSubset=pid"],
            "STATE_DIR": _mounted_over(str(unit.state_dir)),
            "EXCHANGE": _bound(str(unit.state_dir / part.exchange)),
            "READ_ONLY": [f"BindReadOnlyPaths={_bound(f'-{place}')}" for place in sees],
            "INACCESSIBLE": [f"InaccessiblePaths={_word(f'-{place}')}" for place in part.hidden],
            "CAPABILITIES": ["CapabilityBoundingSet=", *([] if is_user else ["AmbientCapabilities="])],
            "WANTED_BY": "default.target" if is_user else "multi-user.target",
        },
    )
    return text if is_user is False or manager.namespaces else _without_namespaces(text)


def render_page(unit: Unit, manager: SystemdManager) -> str:
    """Return the text of ``cutoutd-page.service``.

    Args:
        unit: a unit with a page.
        manager: abilities of systemd.

    Raises:
        UsageError: a path contains characters that a unit cannot hold.
    """
    assert unit.page is not None  # noqa: S101 -- checked by the caller
    return _render_server("systemd/cutoutd-page.service.in", unit, unit.page, manager)


def render_serve(unit: Unit, manager: SystemdManager) -> str:
    """Return the text of ``cutoutd-serve.service``.

    Args:
        unit: a unit with an API.
        manager: abilities of systemd.

    Raises:
        UsageError: a path contains characters that a unit cannot hold.
    """
    assert unit.serve is not None  # noqa: S101 -- checked by the caller
    return _render_server("systemd/cutoutd-serve.service.in", unit, unit.serve, manager)


def _render_server(name: str, unit: Unit, part: ServerUnit, manager: SystemdManager) -> str:
    is_user = unit.scope is Scope.USER
    seen = (*unit.read, *part.write)
    text = fill(
        template(name),
        {
            "USER_FLAG": " --user" if is_user else "",
            "EXEC_START": " ".join(_word(word, dollar=True) for word in part.command),
            "OWNER": [] if is_user else [f"User={unit.owner}"],
            "ENVIRONMENT": [
                f"Environment={_word(f'{name}={value}')}" for name, value in unit.environment.items()
            ],
            "NETWORK": list(_LOOPBACK if part.is_loopback else ()),
            "PROTECT_HOME": list(_protect_home(seen, part.write)),
            "PRIVATE_TMP": [] if _any_below(seen, _TEMPORARY) else ["PrivateTmp=yes"],
            "READ_WRITE_PATHS": [f"ReadWritePaths={_word(f'-{place}')}" for place in part.write],
            "CAPABILITIES": ["CapabilityBoundingSet=", *([] if is_user else ["AmbientCapabilities="])],
            "PRIVATE_USERS": [] if unit.chowns else ["PrivateUsers=yes"],
            "WANTED_BY": "default.target" if is_user else "multi-user.target",
        },
    )
    return text if has_namespaces(unit, manager) else _without_namespaces(text)


def has_namespaces(unit: Unit, manager: SystemdManager) -> bool:
    """Whether the unit gets its own view of files and its own, empty, network from systemd.

    A user's unit that changes the group of files cannot have them: in a namespace of the user the groups are unknown.
    """
    return unit.scope is Scope.SYSTEM or (manager.namespaces and not unit.chowns)


def _protect_home(seen: tuple[Path, ...], written: tuple[Path, ...]) -> Iterator[str]:
    """Yield the lines about homes: unseen, read-only, or as they are.

    Of two settings for the very same path systemd takes the stricter one: under ``ProtectHome=read-only`` a granted ``/home``,
    as for a home that is a mount point, would stay read-only.
    """
    open_homes = [home for home in _HOMES if home in written]
    if open_homes:
        yield "ProtectHome=no"
        yield from (f"ReadOnlyPaths=-{home}" for home in _HOMES if home not in open_homes)
    else:
        yield f"ProtectHome={'read-only' if _any_below(seen, _HOMES) else 'yes'}"


def _read_write(unit: Unit, *, own_state: bool) -> Iterator[str]:
    granted = list(unit.write)
    if not own_state and not any(one == unit.state_dir or one in unit.state_dir.parents for one in granted):
        granted.append(unit.state_dir)
    for place in granted:
        # `-`: a missing directory must not keep the service from starting.
        yield f"ReadWritePaths={_word(f'-{place}')}"


def _without_namespaces(text: str) -> str:
    lines = [line for line in text.splitlines() if line.partition("=")[0] not in _NEED_NAMESPACES]
    return "\n".join(lines) + "\n"


def _any_below(places: tuple[Path, ...], roots: tuple[Path, ...]) -> bool:
    return any(root == place or root in place.parents for place in places for root in roots)


def _bound(text: str) -> str:
    """Quote a text as `_word` does, for a setting in which a colon separates parts.

    Raises:
        UsageError: it cannot be written.
    """
    return _word(text).replace(":", "\\:")


def _mounted_over(text: str) -> str:
    """Quote a text as `_bound` does, for TemporaryFileSystem=, which systemd splits twice.

    Raises:
        UsageError: it cannot be written.
    """
    return _word(text.replace("\\", "\\\\").replace(":", "\\:"))


def _word(text: str, *, dollar: bool = False) -> str:
    """Quote one word of a setting, by the rules of systemd.syntax(7), so that no character in it is special.

    Args:
        text: the word.
        dollar: whether the setting expands variables, as a command line does.

    Raises:
        UsageError: it cannot be written.
    """
    if any(not one.isprintable() and one != " " for one in text):
        raise UsageError(
            f"{text!r} cannot stand in a unit of systemd",
            advice="Give the folder a name of printable letters.",
        )
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if dollar:
        text = text.replace("$", "$$")
    return text if re.fullmatch(r"[^\s'\";]+", text) and "\\" not in text else f'"{text}"'
