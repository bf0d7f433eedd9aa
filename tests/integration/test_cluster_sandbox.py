"""The sandboxes of the cluster's two processes on the coordinator, against real attempts to leave them."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from cutoutd.sandbox import landlock, survey
from tests.integration.clustering import free_port
from tests.integration.confined import (
    REFUSALS,
    attempts,
    connect,
    make_tree,
    needs_landlock,
    needs_seccomp,
    run_python,
)
from tests.integration.sandbox_expected import DONE_BY_UPLOADER, STILL_WORKS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.new_interpreters,
    pytest.mark.skipif(sys.platform != "linux", reason="these layers are Linux's"),
]

DONE_BY_GATEWAY = DONE_BY_UPLOADER | {"write more than any result has"}
"""What a gateway can do: call out over IP, and use its exchange directory."""

DONE_BY_PROXY = set(STILL_WORKS) | {
    "write in staging",
    "make a directory in staging",
    "rename in staging",
    "rename between directories of staging",
    "remove from staging",
    "open the result anew for reading",
    "write to /dev/null",
    "more memory",
    "write more than any result has",
}
"""What a proxy can do: a worker's actions, and use files in two of its exchange directories."""


@needs_landlock
@needs_seccomp
@pytest.mark.parametrize(
    ("kind", "layers", "allowed"),
    [("gateway", survey.UPLOADER, DONE_BY_GATEWAY), ("proxy", survey.PROXY, DONE_BY_PROXY)],
)
def test_all_that_is_not_needed_is_refused(
    kind: str, layers: tuple[survey.Layer, ...], allowed: set[str], tmp_path: Path
) -> None:
    """A gateway can call out and reach its exchange directory; a proxy cannot call out."""
    report = attempts(kind, tmp_path, port=8786)
    assert survey.gaps_between(layers, report["layers"]) == ()
    outcomes: dict[str, str] = report["outcomes"]
    assert {name for name, outcome in outcomes.items() if outcome == "done"} == allowed
    for name in ("unix", "packet", "vsock", "execve", "fork", "ptrace", "io_uring", "read outside"):
        assert outcomes[name] in REFUSALS, name
    if kind == "proxy":
        assert {outcomes[name] for name in ("inet", "inet6", "netlink", "tcp bind")} <= REFUSALS


@needs_landlock
def test_a_gateway_connects_to_scheduler_and_workers_alone(tmp_path: Path) -> None:
    """The kernel refuses every other port, whoever listens there."""
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [server.getsockname()[1] for server in (ours, other)]
        outcomes = connect("gateway", tmp_path, *ports)
    assert outcomes == ["reached", "Permission denied"]


DASK_WORKER = """
import os, socket, subprocess, sys
from pathlib import Path
from cutoutd.sandbox.confinement import confine_dask_worker
root, reached, listened, other, parent = Path(sys.argv[1]), *map(int, sys.argv[2:6])
layers = confine_dask_worker(read=(root / "certs",), write=root / "own", connect=reached, bind=listened)
def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
attempts = {
    "read a certificate": lambda: (root / "certs/worker.pem").read_bytes(),
    "write what is under way": lambda: (root / "own/a").write_bytes(b"a"),
    "reach the scheduler": lambda: socket.create_connection(("127.0.0.1", reached), 5).close(),
    "listen": lambda: socket.create_server(("127.0.0.1", listened)).close(),
    "start Python": lambda: run(sys.executable, "-P", "-c", "import ssl, socket"),
    "read a secret": lambda: (root / "outside/secret").read_bytes(),
    "list a home": lambda: os.listdir(root / "outside"),
    "write elsewhere": lambda: (root / "outside/b").write_bytes(b"b"),
    "write a certificate": lambda: (root / "certs/b").write_bytes(b"b"),
    "reach another port": lambda: socket.create_connection(("127.0.0.1", other), 5).close(),
    "listen elsewhere": lambda: socket.create_server(("127.0.0.1", 0)).close(),
    "start a program": lambda: run("/bin/true"),
    "read another process": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
    "end another process": lambda: os.kill(parent, 0),
}
print(*layers)
for name, attempt in attempts.items():
    try:
        attempt()
        print(name)
    except PermissionError:
        pass
"""
DONE_BY_DASK_WORKER = [
    "read a certificate",
    "write what is under way",
    "reach the scheduler",
    "listen",
    "start Python",
]


@pytest.mark.skipif(landlock.abi() < 6, reason="ports and signals are Landlock's since ABI 4 and 6")
def test_the_process_that_dask_runs_in_reaches_the_scheduler_its_certificates_and_python_alone(
    tmp_path: Path,
) -> None:
    """Dask runs what it receives, so the process must not reach other files, programs, ports and processes."""
    for name in ("certs", "own"):
        (tmp_path / name).mkdir()
    (tmp_path / "certs/worker.pem").write_bytes(b"certificate")
    make_tree(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [server.getsockname()[1] for server in (ours, other)]
        arguments = map(str, (ports[0], free_port(), ports[1], os.getpid()))
        output = run_python("-c", DASK_WORKER, os.fspath(tmp_path), *arguments).stdout
    layers, *done = output.splitlines()
    assert survey.gaps_between(survey.DASK_WORKER, layers.split()) == ()
    assert done == DONE_BY_DASK_WORKER
