"""The launcher of the one-file bundle: what it unpacks, where, and which directories it trusts.

It is compiled with a script as the loader, which prints its arguments, so no Python is packed.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGING = Path(__file__).parents[2] / "packaging"
TELLS = b'#!/bin/sh\necho "$LD_PRELOAD$LD_LIBRARY_PATH$@"\n'
WAITS = b"#!/bin/sh\necho started\nread -r line\n"


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled launcher, without an archive."""
    need("gcc")
    need("zstd")
    header = ["gcc", "-fsyntax-only", "-include", "zstd.h", "-x", "c", os.devnull]
    if subprocess.run(header, capture_output=True, check=False).returncode != 0:
        give_up("libzstd-dev is not installed")
    out = tmp_path_factory.mktemp("launcher") / "launcher"
    options = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", '-DLOADER="loader"', "-o", str(out)]
    subprocess.run(["gcc", *options, str(PACKAGING / "bundle" / "launcher.c"), "-lzstd"], check=True)
    return out


@pytest.fixture
def pack(launcher: Path, tmp_path: Path) -> Callable[..., Path]:
    """A function that makes a bundle of files, with a list of them."""

    def make(name: str, loader: bytes = TELLS, *more: tarfile.TarInfo) -> Path:
        files = {
            "bin/python": launcher.read_bytes(),
            "bin/python3.11": name.encode(),
            "lib/loader": loader,
            "lib/empty": b"",
        }
        files["MANIFEST"] = "".join(f"{len(data)} {path}\n" for path, data in files.items()).encode()
        with tarfile.open(tmp_path / f"{name}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            for directory in ("./", "./bin", "./lib"):
                entry = tarfile.TarInfo(directory)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            for path, data in files.items():
                entry = tarfile.TarInfo(f"./{path}")
                entry.size, entry.mode = len(data), 0o755
                archive.addfile(entry, io.BytesIO(data))
            for entry in more:
                archive.addfile(entry)
        out = tmp_path / name
        subprocess.run(["zstd", "-q", "--check", f"{out}.tar", "-o", f"{out}.zst"], check=True)
        parts = [sys.executable, str(PACKAGING / "bundle" / "join.py"), str(launcher), f"{out}.zst", str(out)]
        subprocess.run(parts, check=True)
        return out

    return make


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The directory for unpacked bundles."""
    place = tmp_path / "cache"
    place.mkdir(mode=0o700)
    return place


def start(program: Path, cache: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Start a bundle, and wait for its end."""
    return subprocess.run(
        [program, *arguments],
        env={"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def unpacked(cache: Path) -> Path:
    """Return the one unpacked bundle."""
    (one,) = (entry for entry in (cache / "cutoutd").iterdir() if entry.name != "lock")
    return one


def test_a_bundle_is_unpacked_once_and_passes_its_arguments_on_unchanged(
    pack: Callable[..., Path], cache: Path
) -> None:
    """In isolated mode, by the packed loader, without loader variables of the environment."""
    bundle = pack("one")
    first = start(bundle, cache, "run", "--input", "a b", LD_PRELOAD="", LD_LIBRARY_PATH="/nowhere")
    assert first.returncode == 0, first.stderr
    root = unpacked(cache)
    inode = root.stat().st_ino
    again = start(bundle, cache, "run", "--input", "a b")
    assert (
        first.stdout
        == again.stdout
        == (
            f"--argv0 {root}/bin/python --inhibit-cache --library-path {root}/lib {root}/bin/python3.11 -I -B "
            "-m cutoutd run --input a b\n"
        )
    )
    assert ("unpacking" in first.stderr, again.stderr, unpacked(cache).stat().st_ino) == (True, "", inode)
    python = start(root / "bin" / "python", cache, "-P", "-m", "cutoutd.pool.worker")
    assert python.stdout.endswith(f"{root}/bin/python3.11 -I -B -P -m cutoutd.pool.worker\n")
    assert [
        oct(path.stat().st_mode & 0o777) for path in (cache / "cutoutd", root, root / "lib" / "loader")
    ] == ["0o700"] * 3


def test_a_stream_that_is_closed_is_not_taken_for_the_archive(pack: Callable[..., Path], cache: Path) -> None:
    """As by a service manager that provides none: the loader gets /dev/null as its streams."""
    bundle = pack("one", b"#!/bin/sh\nreadlink /proc/self/fd/0 /proc/self/fd/2 >&1\n")
    closed = f'exec "{bundle}" run <&- 2>&-'
    environ = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        ["/bin/sh", "-c", closed], env=environ, stdout=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert done.stdout == "/dev/null\n/dev/null\n"


def damaged(path: Path) -> None:
    """Change a byte in the middle of the archive."""
    data = bytearray(path.read_bytes())
    data[-400] ^= 0xFF
    path.write_bytes(data)


def shortened(path: Path) -> None:
    """Remove a piece before the trailer, as in a download that was joined wrongly."""
    data = path.read_bytes()
    path.write_bytes(data[:-600] + data[-96:])


@pytest.mark.parametrize(
    "spoil", [damaged, shortened, lambda path: os.truncate(path, path.stat().st_size - 50)]
)
def test_a_damaged_file_leaves_nothing(
    pack: Callable[..., Path], cache: Path, spoil: Callable[[Path], None]
) -> None:
    """Detected by zstd's checksum, or by the trailer."""
    bundle = pack("one")
    spoil(bundle)
    done = start(bundle, cache, "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert "get it again" in done.stderr
    assert not cache.joinpath("cutoutd").exists() or {one.name for one in (cache / "cutoutd").iterdir()} <= {
        "lock"
    }


def test_entries_that_are_no_plain_files_in_place_are_not_unpacked(
    pack: Callable[..., Path], cache: Path
) -> None:
    """Paths that lead out, and links."""
    link = tarfile.TarInfo("./lib/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    for number, entry in enumerate(
        (tarfile.TarInfo("./lib/../../../out"), tarfile.TarInfo("/nowhere/out"), link)
    ):
        done = start(pack(f"bad-{number}", TELLS, entry), cache)
        assert done.returncode == 2
        assert [one.name for one in (cache / "cutoutd").iterdir()] == ["lock"]
    assert not (cache / "out").exists()


def removed(root: Path) -> None:
    """Remove a file, as a program does that cleans caches."""
    (root / "lib" / "empty").unlink()


def cut_short(root: Path) -> None:
    """Truncate a file, as a power failure does."""
    os.truncate(root / "lib" / "loader", 3)


def linked(root: Path) -> None:
    """Replace a file by a link to the same bytes."""
    (root / "lib" / "loader").rename(root.parent.parent / "elsewhere")
    (root / "lib" / "loader").symlink_to(root.parent.parent / "elsewhere")


@pytest.mark.parametrize("harm", [removed, cut_short, linked])
def test_a_cache_with_missing_files_is_recreated(
    pack: Callable[..., Path], cache: Path, harm: Callable[[Path], None]
) -> None:
    """Detected by its list of files."""
    bundle = pack("one")
    good = start(bundle, cache, "run").stdout
    harm(unpacked(cache))
    done = start(bundle, cache, "run")
    assert (done.stdout, "unpacking" in done.stderr) == (good, True)
    assert (unpacked(cache) / "lib" / "loader").read_bytes() == TELLS


def test_a_cache_that_others_could_change_is_refused(pack: Callable[..., Path], cache: Path) -> None:
    """Its directory, those above it, and a link in its place; /tmp with its sticky bit is accepted."""
    bundle = pack("one")
    elsewhere = cache / "elsewhere"
    elsewhere.mkdir()
    (cache / "cutoutd").symlink_to(elsewhere)
    assert (start(bundle, cache).returncode, list(elsewhere.iterdir())) == (2, [])
    (cache / "cutoutd").unlink()
    (cache / "cutoutd").mkdir()
    (cache / "cutoutd").chmod(0o777)
    done = start(bundle, cache)
    assert (done.returncode, "others may write in it" in done.stderr) == (2, True)
    (cache / "cutoutd").rmdir()
    cache.chmod(0o770)
    done = start(bundle, cache)
    assert (done.returncode, f"chmod go-w '{cache.resolve()}'" in done.stderr) == (2, True)
    cache.chmod(0o1777)
    assert start(bundle, cache).returncode == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_cache_of_another_user_is_refused(pack: Callable[..., Path], cache: Path) -> None:
    """Its owner could have put a program there."""
    bundle = pack("one")
    start(bundle, cache, "run")
    for place in (unpacked(cache) / "lib" / "loader", unpacked(cache), cache / "cutoutd", cache):
        os.chown(place, 12345, -1)
        done = start(bundle, cache, "run")
        if place.parent.name == "lib" or place.parent == cache / "cutoutd":
            assert (done.returncode, "unpacking" in done.stderr) == (0, True)  # anew, by this user
        else:
            assert (done.returncode, done.stdout) == (2, "")
        with suppress(FileNotFoundError):
            os.chown(place, 0, -1)


def test_several_at_once_unpack_it_once(pack: Callable[..., Path], cache: Path) -> None:
    """One launcher unpacks the bundle; the others wait."""
    bundle = pack("one")
    environ = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache)}
    all_of_them = [
        subprocess.Popen(
            [bundle, "run"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    outputs = [one.communicate(timeout=60) for one in all_of_them]
    assert all(one.returncode == 0 for one in all_of_them), outputs
    assert sum("unpacking" in err for _, err in outputs) == 1


@pytest.fixture
def running(pack: Callable[..., Path], cache: Path) -> Iterator[subprocess.Popen[str]]:
    """A bundle that has started and waits."""
    environ = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache)}
    with subprocess.Popen(
        [pack("old", WAITS)], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as old:
        assert old.stdout is not None
        assert old.stdout.readline() == "started\n"
        yield old


def test_an_earlier_version_is_removed_once_it_does_not_run(
    pack: Callable[..., Path], cache: Path, running: subprocess.Popen[str]
) -> None:
    """The remains of a start that was killed are removed as well."""
    earlier = unpacked(cache)
    (cache / "cutoutd" / "new-77").mkdir()
    start(pack("new"), cache)
    assert (earlier.exists(), (cache / "cutoutd" / "new-77").exists()) == (True, False)
    running.communicate("\n", timeout=60)
    start(pack("newest"), cache)
    assert not earlier.exists()


def test_without_a_directory_for_the_cache_it_gives_advice(pack: Callable[..., Path], cache: Path) -> None:
    """A relative XDG_CACHE_HOME is ignored, as its specification says."""
    bundle = pack("one")
    done = start(bundle, cache, XDG_CACHE_HOME="here")
    assert (done.returncode, "XDG_CACHE_HOME" in done.stderr) == (2, True)
    assert start(bundle, cache, XDG_CACHE_HOME="here", HOME=str(cache)).returncode == 0
    assert unpacked(cache / ".cache").is_dir()
