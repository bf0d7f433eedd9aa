"""Folders that contain one another by links and mounts: untagged pictures never leave, nothing is cut in a loop, and all is reported."""

from __future__ import annotations

import functools
import json
import signal
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import Daemon, picture
from tests.acceptance.disks import Disks
from tests.hosted_server import HostedServer
from tests.outputs import every_file

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model


@dataclass(frozen=True, slots=True)
class Tree:
    """Directories, links and mounts of one test, with folders in them and a service to which pictures could go."""

    bench: Bench
    server: HostedServer
    opened: ExitStack
    folders: list[str] = field(default_factory=list)
    disks: list[Disks] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """Directory that contains all of it."""
        return self.bench.root

    @property
    def config(self) -> Path:
        """Configuration, as ``configure`` writes it."""
        return self.root / "cutoutd.toml"

    def folder(self, name: str, source: str, output: str, *lines: str, route: str = "local") -> None:
        """Add a folder, by paths in the tree."""
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
        """Add a picture; its directory is created if it is missing."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = self.root / "draft.jpg"
        picture(hue).save(draft, quality=90)
        draft.rename(target)

    def bind(self, source: str, target: str) -> None:
        """Add a bind mount, in the namespace of the commands."""
        for path in (source, target):
            (self.root / path).mkdir(parents=True, exist_ok=True)
        if not self.disks:
            self.disks.append(self.opened.enter_context(Disks()))
        self.disks[0].do("mount", "--bind", f"{self.root}/{source}", f"{self.root}/{target}")

    def within(self, *command: str) -> list[str]:
        """Return a command line that sees the mounts."""
        return self.disks[0].inside(*command) if self.disks else [*command]

    def call(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a cutoutd command that sees the mounts, to its end."""
        return self.bench.call_any(self.within(*self.bench.command(*arguments, "--config", self.config)))

    def folder_states(self) -> dict[str, dict[str, str]]:
        """Return the states of the running daemon's folders."""
        try:
            document = json.loads((self.root / "own-state/status.json").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return {}
        found: dict[str, dict[str, str]] = document["folders"]
        return found

    def stands_by(self, name: str, why: str) -> bool:
        """Return whether a folder stands by for a reason that contains some words."""
        standing = self.folder_states().get(name, {})
        return standing.get("watching") == "standing by" and why in standing.get("why", "")

    def jobs(self) -> list[tuple[str, str]]:
        """Return path and state of all jobs; empty as long as there is no journal."""
        listed = self.call("jobs", "--json")
        jobs = json.loads(listed.stdout)["jobs"] if listed.stdout else []
        return [(job["path"], job["state"]) for job in jobs]

    def names(self, path: str) -> list[str]:
        """Return the results in a directory, at any depth."""
        return sorted(one.name for one in every_file(self.root / path) if one.suffix == ".png")


@pytest.fixture
def tree(bench: Bench) -> Iterator[Tree]:
    """An empty tree."""
    with HostedServer() as server, ExitStack() as opened:
        yield Tree(bench=bench, server=server, opened=opened)


@pytest.fixture
def run(tree: Tree) -> Iterator[Callable[[], Daemon]]:
    """A function that starts a daemon that sees the mounts; the daemon is ended with the test."""
    daemons: list[Daemon] = []

    def begin() -> Daemon:
        daemons.append(Daemon(tree.bench, "--config", tree.config, within=tree.within))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.end()


def by_symlink(tree: Tree, at: str) -> None:
    """Put the untagged folder into the tagged one, behind a link."""
    (tree.root / at / "data/shop/private").mkdir(parents=True)
    (tree.root / at / "home").symlink_to("data/shop")


def by_bind_mount(tree: Tree, at: str) -> None:
    """Put the untagged folder into the tagged one, behind a mount."""
    (tree.root / at / "data/shop/private").mkdir(parents=True)
    tree.bind(f"{at}/data/shop", f"{at}/home")


def mounted_inside(tree: Tree, at: str) -> None:
    """Mount the untagged folder inside the tagged one."""
    (tree.root / at / "home/private").mkdir(parents=True)
    tree.bind(f"{at}/home/private", f"{at}/data/shop/x")


def a_part_mounted_inside(tree: Tree, at: str) -> None:
    """Mount a part of the untagged folder in the tagged one: no directory has the same inode in both."""
    (tree.root / at / "home/private").mkdir(parents=True)
    tree.bind(f"{at}/home/private/sub", f"{at}/data/shop/x")


def a_part_is_the_tagged_one(tree: Tree, at: str) -> None:
    """Make the tagged folder a mount of a directory of the untagged one."""
    (tree.root / at / "home/private").mkdir(parents=True)
    tree.bind(f"{at}/home/private/sub", f"{at}/data/shop")


BY_MOUNTS = [by_bind_mount, mounted_inside, a_part_mounted_inside, a_part_is_the_tagged_one]


@pytest.mark.parametrize("ways", [[by_symlink], BY_MOUNTS], ids=["by a link", "by mounts"])
def test_a_picture_of_an_untagged_folder_never_leaves(
    tree: Tree, ways: list[Callable[[Tree, str], None]]
) -> None:
    """The folder that could send it stands by and says so; the other one works locally, except where both overlap.

    Each arrangement is tried in both orders, since it must not matter which folder is configured first.
    """
    pairs = [(f"{way.__name__}-{order}".replace("_", "-"), way, order) for way in ways for order in (1, -1)]
    for at, way, order in pairs:
        way(tree, at)
        inside = "private/sub/secret.jpg" if "part" in way.__name__ else "private/secret.jpg"
        tree.drop(f"{at}/data/shop/{inside}" if way is by_bind_mount else f"{at}/home/{inside}")
        folders = [
            (f"shop-{at}", f"{at}/data/shop", f"{at}/shop-out", "hosted"),
            (f"private-{at}", f"{at}/home/private", f"{at}/private-out", "local"),
        ]
        for name, source, output, route in folders[::order]:
            tree.folder(name, source, output, route=route)
    done = tree.call("run", "--once")
    assert not tree.server.seen
    assert done.returncode == 1, done.stderr
    checked = tree.call("check")
    assert checked.returncode == 2
    for at, way, _ in pairs:
        is_shared = way is a_part_is_the_tagged_one
        assert tree.names(f"{at}/private-out") == ([] if is_shared else ["secret.png"]), at
        assert not tree.names(f"{at}/shop-out"), at
        for said in (done.stderr, checked.stderr):
            about = [line for line in said.splitlines() if f"shop-{at}" in line]
            assert any("leave this machine" in line for line in about), (at, said)


def test_a_link_made_while_it_runs_closes_the_tagged_folder_before_a_picture_leaves(
    tree: Tree, run: Callable[[], Daemon]
) -> None:
    """It continues by itself once the link is gone; meanwhile the state of both folders says why."""
    tree.drop("data/shop/private/old.jpg")
    tree.folder("shop", "data/shop", "shop-out", route="hosted")
    tree.folder("private", "home/private", "private-out")
    daemon = run()
    tree.bench.wait_for(lambda: tree.names("shop-out") == ["old.png"], "the tagged folder's own picture")
    sent = len(tree.server.seen)
    (tree.root / "home").symlink_to("data/shop")
    tree.bench.wait_for(lambda: tree.stands_by("shop", "leave this machine"), "the tagged folder to stand by")
    tree.drop("home/private/secret.jpg", 1)
    tree.bench.wait_for(lambda: "secret.png" in tree.names("private-out"), "the untagged folder's cutout")
    assert len(tree.server.seen) == sent
    (tree.root / "home").unlink()
    tree.drop("data/shop/new.jpg", 2)
    tree.bench.wait_for(lambda: "new.png" in tree.names("shop-out"), "the tagged folder to go on")
    assert daemon.end() == 0


def test_an_untagged_folder_that_a_reload_adds_closes_the_tagged_one(
    tree: Tree, run: Callable[[], Daemon]
) -> None:
    """No picture that comes after the reload leaves."""
    tree.drop("data/shop/private/old.jpg")
    (tree.root / "home").symlink_to("data/shop")
    tree.folder("shop", "data/shop", "shop-out", route="hosted")
    daemon = run()
    tree.bench.wait_for(lambda: tree.names("shop-out") == ["old.png"], "the first cutout")
    sent = len(tree.server.seen)
    tree.folder("private", "home/private", "private-out")
    daemon.process.send_signal(signal.SIGHUP)
    tree.bench.wait_for(lambda: tree.stands_by("shop", "leave this machine"), "the tagged folder to stand by")
    tree.drop("data/shop/private/secret.jpg", 1)
    tree.bench.wait_for(lambda: "secret.png" in tree.names("private-out"), "the untagged folder's cutout")
    assert len(tree.server.seen) == sent
    assert daemon.end() == 0


def output_by_link(tree: Tree) -> None:
    """Make the output a link that leads into the input."""
    (tree.root / "in/cut").mkdir(parents=True)
    (tree.root / "out").symlink_to("in/cut")


def output_by_mount(tree: Tree) -> None:
    """Mount the output inside the input."""
    tree.bind("out", "in/cut")


def input_by_mount(tree: Tree) -> None:
    """Make the output a mount of a part of the input."""
    tree.bind("in/cut", "out")


@pytest.mark.parametrize("arrange", [output_by_link, output_by_mount, input_by_mount])
def test_an_output_inside_its_input_is_no_circle(
    tree: Tree, run: Callable[[], Daemon], arrange: Callable[[Tree], None]
) -> None:
    """One picture gives one cutout, and the folder goes on."""
    arrange(tree)
    tree.drop("in/a.jpg")
    tree.folder("only", "in", "out")
    daemon = run()
    tree.bench.wait_for(lambda: tree.bench.states() == {"a.jpg": "done"}, "the cutout")
    tree.drop("in/b.jpg", 1)
    tree.bench.wait_for(lambda: tree.bench.states().get("b.jpg") == "done", "the next cutout")
    assert sorted(tree.jobs()) == [("a.jpg", "done"), ("b.jpg", "done")]
    assert daemon.end() == 0


def test_two_folders_in_a_circle_stand_by_with_the_reason(tree: Tree, run: Callable[[], Daemon]) -> None:
    """The output of each is the input of the other, by links."""
    for name in ("a", "b"):
        tree.drop(f"{name}/one.jpg")
    (tree.root / "to-a").symlink_to("a")
    (tree.root / "to-b").symlink_to("b")
    tree.folder("first", "a", "to-b")
    tree.folder("second", "b", "to-a")
    daemon = run()
    for name, other in (("first", "second"), ("second", "first")):
        why = f'is the input of "{other}"'
        tree.bench.wait_for(functools.partial(tree.stands_by, name, why), f"{name} to stand by")
    assert not tree.jobs()
    assert daemon.end() == 0


def test_originals_that_would_come_back_into_the_input_are_left_where_they_are(
    tree: Tree, run: Callable[[], Daemon]
) -> None:
    """The folder for originals is a link into the input: the folder stands by, and no original is moved."""
    tree.drop("in/a.jpg")
    (tree.root / "in/done").mkdir()
    (tree.root / "done").symlink_to("in/done")
    tree.folder("only", "in", "out", 'originals = "move"', f'originals_dir = "{tree.root}/done"')
    daemon = run()
    tree.bench.wait_for(
        lambda: tree.stands_by("only", "lies inside the folder's own input"), "it to stand by"
    )
    assert (tree.root / "in/a.jpg").is_file()
    assert not list((tree.root / "in/done").iterdir())
    assert daemon.end() == 0


def test_a_cutout_never_replaces_an_original_by_another_name_of_its_place(
    tree: Tree, run: Callable[[], Daemon]
) -> None:
    """Originals go, by a link, into the output of a folder that overwrites."""
    tree.drop("in/a.jpg")
    (tree.root / "out").mkdir()
    (tree.root / "done").symlink_to("out")
    lines = (
        'originals = "move"',
        f'originals_dir = "{tree.root}/done/originals"',
        'on_conflict = "overwrite"',
    )
    tree.folder("only", "in", "out", *lines)
    daemon = run()
    tree.bench.wait_for(
        lambda: tree.stands_by("only", "a cutout could replace an original"), "it to stand by"
    )
    assert (tree.root / "in/a.jpg").is_file()
    assert daemon.end() == 0


@pytest.mark.parametrize("order", [1, -1])
def test_one_input_under_two_names_is_worked_on_once(
    tree: Tree, run: Callable[[], Daemon], order: int
) -> None:
    """The first folder of the configuration has it; the other one names that folder, and not another machine."""
    tree.drop("in/a.jpg")
    (tree.root / "also-in").symlink_to("in")
    for name, source in [("first", "in"), ("second", "also-in")][::order]:
        tree.folder(name, source, f"out-{name}")
    has, has_not = ("first", "second")[::order]
    daemon = run()
    tree.bench.wait_for(lambda: tree.names(f"out-{has}") == ["a.png"], "the cutout")
    tree.bench.wait_for(lambda: tree.stands_by(has_not, f'is the input of "{has}"'), "the other to stand by")
    assert daemon.end() == 0
    log = (tree.root / "log").read_text(encoding="utf-8")
    assert "another machine" not in log
    assert "working on this folder since" not in log
    assert not tree.names(f"out-{has_not}")


def test_a_link_in_the_output_that_leads_into_an_input_gets_no_results(
    tree: Tree, run: Callable[[], Daemon]
) -> None:
    """The picture whose result would go there fails with the reason; all others are cut."""
    tree.drop("in/sub/a.jpg")
    tree.drop("in/b.jpg", 1)
    (tree.root / "out").mkdir()
    (tree.root / "out/sub").symlink_to(tree.root / "in/sub")
    tree.folder("only", "in", "out")
    daemon = run()
    tree.bench.wait_for(
        lambda: tree.bench.states() == {"b.jpg": "done", "sub/a.jpg": "failed"}, "both to be over"
    )
    assert [path.name for path in (tree.root / "in/sub").iterdir()] == ["a.jpg"]
    assert daemon.end() == 0


def test_a_mount_in_the_output_that_shows_the_input_closes_the_folder(
    tree: Tree, run: Callable[[], Daemon]
) -> None:
    """Results there would be taken for new pictures."""
    tree.drop("in/sub/a.jpg")
    tree.bind("in/sub", "out/sub")
    tree.folder("only", "in", "out")
    daemon = run()
    tree.bench.wait_for(
        lambda: tree.stands_by("only", "shows a part of the folder's own input"), "it to stand by"
    )
    assert not tree.jobs()
    assert daemon.end() == 0


def test_a_directory_with_another_folders_marker_is_not_entered(
    tree: Tree, run: Callable[[], Daemon]
) -> None:
    """Whoever owns that folder: its pictures stay untouched, and the surrounding folder says so."""
    tree.drop("in/a.jpg")
    tree.drop("in/theirs/b.jpg", 1)
    marker = {"schema": "cutoutd.folder/1", "uuid": "22222222-2222-4222-8222-222222222222"}
    (tree.root / "in/theirs/.cutoutd-folder").write_text(json.dumps(marker), encoding="ascii")
    tree.folder("only", "in", "out", route="hosted")
    daemon = run()
    tree.bench.wait_for(lambda: tree.names("out") == ["a.png"], "the folder's own cutout")
    note = tree.folder_states()["only"]["note"]
    assert "not entered: theirs (it holds another folder's .cutoutd-folder" in note
    assert len(tree.server.seen) == 1
    (tree.root / "in/theirs/.cutoutd-folder").unlink()
    tree.bench.wait_for(lambda: tree.names("out") == ["a.png", "b.png"], "what is free now")
    assert daemon.end() == 0


def test_cut_refuses_a_target_that_a_link_leads_into_a_hot_folder(tree: Tree) -> None:
    """Its cutouts would be cut again."""
    tree.drop("in/a.jpg")
    tree.folder("only", "in", "out")
    assert tree.call("run", "--once").returncode == 0
    (tree.root / "in/sub").mkdir()
    (tree.root / "target").symlink_to("in/sub")
    refused = tree.bench.call("cut", tree.root / "in/a.jpg", "-o", tree.root / "target")
    assert refused.returncode == 2
    assert "inside a hot folder" in refused.stderr
