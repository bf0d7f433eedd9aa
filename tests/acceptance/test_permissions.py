"""Missing permissions, for a user who is not root: each affects its own files only, until it is granted."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

# With these root is refused like anybody else, and can still read its own Python wherever that is installed.
LOST_RIGHTS = "-dac_override,-dac_read_search"


def unprivileged(*command: str) -> list[str]:
    """Return the command as a user to whom permissions apply."""
    if os.geteuid() != 0:
        return list(command)
    need("setpriv")
    return ["setpriv", f"--bounding-set={LOST_RIGHTS}", *command]


def test_pictures_without_permission_wait_and_the_rest_is_done(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """A picture, a sub-folder, then the output, each without permission; all are cut once it is granted."""
    for number, name in enumerate(("good.jpg", "secret.jpg", "sub/inside.jpg")):
        bench.drop(name, number)
    (bench.input / "secret.jpg").chmod(0)
    (bench.input / "sub").chmod(0)
    daemon = start(within=unprivileged)
    bench.wait_for(lambda: "good.png.json" in bench.results(), "the good one")

    def log() -> str:
        return (bench.root / "log").read_text(encoding="utf-8")

    bench.wait_for(lambda: "file.unreadable" in log() and "scan.unreadable" in log(), "the reasons")
    assert bench.results() == ["good.png", "good.png.json"]
    (bench.input / "secret.jpg").chmod(0o644)
    bench.wait_for(lambda: "secret.png.json" in bench.results(), "the secret one")
    bench.output.chmod(0o500)
    for staging in bench.output.glob(".cutoutd-staging/*"):
        staging.chmod(0o500)
    shutil.copy(bench.input / "good.jpg", bench.input / "again.jpg")
    bench.wait_for(lambda: "folder.rests" in log(), "the pause")
    assert "Permission" in log()
    assert (bench.input / "again.jpg").exists()
    bench.output.chmod(0o755)
    for staging in bench.output.glob(".cutoutd-staging/*"):
        staging.chmod(0o700)
    bench.wait_for(lambda: "again.png.json" in bench.results(), "the one that waited")
    (bench.input / "sub").chmod(0o755)
    assert daemon.end() == 0
    once = bench.call_any(unprivileged(*bench.command("run", *bench.pair(), "--once")))
    assert once.returncode == 0, once.stdout + once.stderr
    assert "sub/inside.png" in bench.results()


def test_a_shared_sub_folder_shares_its_results(bench: Bench) -> None:
    """By its group and its default access list, like any file created there; with several renditions and a doubtful picture."""
    need("setfacl")
    if os.geteuid() != 0:
        give_up("only root can give a directory to any group")
    config = bench.root / "cutoutd.toml"
    config.write_text(
        f'[[folder]]\nname = "a"\ninput = "{bench.input}"\noutput = "{bench.output}"\nreview_below = 0.0\n'
        '[[folder.rendition]]\n[[folder.rendition]]\nformat = "jpeg"\nbackground = "#ffffff"\nsuffix = "_web"\n'
    )
    for name in ("a", "review/a", "failed/a"):
        shared = bench.output / name
        shared.mkdir(parents=True)
        os.chown(shared, -1, 12345)
        shared.chmod(0o2775)
        subprocess.run(["setfacl", "-d", "-m", "g:54321:rwx", shared], check=True)
        (shared / "ref").touch()
    bench.drop("a/x.jpg")
    flat = bench.drop("a/flat.jpg")
    Image.new("RGB", (360, 270), (235, 235, 235)).save(flat)
    os.utime(flat, (1_700_000_000, 1_700_000_000))
    (bench.input / "a/broken.jpg").write_bytes(flat.read_bytes()[:300])
    os.utime(bench.input / "a/broken.jpg", (1_700_000_000, 1_700_000_000))
    private = bench.drop("a/private.jpg", 1)
    private.chmod(0o600)
    assert bench.call("run", "--config", config, "--once").returncode == 1  # one is broken

    def rights(path: Path) -> tuple[int, int, bytes]:
        status = path.stat()
        return status.st_gid, status.st_mode, os.getxattr(path, "system.posix_acl_access")

    files = [path for path in bench.output.rglob("*") if path.is_file() and path.name != "ref"]
    kinds = {path.relative_to(bench.output).parts[0] for path in files}
    assert kinds == {"a", "review", "failed"}
    assert len(files) >= 9, files
    for path in files:
        if path.name.startswith("private"):
            assert path.stat().st_mode & 0o077 == 0, path
        else:
            assert rights(path) == rights(path.parent / "ref"), path
