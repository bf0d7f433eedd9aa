"""Folders that lie in one another by links and mounts: nothing untagged leaves, nothing is cut in a circle, all is said."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import Daemon, picture
from tests.hosted_server import HostedServer
from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Bench

SETTLED_S = 1.5
"""Longer than a picture is left alone in these folders, and than the pause between two looks."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Directories, links and mounts of a test's own, with folders in them and the service that pictures could go to."""

    bench: Bench
    server: HostedServer
    folders: list[str] = field(default_factory=list)
    mounts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """Where all of it lies."""
        return self.bench.root

    @property
    def config(self) -> Path:
        """Written by ``configure``."""
        return self.root / "cutoutd.toml"

    def folder(self, name: str, source: str, output: str, *lines: str, route: str = "local") -> None:
        """One more folder, by paths in the tree."""
        self.folders.append(
            f'[[folder]]\nname = "{name}"\ninput = "{self.root}/{source}"\noutput = "{self.root}/{output}"\n'
            f'route = "{route}"\nsettle_s = 0.2\npoll_interval_s = 0.2\nrescan_interval_s = 1\n'
            + "\n".join(lines)
        )
        self.configure()

    def configure(self) -> None:
        """Write the configuration."""
        key = self.root / "key"
        key.write_text("a-key\n", encoding="ascii")
        key.chmod(0o600)
        self.config.write_text(
            f'[service]\nstate_dir = "{self.root}/own-state"\nmin_free_disk_mb = 0\n'
            f'[hosted]\nenabled = true\nbase_url = "{self.server.url}"\napi_key_file = "{key}"\n'
            "max_credits_per_day = 100\n" + "\n".join(self.folders),
            encoding="utf-8",
        )

    def drop(self, path: str, hue: int = 0) -> None:
        """A picture, in a directory that is made if it is not there."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = self.root / "draft.jpg"
        picture(hue).save(draft, quality=90)
        draft.rename(target)

    def bind(self, source: str, target: str) -> None:
        """A bind mount, in a namespace of the commands' own."""
        need("unshare")
        for path in (source, target):
            (self.root / path).mkdir(parents=True, exist_ok=True)
        self.mounts.append((source, target))

    def within(self, *command: str) -> list[str]:
        """A command where the mounts are."""
        if not self.mounts:
            return list(command)
        mounting = [
            f'mount --bind "{self.root}/{source}" "{self.root}/{target}"' for source, target in self.mounts
        ]
        return ["unshare", "-m", "sh", "-ec", " && ".join([*mounting, 'exec "$@"']), "sh", *command]

    def call(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """A command of ours to its end, where the mounts are."""
        command = self.within(*self.bench.command(*arguments, "--config", self.config))
        done = self.bench.call_any(command)
        if self.mounts and "unshare failed" in done.stderr:
            give_up("mount namespaces are not allowed here")
        return done

    def standings(self) -> dict[str, dict[str, str]]:
        """How the running daemon's folders stand."""
        try:
            said = json.loads((self.root / "own-state/status.json").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return {}
        found: dict[str, dict[str, str]] = said["folders"]
        return found

    def stands_by(self, name: str, why: str) -> bool:
        """Whether a folder is not worked on, for a reason that contains some words."""
        standing = self.standings().get(name, {})
        return standing.get("watching") == "standing by" and why in standing.get("why", "")

    def names(self, path: str) -> list[str]:
        """Results in a directory, at any depth."""
        return sorted(one.name for one in (self.root / path).rglob("*.png"))


@pytest.fixture
def tree(bench: Bench) -> Iterator[Tree]:
    """An empty tree."""
    with HostedServer() as server:
        yield Tree(bench=bench, server=server)


@pytest.fixture
def run(tree: Tree) -> Iterator[Callable[[], Daemon]]:
    """Starts the daemon where the mounts are, and sees that it ends with the test."""
    daemons: list[Daemon] = []

    def begin() -> Daemon:
        daemons.append(Daemon(tree.bench, "--config", tree.config, within=tree.within))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.end()


def by_symlink(tree: Tree) -> None:
    """The untagged folder lies in the tagged one, behind a link."""
    (tree.root / "data/shop/private").mkdir(parents=True)
    (tree.root / "home").symlink_to("data/shop")


def by_bind_mount(tree: Tree) -> None:
    """The same, behind a mount."""
    (tree.root / "data/shop/private").mkdir(parents=True)
    tree.bind("data/shop", "home")


def mounted_inside(tree: Tree) -> None:
    """The untagged folder is mounted in the tagged one."""
    (tree.root / "home/private").mkdir(parents=True)
    tree.bind("home/private", "data/shop/x")


def a_part_mounted_inside(tree: Tree) -> None:
    """A part of the untagged folder is mounted in the tagged one: no directory of both has the same inode."""
    (tree.root / "home/private").mkdir(parents=True)
    tree.bind("home/private/sub", "data/shop/x")


def a_part_is_the_tagged_one(tree: Tree) -> None:
    """The tagged folder is a mount of a directory of the untagged one."""
    (tree.root / "home/private").mkdir(parents=True)
    tree.bind("home/private/sub", "data/shop")


WAYS = [by_symlink, by_bind_mount, mounted_inside, a_part_mounted_inside, a_part_is_the_tagged_one]


@pytest.mark.parametrize("arrange", WAYS)
@pytest.mark.parametrize("order", [1, -1])
def test_a_picture_of_an_untagged_folder_never_leaves(
    tree: Tree, arrange: Callable[[Tree], None], order: int
) -> None:
    """The folder that could send it stands by and says so; the other one is worked on here, but not where both are."""
    arrange(tree)
    tree.drop("home/private/sub/secret.jpg" if "part" in arrange.__name__ else "home/private/secret.jpg")
    if arrange is by_bind_mount:
        shutil.move(tree.root / "home/private/secret.jpg", tree.root / "data/shop/private/secret.jpg")
    folders = [
        ("shop", "data/shop", "shop-out", "hosted"),
        ("private", "home/private", "private-out", "local"),
    ]
    for name, source, output, route in folders[::order]:
        tree.folder(name, source, output, route=route)
    done = tree.call("run", "--once")
    assert not tree.server.seen
    assert done.returncode == 1, done.stderr
    assert "leave this machine" in done.stderr
    is_shared = arrange is a_part_is_the_tagged_one
    assert tree.names("private-out") == ([] if is_shared else ["secret.png"])
    assert not tree.names("shop-out")
    checked = tree.call("check")
    assert checked.returncode == 2
    assert '"shop" input' in checked.stderr
    assert "leave this machine" in checked.stderr
