"""The uploader's sandbox against real attempts to leave it: it can call out over IP, and nothing else."""

from __future__ import annotations

import os
import re
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.sandbox import seccomp, survey
from tests.hosted_server import HostedServer
from tests.integration.confined import REFUSALS, attempts, connect, needs_landlock, needs_seccomp
from tests.integration.sandbox_expected import DONE_BY_UPLOADER
from tests.integration.uploading import KEY, UploaderSetup, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.new_interpreters,
    pytest.mark.skipif(sys.platform != "linux", reason="these layers are Linux's"),
]

REACHES_THE_KERNEL = {  # calls it needs, tried with nonsense
    "raw connect": "EBADF",
    "raw bind": "EBADF",
    "raw shutdown": "EBADF",
    "raw getsockopt": "EBADF",
    "raw setsockopt": "EBADF",
    "raw getsockname": "EBADF",
    "raw getpeername": "EBADF",
    "raw sendto": "EFAULT",
    "raw recvfrom": "EFAULT",
    "raw sendmsg": "EINVAL",
    "raw recvmsg": "EINVAL",
    "raw sendmmsg": "EINVAL",
    "raw recvmmsg": "EINVAL",
    "write the original through what was given": "EBADF",
    "raw link": "EFAULT",
    "raw linkat": "EINVAL",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The outcomes of all attempts in a confined process."""
    report = attempts("uploader", tmp_path_factory.mktemp("uploader"))
    assert survey.gaps_between(survey.UPLOADER, report["layers"]) == ()
    found: dict[str, str] = report["outcomes"]
    return found


@needs_landlock
@needs_seccomp
def test_all_that_is_not_needed_is_refused(outcomes: dict[str, str]) -> None:
    """Hot folders, other programs, other processes, and every socket that does not call out over IP."""
    done = {name for name, outcome in outcomes.items() if outcome == "done"}
    assert done == DONE_BY_UPLOADER
    others = {name: outcome for name, outcome in outcomes.items() if name not in DONE_BY_UPLOADER}
    odd = {name: outcome for name, outcome in others.items() if outcome not in REFUSALS}
    assert odd == {name: code for name, code in REACHES_THE_KERNEL.items() if name in outcomes}
    for name in (
        "unix",
        "packet",
        "vsock",
        "execve",
        "fork",
        "ptrace",
        "io_uring",
        "read the input",
        "tcp bind",
    ):
        assert outcomes[name] in {"EPERM", "EACCES"}


@needs_landlock
def test_of_tcp_only_the_service_s_port_is_reached(tmp_path: Path) -> None:
    """Another program of this machine, such as a database, is out of reach."""
    with socket.create_server(("127.0.0.1", 0)) as service, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [one.getsockname()[1] for one in (service, other)]
        outcomes = connect("uploader", tmp_path, *ports)
    assert outcomes == ["reached", "Permission denied"]


@pytest.fixture
def running_uploader(tmp_path: Path) -> Iterator[UploaderSetup]:
    """An uploader that has sent a picture."""
    with HostedServer(key=KEY) as server, UploaderSetup(tmp_path, server.url) as uploader_setup:
        uploader_setup.start()
        uploader_setup.reply(uploader_setup.request(picture(1)))
        yield uploader_setup


def test_the_uploader_itself_is_confined(running_uploader: UploaderSetup) -> None:
    """By the kernel, in all of its threads, and by its own status."""
    assert running_uploader.process is not None
    tasks = Path(f"/proc/{running_uploader.process.pid}/task")
    states = [(task / "status").read_text() for task in tasks.iterdir()]
    assert len(states) > 4
    for state in states:
        assert "NoNewPrivs:\t1" in state
        assert ("Seccomp:\t2" in state) is seccomp.supported()
    assert survey.gaps_between(survey.UPLOADER, running_uploader.status()["sandbox"]) == ()


def test_the_uploader_has_only_its_own_files_open(running_uploader: UploaderSetup) -> None:
    """The process has no descriptor into a hot folder, an output or the journal."""
    assert running_uploader.process is not None
    opened = []
    for entry in Path(f"/proc/{running_uploader.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            opened.append(os.readlink(entry))  # noqa: PTH115 -- a pipe has no path
    inside = [name for name in opened if name.startswith(str(running_uploader.directory))]
    root = str(running_uploader.paths.root)
    assert [name for name in inside if not name.startswith(root) and name != str(running_uploader.log)] == []
    assert any(name.startswith(root) for name in inside)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
def test_the_uploader_has_no_capability_left_not_even_on_files(running_uploader: UploaderSetup) -> None:
    """The uploader needs none, since it owns its directories."""
    assert running_uploader.process is not None
    for task in Path(f"/proc/{running_uploader.process.pid}/task").iterdir():
        sets = re.findall(
            r"^Cap(?:Inh|Prm|Eff|Amb):\t([0-9a-f]+)$", (task / "status").read_text(), re.MULTILINE
        )
        assert [int(one, 16) for one in sets] == [0, 0, 0, 0]
