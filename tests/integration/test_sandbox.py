"""The sandbox against real attempts to leave it; each attempt works where there is no sandbox.

Tests are skipped only for features that the kernel itself says it lacks, and never for running on a build server.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import CutoutdError
from cutoutd.sandbox import landlock, limits, seccomp
from cutoutd.sandbox.kernel import demand, threads
from tests.integration.confined import (
    Report,
    attempts,
    has_seccomp,
    landlock_version,
    needs_landlock,
    needs_seccomp,
)
from tests.integration.sandbox_attempts import EARLY
from tests.integration.sandbox_expected import (
    REACHES_THE_KERNEL,
    REFUSED_BY_CAPABILITIES,
    REFUSED_BY_LANDLOCK,
    REFUSED_BY_SECCOMP,
    STILL_WORKS,
    WORKS_BY_NAME,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.new_interpreters,
    pytest.mark.skipif(sys.platform != "linux", reason="these layers are Linux's"),
]


@pytest.fixture(scope="module")
def report_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Report]:
    """A function that makes all attempts under a confinement, and returns the report."""

    @cache
    def attempt(how: str) -> Report:
        return attempts(how, tmp_path_factory.mktemp("sandbox"))

    return attempt


def the_host_lets(attempt: str, report_of: Callable[[str], Report]) -> bool:
    """Return whether the attempt works here without a sandbox; otherwise its refusal would prove nothing."""
    found: str = report_of("bare")["outcomes"][attempt]
    return found == REACHES_THE_KERNEL.get(attempt, "done")


@needs_seccomp
@pytest.mark.parametrize("attempt", REFUSED_BY_SECCOMP)
def test_a_worker_s_filter_refuses(attempt: str, report_of: Callable[[str], Report]) -> None:
    """By itself, on a kernel without Landlock: EPERM."""
    if not the_host_lets(attempt, report_of):
        pytest.skip(f"refused here without a sandbox too: {report_of('bare')['outcomes'][attempt]}")
    assert report_of("seccomp")["outcomes"][attempt] == "EPERM"
    assert report_of("worker")["outcomes"][attempt] in {"EPERM", "EACCES"}


@needs_landlock
@pytest.mark.parametrize("attempt", REFUSED_BY_LANDLOCK)
def test_landlock_refuses(attempt: str, report_of: Callable[[str], Report]) -> None:
    """By itself, without the filter: EACCES, or EXDEV for a second name that would allow more."""
    if not the_host_lets(attempt, report_of):
        pytest.skip(f"refused here without a sandbox too: {report_of('bare')['outcomes'][attempt]}")
    assert report_of("landlock")["outcomes"][attempt] in {"EACCES", "EXDEV"}
    assert report_of("worker")["outcomes"][attempt] in {"EACCES", "EPERM"}


@pytest.mark.parametrize(
    ("attempt", "since", "refusal"),
    [
        ("truncate an original", 3, "EACCES"),
        ("truncate by reading", 3, "EACCES"),
        ("tcp bind", 4, "EACCES"),
        ("signal the parent", 6, "EPERM"),
        ("abstract socket of somebody else", 6, "EPERM"),
        ("signal the parent's thread", 6, "EPERM"),
    ],
)
def test_newer_landlock_refuses_more(
    attempt: str, since: int, refusal: str, report_of: Callable[[str], Report]
) -> None:
    """The rights of later versions are used if the kernel has them."""
    if landlock_version() < since:
        pytest.skip(f"this kernel's Landlock is {landlock_version()}, this takes {since}")
    assert the_host_lets(attempt, report_of)
    assert report_of("landlock")["outcomes"][attempt] == refusal


@needs_landlock
@needs_seccomp
@pytest.mark.parametrize("attempt", [*REFUSED_BY_SECCOMP, *REFUSED_BY_LANDLOCK])
def test_the_first_landlock_is_as_good_behind_the_filter(
    attempt: str, report_of: Callable[[str], Report]
) -> None:
    """The filter also refuses what later versions add: therefore any version counts as the layer."""
    if not the_host_lets(attempt, report_of):
        pytest.skip(f"refused here without a sandbox too: {report_of('bare')['outcomes'][attempt]}")
    assert "landlock-abi1" in report_of("worker over Landlock 1")["layers"]
    assert report_of("worker over Landlock 1")["outcomes"][attempt] in {"EACCES", "EPERM"}


@pytest.mark.parametrize("attempt", REFUSED_BY_CAPABILITIES)
def test_without_its_capabilities_root_is_refused(attempt: str, report_of: Callable[[str], Report]) -> None:
    """By this layer alone; another user than root is refused anyway."""
    if not the_host_lets(attempt, report_of):
        pytest.skip(f"refused here without a sandbox too: {report_of('bare')['outcomes'][attempt]}")
    assert report_of("capabilities")["outcomes"][attempt] in {"EPERM", "EACCES", "ValueError"}


@pytest.mark.parametrize(("attempt", "end"), [("more memory", "MemoryError"), ("many descriptors", "EMFILE")])
def test_limits_alone_are_kept(attempt: str, end: str, report_of: Callable[[str], Report]) -> None:
    """Without any other layer."""
    if not the_host_lets(attempt, report_of):
        pytest.skip(f"refused here without limits too: {report_of('bare')['outcomes'][attempt]}")
    assert report_of("limits")["outcomes"][attempt] == end


@pytest.mark.parametrize("how", ["bare", "worker", "landlock", "seccomp", "limits", "capabilities"])
@pytest.mark.parametrize("attempt", STILL_WORKS)
def test_a_worker_can_still_do_its_work(attempt: str, how: str, report_of: Callable[[str], Report]) -> None:
    """Otherwise users would switch the sandbox off."""
    assert report_of(how)["outcomes"][attempt] == "done"


@pytest.mark.parametrize("how", ["bare", "seccomp", "limits", "capabilities", "supervisor"])
@pytest.mark.parametrize("attempt", WORKS_BY_NAME)
def test_a_process_without_landlock_reaches_what_others_do(
    attempt: str, how: str, report_of: Callable[[str], Report]
) -> None:
    """Otherwise the refusals in the test below would prove nothing."""
    assert report_of(how)["outcomes"][attempt] == "done"


@needs_landlock
@pytest.mark.parametrize("attempt", WORKS_BY_NAME)
@pytest.mark.parametrize("how", ["worker", "worker over Landlock 1"])
def test_a_worker_reaches_no_file_by_its_name(
    attempt: str, how: str, report_of: Callable[[str], Report]
) -> None:
    """Neither a neighbour of its picture nor its staging directory, nor files that it was given opened."""
    assert report_of(how)["outcomes"][attempt] in {"EACCES", "ENOENT"}


@needs_landlock
@pytest.mark.skipif(landlock_version() < 2, reason="Landlock 1 refuses every move between directories")
def test_landlock_lets_files_move_within_what_may_be_written(report_of: Callable[[str], Report]) -> None:
    """Also from one sub-directory to another."""
    assert report_of("landlock")["outcomes"]["rename between directories of staging"] == "done"


def test_a_file_grows_no_larger_than_any_result(report_of: Callable[[str], Report]) -> None:
    """Without a limit, a sparse file would occupy its reader for ever."""
    bare, worker = report_of("bare")["outcomes"], report_of("worker")["outcomes"]
    attempt = "write more than any result has"
    assert (bare[attempt], worker[attempt]) == ("done", "EFBIG")


def test_a_file_opened_for_reading_cannot_be_written(report_of: Callable[[str], Report]) -> None:
    """The descriptor refuses writes, with and without a sandbox."""
    attempt = "write the original through what was given"
    assert {report_of(how)["outcomes"][attempt] for how in ("bare", "worker")} == {"EBADF"}


@needs_seccomp
def test_refused_calls_are_refused_whatever_their_arguments(report_of: Callable[[str], Report]) -> None:
    """With nonsense in every argument; without a filter the kernel gives another error."""
    bare, worker = report_of("bare")["outcomes"], report_of("worker")["outcomes"]
    calls = [name for name in bare if name.startswith("raw ") and bare[name] not in {"EPERM", "ENOSYS"}]
    assert len(calls) > 90
    unknown = {"raw clone3", "raw openat2"}
    assert {name: worker[name] for name in calls} == {
        name: "ENOSYS" if name in unknown else "EPERM" for name in calls
    }


@needs_seccomp
@pytest.mark.parametrize("how", ["worker", "supervisor"])
def test_the_32_bit_table_of_calls_is_no_way_out(how: str, report_of: Callable[[str], Report]) -> None:
    """On x86 a 64-bit process can make 32-bit calls with other numbers: all are refused."""
    if os.uname().machine != "x86_64" or report_of("compat bare").get("getpid") != "done":
        pytest.skip("this kernel takes no 32-bit calls")
    bare = report_of("compat bare")
    assert bare["socket"] == "done"
    assert {bare["execve"], bare["socketcall"]} == {"EFAULT", "EINVAL"}
    assert report_of(f"compat {how}") == dict.fromkeys(bare, "EPERM")


@needs_seccomp
def test_x32_calls_are_refused(report_of: Callable[[str], Report]) -> None:
    """The other call table of x86_64, which has the same architecture name."""
    if os.uname().machine != "x86_64":
        pytest.skip("only x86_64 has them")
    assert report_of("worker")["outcomes"]["raw socket of x32"] == "EPERM"


@needs_seccomp
@pytest.mark.parametrize("attempt", EARLY)
def test_a_thread_from_before_the_filter_is_under_it_too(
    attempt: str, report_of: Callable[[str], Report]
) -> None:
    """Libraries start threads when they are imported; a filter for one thread would miss them."""
    if not the_host_lets(attempt, report_of):
        pytest.skip(f"refused here without a sandbox too: {report_of('bare')['outcomes'][attempt]}")
    name = f"{attempt} from an early thread"
    assert report_of("bare")["outcomes"][name] == REACHES_THE_KERNEL.get(attempt, "done")
    assert report_of("seccomp")["outcomes"][name] == "EPERM"


@needs_seccomp
def test_a_thread_of_the_supervisor_s_from_before_its_filter_has_no_network(
    report_of: Callable[[str], Report],
) -> None:
    """The same holds for a worker's threads."""
    assert report_of("bare")["outcomes"]["inet from an early thread"] == "done"
    assert report_of("supervisor")["outcomes"]["inet from an early thread"] == "EPERM"


@needs_landlock
def test_landlock_is_not_put_up_beside_threads_it_would_not_bind(report_of: Callable[[str], Report]) -> None:
    """Before its version 8 it binds one thread, which must be the only one."""
    report = report_of("landlock threaded")
    if landlock_version() < 8:
        assert "2 threads exist" in report["refused"]
    else:
        assert report == {"refused": "", "thread": "EACCES"}


@needs_seccomp
@pytest.mark.parametrize("attempt", ["inet", "inet6", "packet", "vsock", "netlink", "io_uring", "ptrace"])
def test_the_supervisor_has_no_network(attempt: str, report_of: Callable[[str], Report]) -> None:
    """The kernel refuses it every family but AF_UNIX, and calls that could circumvent that."""
    if not the_host_lets(attempt, report_of):
        pytest.skip(f"refused here without a sandbox too: {report_of('bare')['outcomes'][attempt]}")
    assert report_of("supervisor")["outcomes"][attempt] == "EPERM"


@needs_seccomp
def test_programs_started_by_the_supervisor_have_no_network_either(
    report_of: Callable[[str], Report],
) -> None:
    """A filter survives exec."""
    assert report_of("bare")["outcomes"]["inet in a program"] == "done"
    assert report_of("supervisor")["outcomes"]["inet in a program"] == "EPERM"


@pytest.mark.parametrize(
    "attempt",
    ["unix", "socketpair", "spawn a program", "fork", "signal the parent", "chmod an original", *STILL_WORKS],
)
def test_the_supervisor_can_still_do_its_work(attempt: str, report_of: Callable[[str], Report]) -> None:
    """The supervisor starts and ends workers, notifies the service manager and publishes."""
    assert report_of("supervisor")["outcomes"][attempt] == "done"


def test_a_worker_survives_running_out_of_memory(report_of: Callable[[str], Report]) -> None:
    """Beyond its limit there is a MemoryError, and later attempts still run."""
    bare, worker = report_of("bare")["outcomes"], report_of("worker")["outcomes"]
    assert (bare["more memory"], worker["more memory"]) == ("done", "MemoryError")
    assert list(worker).index("more memory") < list(worker).index("read what was given")


@needs_seccomp
def test_a_worker_cannot_change_its_limits(report_of: Callable[[str], Report]) -> None:
    """Root could raise them; Python raises ValueError where the kernel returns EPERM."""
    assert report_of("bare")["outcomes"]["raise a limit"] == "done"
    assert report_of("worker")["outcomes"]["raise a limit"] == "ValueError"


def test_the_layers_of_a_worker_are_named_in_their_order(report_of: Callable[[str], Report]) -> None:
    """The names are stable, since sidecars contain them."""
    expected = ["rlimits", "dies-with-parent", "no-dump", "capabilities"]
    if landlock_version():
        expected.append(f"landlock-abi{landlock.abi()}")
    if has_seccomp():
        expected.append("seccomp-tsync")
    assert report_of("worker")["layers"] == expected


def test_the_layers_of_the_supervisor_are_named(report_of: Callable[[str], Report]) -> None:
    """These are stable as well."""
    expected = ["no-dump", "seccomp-network-tsync"] if has_seccomp() else ["no-dump"]
    assert report_of("supervisor")["layers"] == expected


def test_the_kernel_confirms_the_reported_layers(report_of: Callable[[str], Report]) -> None:
    """By /proc and the limits, seen from within the confined process."""
    facts = report_of("worker")["facts"]
    assert facts["NoNewPrivs"] == "1"
    assert facts["Dumpable"] == "0"
    assert facts["Core"] == "0"
    assert int(facts["OpenFiles"]) <= 256
    assert int(facts["Nice"]) >= 5
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    if has_seccomp():
        assert facts["Seccomp"] == report_of("supervisor")["facts"]["Seccomp"] == "2"
    assert report_of("bare")["facts"]["Dumpable"] == "1"


@needs_landlock
def test_a_missing_root_is_left_out_and_reported(report_of: Callable[[str], Report]) -> None:
    """A share that is away must not keep a worker from starting."""
    _, *missing = report_of("landlock")["layers"]
    assert [Path(path).name for path in missing] == ["gone"]


def test_features_of_the_kernel_are_detected() -> None:
    """The detection agrees with the kernel's own answers; otherwise all layers could be off unnoticed."""
    assert landlock.abi() == landlock_version()
    assert seccomp.supported() == (has_seccomp() and os.uname().machine in {"x86_64", "aarch64"})
    assert threads() == len(list(Path("/proc/self/task").iterdir()))


def test_the_rights_of_each_landlock_version_are_those_of_its_kernel() -> None:
    """With one right too many the kernel refuses the ruleset; a missing one would not be restricted."""
    counts = {version: int(landlock.handled(version)).bit_count() for version in range(1, 10)}
    assert counts == {1: 13, 2: 14, 3: 15, 4: 15, 5: 16, 6: 16, 7: 16, 8: 16, 9: 16}


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
time.sleep(60)
"""
CHILD = """
import os, sys, time
from cutoutd.sandbox.limits import die_with_parent
if sys.argv[1] == "bound":
    die_with_parent(os.getppid())
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("bond", ["bound", "unbound"])
def test_a_worker_dies_with_its_supervisor_only_if_it_is_bound(bond: str) -> None:
    """Its pipe ends at once when the supervisor is killed; without the parent-death signal it stays open."""
    command = [sys.executable, "-c", PARENT, CHILD, bond]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        worker = int(supervisor.stdout.readline())
        supervisor.kill()
        supervisor.wait()
        patience_s = 10.0 if bond == "bound" else 0.3
        ended, _, _ = select.select([supervisor.stdout], [], [], patience_s)
        if bond == "bound":
            assert ended
            assert supervisor.stdout.read() == b""
        else:
            assert not ended
            os.kill(worker, signal.SIGKILL)


def test_a_worker_whose_supervisor_is_gone_does_not_start() -> None:
    """The supervisor died before the signal was set, so nothing would end the worker."""
    code = "import os; from cutoutd.sandbox.limits import die_with_parent; die_with_parent(os.getpid())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "is gone" in ended.stderr


def test_a_process_that_is_not_bound_to_its_parent_reports_it() -> None:
    """The test runner has no parent-death signal."""
    assert not limits.dies_with_parent()


def test_a_refusal_by_the_kernel_names_what_failed() -> None:
    """The message names the layer and the kernel's reason."""
    with pytest.raises(CutoutdError, match=f"a rule of ours: {os.strerror(errno.EINVAL)}"):
        demand("a rule of ours", "prctl", -1, 0, 0, 0, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
@pytest.mark.parametrize(("mode", "left"), [(0o700, 0b100), (0o755, 0)])
def test_root_keeps_a_privilege_only_where_it_reads_its_modules_by_it(
    tmp_path: Path, mode: int, left: int
) -> None:
    """As in a home that only its owner can read. Before, all workers of root could read and write files like root."""
    home = tmp_path / "home"
    (home / "modules").mkdir(parents=True)
    tmp_path.chmod(0o755)
    home.chmod(mode)
    os.chown(home, 65534, 65534)
    script = (
        "import sys; from cutoutd.sandbox import capabilities; capabilities.drop(sys.argv[1:]);"
        "print(*[line.split()[1] for line in open('/proc/self/status') if line[:6] in ('CapEff', 'CapPrm')])"
    )
    command = [sys.executable, "-c", script, "/usr", str(home / "modules"), str(home / "gone")]
    report_of = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert [int(one, 16) for one in report_of] == [left, left]
