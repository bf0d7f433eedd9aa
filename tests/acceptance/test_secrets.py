"""The key and other secrets of an environment while a hosted folder is worked on: each is only where it is needed."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import Daemon, picture
from tests.acceptance.hosted_setup import KEY, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import Bench
    from tests.acceptance.hosted_setup import HostedSetup

pytestmark = [pytest.mark.new_interpreters, pytest.mark.small_model]

SECRET = "a-secret-of-somebody-else"  # noqa: S105 -- the test's own


@pytest.fixture
def hosted_setup(bench: Bench) -> Iterator[HostedSetup]:
    """A shop with its folders."""
    yield from opened(bench)


def family(pid: int) -> dict[int, str]:
    """Return a process and its descendants, by their command lines."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    lines: dict[int, str] = {}
    for one in found:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            lines[one] = Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return lines


def environ_of(pid: int) -> bytes:
    """Return the environment of a process as the system shows it, which is empty after its end; root may read all."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root sees hidden processes")
def test_key_and_secrets_are_in_no_process_but_where_they_belong(
    hosted_setup: HostedSetup, bench: Bench
) -> None:
    """The key is in no environment at all and reaches the service; a secret stays in the process that was given it."""
    hosted_setup.configure("hosted")
    hook = bench.root / "hook"
    hook.write_text(
        f'#!/bin/sh\nenv > "{bench.root}/hook-draft" && mv "{bench.root}/hook-draft" "{bench.root}/hook-environ"\n'
    )
    hook.chmod(0o755)
    text = hosted_setup.config.read_text("utf-8").replace(f'api_key_file = "{bench.root}/key"\n', "")
    hosted_setup.config.write_text(f'{text}[hooks]\non_done = ["{hook}"]\n', encoding="utf-8")
    keys = bench.root / "tls-keys"
    own = replace(
        bench,
        environment=bench.environment
        | {"CUTOUTD_API_KEY": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "SSLKEYLOGFILE": str(keys)},
    )
    hosted_setup.server.key = KEY
    daemon = Daemon(own, "--config", hosted_setup.config)
    try:
        hosted_setup.drop("shop", "a.jpg", picture(1))
        hosted_setup.drop("private", "b.jpg", picture(2))
        bench.wait_for((bench.root / "shop-out/a.png.json").exists, "the hosted cutout")
        bench.wait_for((bench.root / "private-out/b.png.json").exists, "the local cutout")
        bench.wait_for((bench.root / "hook-environ").exists, "the hook")
        processes = family(daemon.process.pid)
        commands = " ".join(processes.values())
        assert "cutoutd.cli.companions" in commands
        assert "cutoutd hosted" in commands
        assert commands.count("cutoutd.pool.worker") >= 2
        assert [line for pid, line in processes.items() if KEY.encode() in environ_of(pid)] == []
        others = {pid: line for pid, line in processes.items() if pid != daemon.process.pid}
        assert [line for pid, line in others.items() if SECRET.encode() in environ_of(pid)] == []
        assert KEY not in commands
        environment = (bench.root / "hook-environ").read_text("utf-8", "replace")
        assert "HOOK_EVENT=" in environment
        assert SECRET not in environment
        assert KEY not in environment
        keeper = next(pid for pid, line in processes.items() if "cutoutd.cli.companions" in line)
        # What may not be dumped belongs to root, whoever runs it: nobody else reads its memory.
        assert Path(f"/proc/{keeper}/environ").stat().st_uid == 0
        assert not keys.exists()
    finally:
        assert daemon.end() == 0
