"""The service managers' files: complete, quoted, bound to parents, and equal to those in the tree."""

from __future__ import annotations

import plistlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cutoutd.cli import service
from cutoutd.errors import UsageError
from cutoutd.service import launchd, systemd
from cutoutd.service.machine import Account
from cutoutd.service.planning import is_pinned, mount_points, writable
from cutoutd.service.systemd import SystemdManager
from cutoutd.service.unit import MARK, Scope, Unit
from tests.unit.unit_examples import (
    AGENT,
    AGENT_PAGED,
    DAEMON,
    HOSTED,
    PAGED,
    SERVED,
    SYSTEM,
    TREE,
    UPLOADING,
    USER,
    examples,
)

PROMISES = (
    "PrivateNetwork=yes",
    "RestrictAddressFamilies=AF_UNIX",
    "IPAddressDeny=any",
    "ProtectSystem=strict",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "MemoryDenyWriteExecute=yes",
    "RestrictNamespaces=yes",
    "PrivateDevices=yes",
    "PrivateUsers=yes",
    "OOMPolicy=continue",
    "KillMode=mixed",
)
NEW, OLD = SystemdManager(version=257), SystemdManager(version=252)


@pytest.mark.parametrize("name", list(examples()))
def test_the_files_in_the_tree_are_up_to_date(name: str) -> None:
    """``python -m tests.unit.unit_examples`` generates them."""
    assert (TREE / name).read_text(encoding="utf-8") == examples()[name]


@pytest.mark.parametrize("unit", [SYSTEM, USER])
@pytest.mark.parametrize("promise", PROMISES)
def test_the_directives_that_carry_the_promise_are_there(unit: Unit, promise: str) -> None:
    """Each exactly once."""
    assert systemd.render(unit, NEW).splitlines().count(promise) == 1


def test_workers_can_activate_their_sandbox() -> None:
    """The set of usual calls of systemd 252 lacks Landlock, and capset goes with the privileged ones."""
    lines = systemd.render(SYSTEM, OLD).splitlines()
    filters = [
        line.removeprefix("SystemCallFilter=") for line in lines if line.startswith("SystemCallFilter=")
    ]
    allowed = {call for line in filters[filters.index("~@privileged @resources") :] for call in line.split()}
    assert {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"} <= allowed
    assert {"capset", "setpriority", "sched_setaffinity"} <= allowed


def test_folders_are_bound_by_the_parent_of_a_mount() -> None:
    """A running unit sees a share that is mounted again."""
    assert "ReadWritePaths=-/mnt" in systemd.render(SYSTEM, NEW).splitlines()
    assert "ReadWritePaths=-/srv/photos" in systemd.render(SYSTEM, NEW).splitlines()


@pytest.mark.parametrize(
    ("places", "mounts", "granted"),
    [
        (["/mnt/share/in"], [], ["/mnt"]),  # not mounted just now
        (["/media/ann/CARD/DCIM"], [], ["/media"]),
        (["/run/media/ann/CARD/in"], [], ["/run/media"]),
        (["/home/ann/in", "/home/ann/out"], ["/", "/home"], ["/home/ann"]),
        (["/home/ann/nas/in"], ["/", "/home", "/home/ann/nas"], ["/home/ann"]),
        (["/home/ann/nas"], ["/", "/home/ann/nas"], ["/home/ann"]),
        (["/srv/a/b/in"], ["/srv/a", "/srv/a/b"], ["/srv"]),
        (["/home/ann/a/in", "/home/ann/out"], [], ["/home/ann"]),
        (["/photos"], [], ["/photos"]),
        (["/photos/in"], ["/photos"], ["/photos"]),
        (["/a b/c/in"], ["/a b/c"], ["/a b"]),
    ],
)
def test_the_parent_is_found(places: list[str], mounts: list[str], granted: list[str]) -> None:
    """Of the topmost mount if possible, else of the folder, and never the root directory."""
    assert writable(map(Path, places), map(Path, mounts)) == tuple(map(Path, granted))


def test_folders_without_a_bindable_parent_are_reported() -> None:
    """After an unmount the unit cannot see it again."""
    granted = writable([Path("/photos"), Path("/srv/in")], [])
    assert is_pinned(Path("/photos"), granted)
    assert not is_pinned(Path("/srv/in"), granted)


def test_mounts_are_read_as_the_kernel_and_fstab_write_them(tmp_path: Path) -> None:
    """Blanks are escaped; comments and swap are skipped."""
    (tmp_path / "mountinfo").write_text(
        "1 0 8:1 / / rw - ext4 a rw\n2 1 0:4 / /mnt/my\\040share rw - cifs b rw\n"
    )
    (tmp_path / "fstab").write_text("# x /no\n\n//nas/p /srv/nas cifs noauto 0 0\nUUID=1 none swap sw 0 0\n")
    assert mount_points(tmp_path / "mountinfo", tmp_path / "fstab") == tuple(
        map(Path, ("/", "/mnt/my share", "/srv/nas"))
    )
    assert mount_points(tmp_path / "none", tmp_path / "none") == ()


def test_special_characters_in_paths_are_literal() -> None:
    """Blanks, quotes, specifiers and variables in a path are literal."""
    unit = replace(USER, command=("/py", "--input", '/a b/100%/$HOME/"x"\\y;'), write=(Path("/a b/100%"),))
    text = systemd.render(unit, NEW)
    assert 'ExecStart=/py --input "/a b/100%%/$$HOME/\\"x\\"\\\\y;"\n' in text
    assert 'ReadWritePaths="-/a b/100%%"\n' in text


@pytest.mark.parametrize("path", ["/a\nUser=root", "/a\udcff", "/a\tb"])
def test_a_path_that_a_unit_cannot_contain_is_refused(path: str) -> None:
    """Characters that no quoting makes safe."""
    with pytest.raises(UsageError):
        systemd.render(replace(USER, command=("/py", path)), NEW)
    with pytest.raises(UsageError):
        launchd.render(replace(AGENT, command=("/py", path)))


def test_an_old_systemd_gets_no_unknown_directives() -> None:
    """Unknown directives give a warning at each start."""
    assert "RestartSteps" in systemd.render(SYSTEM, NEW)
    assert "RestartSteps" not in systemd.render(SYSTEM, OLD)


def test_where_users_may_make_no_namespaces_the_unit_still_starts() -> None:
    """Address families and system calls still block the network."""
    bare = systemd.render(USER, SystemdManager(version=257, namespaces=False)).splitlines()
    names = {line.partition("=")[0] for line in bare}
    assert not names & {"PrivateNetwork", "ProtectSystem", "PrivateUsers", "ReadWritePaths", "PrivateTmp"}
    assert {"RestrictAddressFamilies", "SystemCallFilter", "NoNewPrivileges", "WatchdogSec"} <= names


def test_a_folder_that_gives_its_files_to_a_group_gets_no_namespace_of_users() -> None:
    """The group would be unknown in the namespace."""
    assert "PrivateUsers" not in systemd.render(replace(SYSTEM, chowns=True), NEW)
    assert "PrivateNetwork=yes" in systemd.render(replace(SYSTEM, chowns=True), NEW)
    assert "PrivateNetwork" not in systemd.render(replace(USER, chowns=True), NEW)


def test_homes_and_temporary_directories_stay_visible_where_they_are_needed() -> None:
    """And only there."""
    assert "ProtectHome=yes" in systemd.render(SYSTEM, NEW)
    assert "ProtectHome=read-only" in systemd.render(USER, NEW)
    # Where a home is a mount point, what is above it is granted, and systemd would keep the very same path read-only.
    above = systemd.render(replace(SYSTEM, write=(Path("/home"),)), NEW)
    assert "ProtectHome=no\nReadOnlyPaths=-/root\nReadOnlyPaths=-/run/user\n" in above
    assert "ReadWritePaths=-/home\n" in above
    assert "PrivateTmp=yes" in systemd.render(SYSTEM, NEW)
    assert "PrivateTmp" not in systemd.render(replace(SYSTEM, read=(Path("/tmp/venv"),)), NEW)  # noqa: S108 -- a name


DOCUMENTED = {
    "Label": str,
    "ProgramArguments": list,
    "UserName": str,
    "EnvironmentVariables": dict,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "MaterializeDatalessFiles": bool,
    "ThrottleInterval": int,
    "ProcessType": str,
    "ExitTimeOut": int,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "SoftResourceLimits": dict,
}
"""The keys of launchd.plist(5) that are used, and the type of each."""


@pytest.mark.parametrize("unit", [AGENT, DAEMON, replace(AGENT, environment={"XDG_STATE_HOME": "/a & b"})])
def test_a_property_list_has_documented_keys_of_the_right_kind(unit: Unit) -> None:
    """Launchd ignores unknown keys silently."""
    properties = plistlib.loads(launchd.render(unit).encode())
    assert {key: DOCUMENTED[key] for key in properties} == {
        key: type(value) for key, value in properties.items()
    }
    assert properties["ProgramArguments"] == list(unit.command)
    assert properties["KeepAlive"] == {"SuccessfulExit": False}
    assert properties["ProcessType"] in ("Background", "Standard", "Adaptive", "Interactive")
    assert properties["MaterializeDatalessFiles"] is False  # nothing is pulled in silently
    assert properties["ExitTimeOut"] > 25  # as long as a drain may take
    assert set(properties["SoftResourceLimits"]) <= {"NumberOfFiles", "Core"}
    assert properties.get("UserName") == (unit.owner if unit.scope is Scope.SYSTEM else None)
    assert properties.get("EnvironmentVariables", {}) == unit.environment
    assert MARK in launchd.render(unit)


@pytest.mark.parametrize("unit", [AGENT_PAGED, replace(AGENT_PAGED, scope=Scope.SYSTEM, owner="shop")])
def test_the_page_has_a_property_list_of_its_own(unit: Unit) -> None:
    """With another label and log than the daemon's, and the same user."""
    properties, daemon = (
        plistlib.loads(text.encode()) for text in (launchd.render_page(unit), launchd.render(unit))
    )
    assert unit.page is not None
    assert {key: DOCUMENTED[key] for key in properties} == {
        key: type(value) for key, value in properties.items()
    }
    assert properties["ProgramArguments"] == list(unit.page.command)
    assert properties["Label"] == "cutoutd-page" != daemon["Label"]
    assert properties["StandardOutPath"] != daemon["StandardOutPath"]
    assert properties["KeepAlive"] == {"SuccessfulExit": False}
    assert properties["MaterializeDatalessFiles"] is False
    assert properties.get("UserName") == daemon.get("UserName")
    assert MARK in launchd.render_page(unit)


def test_under_launchd_the_page_is_installed_and_removed_with_the_daemon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without launchctl the commands are printed; without a page, its list is removed."""
    for name, value in (("HOME", tmp_path), ("XDG_CONFIG_HOME", tmp_path), ("PATH", tmp_path)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("os.geteuid", lambda: 501)
    monkeypatch.setattr(
        "cutoutd.service.machine.account_of", lambda uid: Account(name="ann", uid=uid, home=tmp_path)
    )
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    agents = tmp_path / "Library" / "LaunchAgents"
    both = [agents / "cutoutd-page.plist", agents / "cutoutd.plist"]
    service.install(input_dir=tmp_path / "in", output_dir=tmp_path / "out")
    daemon, page = (plistlib.loads(one.read_bytes())["ProgramArguments"] for one in reversed(both))
    assert daemon[-1] == "--page-apart"
    assert page[4:6] == ["page", "--serve-only"]
    assert "bootstrap gui/" in capsys.readouterr().out
    monkeypatch.setenv("CUTOUTD_PAGE__ENABLED", "false")
    service.install(input_dir=tmp_path / "in", output_dir=tmp_path / "out")
    assert [one.exists() for one in both] == [False, True]
    monkeypatch.delenv("CUTOUTD_PAGE__ENABLED")
    service.install(input_dir=tmp_path / "in", output_dir=tmp_path / "out")
    service.uninstall()
    assert [one.exists() for one in both] == [False, False]


def test_on_other_systems_the_command_to_use_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the complete command."""
    monkeypatch.setattr(sys, "platform", "freebsd14")
    with pytest.raises(UsageError, match="neither systemd nor launchd") as refused:
        service.show(input_dir=tmp_path / "in", output_dir=tmp_path / "out")
    assert refused.value.advice.endswith(f"-m cutoutd run --input {tmp_path}/in --output {tmp_path}/out")


@pytest.mark.parametrize("name", ["@WANTED_BY@", "@USER_FLAG@", "@STATE@ @OWNER@"])
def test_a_folder_named_like_a_placeholder_of_the_template_is_only_a_name(name: str) -> None:
    """Otherwise the placeholder would be replaced in the command line as well."""
    unit = replace(USER, command=("/py", "--input", f"/home/ann/{name}"), write=(Path(f"/home/ann/{name}"),))
    text = systemd.render(unit, NEW)
    assert f"/home/ann/{name}" in next(line for line in text.splitlines() if line.startswith("ExecStart="))
    assert any(line.startswith("ReadWritePaths=") and name in line for line in text.splitlines())


def test_a_page_for_other_machines_is_not_bound_to_this_one() -> None:
    """By default the page is bound to this machine."""
    assert "IPAddressAllow=localhost\n" in systemd.render_page(PAGED, NEW)
    assert PAGED.page is not None
    opened = replace(PAGED, page=replace(PAGED.page, is_loopback=False))
    assert "IPAddress" not in systemd.render_page(opened, NEW)
    assert "IPAddressAllow=localhost\n" in systemd.render_serve(SERVED, NEW)
    assert SERVED.serve is not None
    reached = replace(SERVED, serve=replace(SERVED.serve, is_loopback=False))
    assert "IPAddress" not in systemd.render_serve(reached, NEW)


def test_bounds_of_memory_and_tasks_are_in_every_unit() -> None:
    """A faulty hook or decoder must not exhaust the machine."""
    texts = [
        systemd.render(SYSTEM, NEW),
        systemd.render(USER, NEW),
        systemd.render_uploader(HOSTED, UPLOADING, NEW),
    ]
    texts += [systemd.render_page(PAGED, NEW), systemd.render_serve(SERVED, NEW)]
    texts.append((TREE / "systemd/cutoutd-once.service").read_text(encoding="utf-8"))
    for text in texts:
        assert "\nMemoryMax=" in text
        assert "\nTasksMax=" in text


def test_a_system_s_unit_sets_the_umask_and_a_user_s_keeps_the_user_s() -> None:
    """A group's umask of 002 must not become 022 in a user's service."""
    assert systemd.render(SYSTEM, NEW).splitlines().count("UMask=0022") == 1
    assert "UMask" not in systemd.render(USER, NEW)


def test_the_timers_unit_is_as_restricted_as_the_daemon_s() -> None:
    """The unit has all of the daemon's restrictions."""
    once = (TREE / "systemd/cutoutd-once.service").read_text(encoding="utf-8").splitlines()
    daemon = systemd.render(USER, NEW)
    closing = daemon[daemon.index("# --- no network") : daemon.index("[Install]")].splitlines()
    wanted = {line for line in closing if "=" in line and not line.startswith(("#", "ReadWritePaths"))}
    assert wanted - set(once) == set()
