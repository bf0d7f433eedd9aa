"""The doctor command's checks: each reports the fault of an unhealthy machine."""

from __future__ import annotations

import errno
import os
import sqlite3
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.doctor import confinement, folders, hooks, machine, state, trial, unit
from cutoutd.doctor.examination import Case, with_options
from cutoutd.doctor.finding import Finding, Level
from cutoutd.doctor.folders import FolderFacts
from cutoutd.doctor.machine import Inotify
from cutoutd.doctor.sandbox_attempts import DONE, MAY
from cutoutd.doctor.trial import Trial
from cutoutd.doctor.unit import Installed
from cutoutd.intake import filesystems
from cutoutd.journal.folders import FolderMemory
from cutoutd.protocols import WorkerFacts
from cutoutd.sandbox.survey import Gap, Layer
from cutoutd.service.machine import InitSystem
from cutoutd.service.unit import MARK, Scope
from cutoutd.settings import places
from cutoutd.settings.schema import CommonHooks, Folder, ModelSettings, Settings
from cutoutd.settings.types import ExecutionProvider, Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import FakeClock

FOLDER = Folder(name="f", input=Path("/in"), output=Path("/out"))
INPUT: dict[str, Any] = {
    "device": 1,
    "fstype": "ext4",
    "network": False,
    "watching": "native",
    "reason": "ext4 is a local file system",
    "writable": True,
    "marker": "m",
    "directories": 2,
    "files": 3,
    "decomposed": 0,
    "placeholders": 0,
    "unreadable": 0,
    "complete": True,
}
OUTPUT: dict[str, Any] = {
    "fstype": "ext4",
    "network": False,
    "device": 1,
    "free_mb": 50_000,
    "skew_s": 0.0,
    "rename": "kernel",
    "exchange": True,
}
MEMORY = FolderMemory(input="/in", marker="m", device=1, read_only=False)
KNOWN = FolderFacts(remembered=MEMORY, live={"watching": "native"}, min_free_mb=512, platform="linux")
LANDLOCK = Gap(layer=Layer.LANDLOCK, why="an old kernel")
SECCOMP = Gap(layer=Layer.SECCOMP, why="no filter")
FACTS = WorkerFacts(layers=("seccomp-tsync",), provider="cpu", onnxruntime="1.20")
GOOD = Trial(seconds=2.0, facts=FACTS, socket="refused", filtered=True)


def levels(findings: Iterable[Finding], check: str) -> list[Level]:
    """Return the levels of one check's findings."""
    return [one.level for one in findings if one.check == check]


def judged(known: FolderFacts = KNOWN, folder: Folder = FOLDER, **seen: Any) -> list[Finding]:  # noqa: ANN401 -- JSON
    """Return the findings for a healthy folder with these deviations."""
    return list(folders.judge(folder, {"input": INPUT, "output": OUTPUT, **seen}, known))


@pytest.mark.parametrize("key", ["output", "originals_dir", "sidecar_dir"])
def test_a_place_whose_disk_is_not_mounted_is_a_problem(key: str) -> None:
    """Also if the directory itself is missing; what to do is said."""
    folder = FOLDER.model_copy(update={key: Path("/place")})
    where = {"real": "/place", "mounts": {"/": "ext4"}}
    known = replace(KNOWN, mounts={"/place": {"/": "ext4", "/place": "xfs"}})
    for place in (OUTPUT | where, {"missing": True, "above": "/", "writable": True} | where):
        found = [one for one in judged(known, folder, **{key: place}) if one.check == "mount"]
        assert [one.level for one in found] == [Level.PROBLEM]
        assert f"{key} /place was on a disk or share that was mounted there" in found[0].seen
        assert "cutoutd adopt" in found[0].advice
    there = OUTPUT | where | {"mounts": known.mounts["/place"]}
    assert levels(judged(known, folder, **{key: there}), "mount") == []


def test_a_healthy_folder_has_no_problem() -> None:
    """The baseline of all other tests here."""
    assert {one.level for one in judged()} == {Level.OK}


@pytest.mark.parametrize(
    ("check", "level", "seen"),
    [
        ("reach", Level.PROBLEM, {"input": {"errno": errno.ENOENT, "why": "No such file"}}),
        ("reach", Level.PROBLEM, {"stopped": "no answer within 12 s", "at": "output"}),
        ("watch", Level.NOTE, {"input": INPUT | {"watching": "poll", "fstype": "cifs", "reason": "a share"}}),
        ("marker", Level.PROBLEM, {"input": INPUT | {"marker": "another"}}),
        ("marker", Level.PROBLEM, {"input": INPUT | {"marker": None}}),
        ("marker", Level.NOTE, {"input": INPUT | {"writable": False}}),
        ("permissions", Level.NOTE, {"input": INPUT | {"unreadable": 2}}),
        (
            "permissions",
            Level.PROBLEM,
            {"output": OUTPUT | {"errno": errno.EACCES, "why": "Permission denied"}},
        ),
        ("permissions", Level.NOTE, {"output": {"missing": True, "above": "/", "writable": True}}),
        ("permissions", Level.PROBLEM, {"output": {"missing": True, "above": "/", "writable": False}}),
        ("rename", Level.NOTE, {"output": OUTPUT | {"rename": "checked"}}),
        ("replace", Level.NOTE, {"output": OUTPUT | {"exchange": False}}),
        ("clock", Level.NOTE, {"output": OUTPUT | {"skew_s": -90.0}}),
        ("disk", Level.PROBLEM, {"output": OUTPUT | {"free_mb": 511}}),
        ("disk", Level.NOTE, {"output": OUTPUT | {"free_mb": 600}}),
    ],
)
def test_faults_of_a_folder_are_reported(check: str, level: Level, seen: dict[str, Any]) -> None:
    """With advice, where it is a problem."""
    found = [one for one in judged(**seen) if one.check == check and one.level is level]
    assert found
    assert all(one.subject == "f" and (one.advice or level is Level.NOTE) for one in found)


def test_events_that_are_insisted_on_where_none_come_are_a_problem() -> None:
    """Such as a share that is configured for native events."""
    share = INPUT | {"watching": "poll", "fstype": "nfs4", "reason": "others write to it"}
    native = FOLDER.model_copy(update={"watch": Watch.NATIVE})
    assert levels(judged(folder=native, input=share), "watch") == [Level.PROBLEM]


def test_a_folder_with_the_marker_of_another_one_is_named() -> None:
    """One is a copy of the other."""
    found = [one for one in judged(replace(KNOWN, same_marker=("shoes",))) if one.check == "marker"]
    assert [one.level for one in found] == [Level.NOTE, Level.OK]
    assert "shoes" in found[0].seen


def test_a_daemon_that_does_not_work_on_a_folder_is_a_problem() -> None:
    """The finding has the daemon's reason."""
    closed = replace(KNOWN, live={"watching": "standing by", "why": "the share is away"})
    (found,) = [one for one in judged(closed) if one.check == "work"]
    assert (found.level, "the share is away" in found.seen) == (Level.PROBLEM, True)


def test_originals_that_cannot_be_moved_are_a_problem_and_a_copy_is_noted() -> None:
    """The input is read-only; the destination is on another disk."""
    folder = Folder.model_validate(
        {"name": "f", "input": "/in", "output": "/out", "originals": "move", "originals_dir": "/old"}
    )
    found = judged(folder=folder, input=INPUT | {"writable": False}, originals_dir=OUTPUT | {"device": 2})
    assert Level.PROBLEM in levels(found, "permissions")
    assert levels(found, "originals") == [Level.NOTE]


@pytest.mark.parametrize("place", ["Desktop/in", "Documents", "Library/Mobile Documents/x"])
def test_a_mac_that_keeps_programs_out_is_distinguished_from_wrong_permissions(place: str) -> None:
    """Only on a Mac, and only in the places that macOS protects."""
    path = Path.home() / place
    assert "Full Disk Access" in machine.consent(path, errno.EPERM, "darwin")
    assert (
        machine.consent(path, errno.EPERM, "linux")
        == machine.consent(Path("/srv"), errno.EPERM, "darwin")
        == ""
    )
    folder = Folder(name="f", input=path, output=Path("/out"))
    refused = {"errno": errno.EPERM, "why": "Operation not permitted"}
    known = replace(KNOWN, platform="darwin")
    (found,) = [one for one in judged(known, folder, input=refused) if one.check == "reach"]
    assert "Full Disk Access" in found.advice


def test_on_a_mac_names_in_two_forms_and_files_in_the_cloud_are_noted() -> None:
    """And a volume that a service may have no access to."""
    folder = Folder(name="f", input=Path("/Volumes/card"), output=Path("/out"))
    odd = INPUT | {"decomposed": 3, "placeholders": 2}
    found = judged(replace(KNOWN, platform="darwin"), folder, input=odd)
    assert {one.check for one in found if one.level is Level.NOTE} >= {"privacy", "names", "icloud"}
    assert not {"privacy", "names", "icloud"} & {one.check for one in judged(input=odd)}


def outcomes(**other: str) -> dict[str, Any]:
    """Return what a fully sandboxed process prints."""
    refused = dict.fromkeys(("open a socket (AF_INET)", "start a program"), "EPERM")
    return {"layers": ["seccomp-tsync"]} | dict.fromkeys(MAY, DONE) | refused | other


def test_a_sandboxed_worker_has_no_problem() -> None:
    """The worker can do its work, and nothing else."""
    assert confinement.judge(outcomes(), ()).level is Level.OK


@pytest.mark.parametrize(
    ("expected", "gaps", "level"),
    [
        (outcomes(**{"open a socket (AF_INET)": DONE}), (), Level.PROBLEM),
        (outcomes(**{"open a socket (AF_INET)": DONE}), (SECCOMP,), Level.NOTE),
        (outcomes(**{"write a result": "EACCES"}), (), Level.PROBLEM),
        ({key: value for key, value in outcomes().items() if key != "start a program"}, (), Level.PROBLEM),
        ({"refused": "the kernel said no"}, (), Level.PROBLEM),
        ({}, (), Level.PROBLEM),
    ],
)
def test_a_worker_without_a_sandbox_is_reported(
    expected: dict[str, Any], gaps: tuple[Gap, ...], level: Level
) -> None:
    """As a problem, unless this system has no such sandbox layer."""
    assert confinement.judge(expected, gaps).level is level


def test_a_layer_that_is_missing_is_a_problem_only_if_it_is_required() -> None:
    """Otherwise the other layers suffice."""
    assert levels(confinement.layers((), required=True), "sandbox") == [Level.OK]
    assert levels(confinement.layers((LANDLOCK,), required=False), "sandbox") == [Level.NOTE]
    assert levels(confinement.layers((LANDLOCK,), required=True), "sandbox") == [Level.PROBLEM]


def proc(root: Path, *pids: int, seccomp: str = "2") -> Path:
    """Write what a kernel shows of a daemon and its workers, of which the first is the daemon.

    Return the directory.
    """
    for pid in pids:
        task = root / str(pid) / "task" / str(pid)
        task.mkdir(parents=True)
        (root / str(pid) / "status").write_text(f"Name:\tpython\nNoNewPrivs:\t1\nSeccomp:\t{seccomp}\n")
        (task / "children").write_text(" ".join(map(str, pids[1:])) if pid == pids[0] else "")
    return root


def test_the_kernel_is_asked_about_the_running_daemon(tmp_path: Path) -> None:
    """A process without a filter is a problem, unless this system has none; one that is gone says nothing."""
    check = "sandbox-running"
    assert levels(confinement.running(7, (), proc(tmp_path / "a", 7, 8, 9)), check) == [Level.OK]
    loose = proc(tmp_path / "b", 7, 8, seccomp="0")
    assert levels(confinement.running(7, (), loose), check) == [Level.PROBLEM]
    assert levels(confinement.running(7, (SECCOMP,), loose), check) == [Level.NOTE]
    assert levels(confinement.running(99, (), loose), check) == [Level.NOTE]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python -P -m cutoutd.cli.companions 7 page python -m cutoutd", [Level.OK, Level.OK]),
        ("python -P -m cutoutd.cli.companions 6 page python -m cutoutd", [Level.PROBLEM]),  # another daemon's
        ("python -P -m cutoutd.cli.companions 7", [Level.PROBLEM]),
        ("python -P -m cutoutd.pool.worker 7 cutoutd.cli.companions", [Level.PROBLEM]),
        ("", [Level.PROBLEM]),
    ],
)
def test_the_pages_keeper_needs_no_filter_and_every_other_process_does(
    tmp_path: Path, command: str, expected: list[Level]
) -> None:
    """It is known by how the daemon starts it; a worker beside it that has no filter is still a problem."""
    there = proc(tmp_path, 7, 8, 9)
    (there / "9/status").write_text("Name:\tpython\nNoNewPrivs:\t0\nSeccomp:\t0\n")
    (there / "9/cmdline").write_bytes(command.replace(" ", "\0").encode())
    found = list(confinement.running(7, (), there))
    assert levels(found, "sandbox-running") == expected
    (there / "8/status").write_text("Name:\tpython\nNoNewPrivs:\t0\nSeccomp:\t0\n")
    assert Level.PROBLEM in levels(confinement.running(7, (), there), "sandbox-running")


@pytest.mark.parametrize(
    ("tried", "offline", "provider"),
    [
        (GOOD, Level.OK, Level.OK),
        (replace(GOOD, socket="given"), Level.PROBLEM, Level.OK),
        (replace(GOOD, filtered=False), Level.PROBLEM, Level.OK),
        (replace(GOOD, socket="", filtered=None), Level.NOTE, Level.OK),
        (replace(GOOD, why="it is cut short"), Level.PROBLEM, Level.OK),
        (Trial(why="the provider cuda is not there"), Level.PROBLEM, Level.PROBLEM),
    ],
)
def test_a_cut_counts_as_offline_only_if_the_kernel_refused_the_network(
    tried: Trial, offline: Level, provider: Level
) -> None:
    """And a provider that was asked for must be the one in use."""
    found = list(trial.judge(tried, Settings(model=ModelSettings(provider=ExecutionProvider.CUDA))))
    assert (levels(found, "offline-cut"), levels(found, "provider")) == ([offline], [provider])


def test_a_provider_is_named_as_it_is() -> None:
    """Not as it was asked for."""
    assert any("on cpu" in one.seen for one in trial.judge(GOOD, Settings()))


def test_an_old_python_is_a_problem() -> None:
    """Though it could hardly come so far."""
    assert machine.python((3, 10, 0)).level is Level.PROBLEM
    assert machine.python().level is Level.OK


def test_packages_that_are_missing_old_or_doubled_are_reported() -> None:
    """Extras are not asked for; conditions are cut off."""
    installed = {"numpy": "2.1.0", "pillow": "11.3", "opencv-python-headless": "4.10.0.84"}

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    wanted = ["numpy>=2.0", "pillow>=12.0", "isal<2,>=1.7", 'httpx>=0.27; extra == "hosted"', "numpy"]
    (found,) = machine.packages(wanted, version)
    assert found.level is Level.PROBLEM
    assert "pillow is 11.3, and 12.0 is needed" in found.seen
    assert "isal is missing" in found.seen
    assert "httpx" not in found.seen
    installed |= {"pillow": "12.0", "isal": "1.7", "opencv-python": "4.10"}
    assert [one.level for one in machine.packages(wanted, version)] == [Level.OK, Level.NOTE]


def test_every_requirement_of_this_installation_is_understood() -> None:
    """One that is not would be told as missing."""
    assert [one.level for one in machine.packages(machine.requirements())] == [Level.OK]


def test_an_sqlite_that_lacks_what_the_journal_takes_is_a_problem() -> None:
    """JSON, or locks between threads."""

    def poor(_name: str) -> sqlite3.Connection:
        raise sqlite3.OperationalError("no such function: json_valid")

    assert machine.sqlite(poor).level is Level.PROBLEM
    assert machine.sqlite(threadsafety=1).level is Level.PROBLEM
    assert machine.sqlite(threadsafety=3).level is Level.OK


@pytest.mark.parametrize(
    ("now_us", "newest_us", "synchronised", "level"),
    [
        (1_800_000_000_000_000, None, True, Level.OK),
        (1_800_000_000_000_000, 1_799_999_999_000_000, None, Level.OK),
        (1_800_000_000_000_000, None, False, Level.NOTE),
        (1_800_000_000_000_000, 1_800_200_000_000_000, True, Level.PROBLEM),
        (0, None, None, Level.PROBLEM),
        (5_000_000_000_000_000, None, True, Level.PROBLEM),
    ],
)
def test_a_clock_that_cannot_be_right_is_a_problem(
    now_us: int,
    newest_us: int | None,
    synchronised: bool | None,  # noqa: FBT001 -- a table's column
    level: Level,
) -> None:
    """By itself, or by what the journal has seen already."""
    assert machine.clock(now_us, newest_us, synchronised=synchronised).level is level


@pytest.mark.parametrize(
    ("limits", "used", "need", "expected"),
    [
        (Inotify(watches=8192, instances=128), (10, 1), (5, 1), [Level.OK, Level.OK]),
        (Inotify(watches=100, instances=128), (90, 1), (50, 1), [Level.PROBLEM, Level.OK]),
        (Inotify(watches=100, instances=10), (70, 8), (15, 1), [Level.NOTE, Level.NOTE]),
        (Inotify(watches=8192, instances=1), (0, 1), (5, 1), [Level.OK, Level.PROBLEM]),
        (None, (0, 0), (5, 1), []),
    ],
)
def test_limits_of_inotify_that_are_too_low_are_reported(
    limits: Inotify | None, used: tuple[int, int], need: tuple[int, int], expected: list[Level]
) -> None:
    """Before they are met, and with what others take."""
    one, other = (Inotify(watches=pair[0], instances=pair[1]) for pair in (used, need))
    assert [found.level for found in machine.inotify(limits, one, other)] == expected


def test_the_lower_of_the_kernels_two_limits_counts(tmp_path: Path) -> None:
    """A user namespace may have less than the machine."""
    for name, text in (
        ("sys/fs/inotify/max_user_watches", "8192"),
        ("sys/fs/inotify/max_user_instances", "128"),
        ("sys/user/max_inotify_watches", "3"),
        ("sys/user/max_inotify_instances", "500"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.inotify_limits(tmp_path) == Inotify(watches=3, instances=128)
    assert machine.inotify_limits(tmp_path / "nowhere") is None


def test_telemetry_that_is_not_switched_off_is_a_problem() -> None:
    """By what workers are started with."""
    assert machine.telemetry({}, works=True).level is Level.PROBLEM
    assert machine.telemetry({"ORT_DISABLE_TELEMETRY": "1"}, works=True).level is Level.OK


def test_more_workers_than_fit_are_a_problem() -> None:
    """Each takes its memory for the model alone."""
    assert machine.memory(8, 2000, 3072).level is Level.PROBLEM
    assert machine.memory(2, 8000, 3072).level is Level.OK


def installed(**other: Any) -> Installed:  # noqa: ANN401 -- its fields
    """A service that is as it should be."""
    given: dict[str, Any] = {"text": MARK, "active": True, "wanted": MARK, "scope": Scope.USER}
    return Installed(file=Path("/unit"), **(given | other))


@pytest.mark.parametrize(
    ("services", "kind", "expected"),
    [
        ([installed()], InitSystem.SYSTEMD, [Level.OK]),
        ([installed(active=False)], InitSystem.SYSTEMD, [Level.PROBLEM]),
        ([installed(active=None)], InitSystem.LAUNCHD, [Level.NOTE]),
        ([installed(wanted=f"{MARK} other")], InitSystem.SYSTEMD, [Level.NOTE]),
        ([installed(text="mine")], InitSystem.SYSTEMD, [Level.NOTE]),
        ([], InitSystem.SYSTEMD, [Level.NOTE]),
        ([], InitSystem.OTHER, [Level.NOTE]),
        ([installed(), installed(scope=Scope.SYSTEM)], InitSystem.SYSTEMD, [Level.OK, Level.OK, Level.NOTE]),
    ],
)
def test_a_service_that_does_not_run_or_is_outdated_is_reported(
    services: list[Installed], kind: InitSystem, expected: list[Level]
) -> None:
    """One that another program made is left alone."""
    assert [one.level for one in unit.judge(services, kind, running=False, lingers=True)] == expected


def test_a_service_that_ends_with_the_login_is_reported() -> None:
    """A studio's machine is restarted by somebody who does not log in."""
    found = list(unit.judge([installed()], InitSystem.SYSTEMD, running=True, lingers=False))
    assert [one.level for one in found] == [Level.OK, Level.NOTE]
    assert "enable-linger" in found[1].advice


def test_a_hook_whose_program_is_not_there_is_a_problem() -> None:
    """For all folders, and for one."""
    settings = Settings(
        hooks=CommonHooks(on_done=("sh",), on_attention=("no-such-program-anywhere", "x")), folder=(FOLDER,)
    )
    assert [one.level for one in hooks.judge(settings)] == [Level.OK, Level.PROBLEM]


@pytest.mark.parametrize(
    ("what", "check", "level"),
    [
        ("nothing", "state", Level.NOTE),
        ("open to all", "state", Level.NOTE),
        ("damaged", "journal", Level.PROBLEM),
        ("a file", "state", Level.PROBLEM),
        ("no room", "disk", Level.PROBLEM),
        ("another user's", "state", Level.PROBLEM),
        ("on a share", "state", Level.PROBLEM),
        ("on who knows what", "state", Level.NOTE),
    ],
)
def test_faults_of_a_state_directory_are_reported(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, what: str, check: str, level: Level
) -> None:
    """And nothing is repaired by looking."""
    directory = tmp_path / "state"
    if what == "another user's":
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    if what == "on who knows what":
        monkeypatch.setattr(filesystems, "watch_mode", lambda _: filesystems.mode_of(None))
    if what == "on a share":
        share = filesystems.Mode(reason="a share", fstype="nfs4", network=True)
        monkeypatch.setattr(filesystems, "watch_mode", lambda _: share)
    if what == "a file":
        directory.write_text("")
    elif what != "nothing":
        directory.mkdir(mode=0o755 if what == "open to all" else 0o700)
    if what == "damaged":
        (directory / "journal.sqlite").write_bytes(b"this is no journal" * 100)
    free = 1 << 40 if what == "no room" else 0
    found = state.collect(directory, ["f"], min_free_mb=free, clock=clock).findings
    assert level in levels(found, check)
    if what == "damaged":
        assert (directory / "journal.sqlite").read_bytes().startswith(b"this is no journal")


def test_an_advice_names_the_folders_that_were_examined(clock: FakeClock) -> None:
    """Without them, `service install` would look for a configuration that nobody has written."""
    case = Case(
        settings=Settings(),
        complaint="",
        advice="",
        arguments=("--input", "/my pictures", "--output", "/cutouts"),
        config=None,
        environ={},
        clock=clock,
    )
    advice = "`cutoutd run` starts one here; `cutoutd service install` starts one after every login; see `cutoutd jobs`."
    assert with_options(advice, case) == (
        "`cutoutd run --input '/my pictures' --output /cutouts` starts one here; "
        "`cutoutd service install --input '/my pictures' --output /cutouts` starts one after every login; "
        "see `cutoutd jobs`."
    )
    usual = places.configuration_files()[0]
    assert with_options(advice, replace(case, arguments=("--config", str(usual)), config=usual)) == advice
    assert with_options(advice, replace(case, complaint="it is wrong")) == advice
