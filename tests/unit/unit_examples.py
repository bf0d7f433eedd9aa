"""The units and property lists that lie in the tree for reading, as they are made.

``python -m tests.unit.unit_examples`` writes them anew.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.service import launchd, systemd
from cutoutd.service.planning import writable
from cutoutd.service.systemd import SystemdManager
from cutoutd.service.unit import GATEWAY, UPLOADER, Scope, ServerUnit, Unit, UploaderUnit

if TYPE_CHECKING:
    from collections.abc import Mapping

TREE: Final = Path(__file__).parents[2]
_NEW: Final = SystemdManager(version=257)


def _unit(scope: Scope, python: str, config: str, state: str, owner: str, home: str, *places: str) -> Unit:
    """Return the facts of a unit for these paths."""
    return Unit(
        scope=scope,
        command=(python, "-P", "-m", "cutoutd", "run", "--config", config),
        owner=owner,
        home=Path(home),
        state_dir=Path(state),
        read=(Path(python).parents[1], Path(config), *map(Path, places)),
        write=writable(map(Path, places), ()),
        environment={},
    )


SYSTEM: Final = _unit(
    Scope.SYSTEM,
    "/opt/cutoutd/bin/python",
    "/etc/cutoutd/cutoutd.toml",
    "/var/lib/cutoutd",
    "shop",
    "/home/shop",
    "/mnt/share/incoming",
    "/srv/photos/cutouts",
)
UPLOADING: Final = UploaderUnit(
    name=UPLOADER,
    does="sends pictures of tagged folders to a hosted service",
    exchange="hosted",
    command=(*SYSTEM.command[:4], "hosted", *SYSTEM.command[5:]),
    sees=(
        Path("/opt/cutoutd"),
        Path("/usr"),
        Path("/etc/cutoutd/cutoutd.toml"),
        Path("/etc/cutoutd/remove-bg.key"),
    ),
    hidden=(Path("/mnt/share/incoming"), Path("/srv/photos/cutouts")),
)
HOSTED: Final = replace(SYSTEM, uploader=UPLOADING)
CLUSTERING: Final = replace(
    UPLOADING,
    name=GATEWAY,
    does="sends pictures of tagged folders to the machines of a cluster",
    exchange="cluster",
    command=(*SYSTEM.command[:4], "cluster", "gateway", *SYSTEM.command[5:]),
    sees=(
        Path("/opt/cutoutd"),
        Path("/usr"),
        Path("/etc/cutoutd/cutoutd.toml"),
        *(Path(f"/etc/cutoutd/cluster/{name}") for name in ("ca.pem", "coordinator.pem", "coordinator.key")),
    ),
)
CLUSTERED: Final = replace(SYSTEM, gateway=CLUSTERING)
PAGED: Final = replace(
    SYSTEM,
    page=ServerUnit(
        command=(*SYSTEM.command[:4], "page", "--serve-only", *SYSTEM.command[5:]),
        write=(Path("/home/shop"), Path("/etc/cutoutd"), Path("/var/lib/cutoutd")),
        is_loopback=True,
    ),
)
SERVED: Final = replace(
    SYSTEM,
    serve=ServerUnit(
        command=(*SYSTEM.command[:4], "serve", "--serve-only", *SYSTEM.command[5:]),
        write=(*SYSTEM.write, Path("/var/lib/cutoutd")),
        is_loopback=True,
    ),
)
USER: Final = _unit(
    Scope.USER,
    "/home/ann/.local/share/pipx/venvs/cutoutd/bin/python",
    "/home/ann/.config/cutoutd/cutoutd.toml",
    "/home/ann/.local/state/cutoutd",
    "ann",
    "/home/ann",
    "/home/ann/to-cut",
    "/home/ann/cutouts",
)
AGENT: Final = _unit(
    Scope.USER,
    "/Users/ann/.local/pipx/venvs/cutoutd/bin/python",
    "/Users/ann/Library/Application Support/cutoutd/cutoutd.toml",
    "/Users/ann/Library/Application Support/cutoutd",
    "ann",
    "/Users/ann",
    "/Users/ann/to-cut",
    "/Users/ann/cutouts",
)
AGENT_PAGED: Final = replace(
    AGENT,
    page=ServerUnit(
        command=(*AGENT.command[:4], "page", "--serve-only", *AGENT.command[5:]), write=(), is_loopback=True
    ),
)
DAEMON: Final = _unit(
    Scope.SYSTEM,
    "/opt/cutoutd/bin/python",
    "/etc/cutoutd/cutoutd.toml",
    "/var/lib/cutoutd",
    "shop",
    "/Users/shop",
    "/Volumes/share/incoming",
)


def examples() -> Mapping[str, str]:
    """Return the files' texts, by their names in the tree."""
    return {
        "systemd/cutoutd.service": systemd.render(SYSTEM, _NEW),
        "systemd/cutoutd-hosted.service": systemd.render_uploader(HOSTED, UPLOADING, _NEW),
        "systemd/cutoutd-cluster.service": systemd.render_uploader(CLUSTERED, CLUSTERING, _NEW),
        "systemd/cutoutd-page.service": systemd.render_page(PAGED, _NEW),
        "systemd/cutoutd-serve.service": systemd.render_serve(SERVED, _NEW),
        "systemd/user/cutoutd.service": systemd.render(USER, _NEW),
        "launchd/cutoutd-agent.plist": launchd.render(AGENT),
        "launchd/cutoutd-daemon.plist": launchd.render(DAEMON),
        "launchd/cutoutd-page.plist": launchd.render_page(AGENT_PAGED),
    }


if __name__ == "__main__":
    for name, text in examples().items():
        (TREE / name).parent.mkdir(exist_ok=True)
        (TREE / name).write_text(text, encoding="utf-8")
