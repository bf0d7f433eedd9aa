"""Sources of C libraries: Debian's source packages, fetched by apt with a separate configuration, and rawpy's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torture.decoders_list import Library

SUITES: Final = ("unstable", "stable")
"""Suites of Debian, the newest first: if one has dropped a source, another may have it."""

_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"


class BuildError(Exception):
    """A source is not available or cannot be built; has the end of the output."""


def source_of(library: Library, root: Path) -> tuple[Path, str]:
    """Return the source directory of a library, and its version; it is fetched once.

    Args:
        library: the library.
        root: directory for everything.

    Raises:
        BuildError: it is not available.
    """
    known = root / f"{library.name}.source"
    if not known.exists():
        found, version = _from_rawpy(root) if not library.package else _from_debian(library.package, root)
        known.write_text(f"{found}\n{version}", encoding="utf-8")
    place, _, version = known.read_text(encoding="utf-8").partition("\n")
    return Path(place), version


def _from_rawpy(root: Path) -> tuple[Path, str]:
    """Fetch the source that the wheel of rawpy is built from."""
    release = metadata.version("rawpy")
    place = root / "sources" / "rawpy"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    python = next((one for one in (sys.executable, "python3") if _has_pip(one)), "python3")
    call(
        [
            python,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            "rawpy",
            f"rawpy=={release}",
            "-d",
            str(place),
        ],
        root,
    )
    _unpack(next(place.glob("rawpy-*.tar.gz")), place)
    external = place / f"rawpy-{release}" / "external"
    header = (external / "LibRaw/libraw/libraw_version.h").read_text(encoding="utf-8")
    numbers = [
        re.search(rf"define LIBRAW_{part}_VERSION\s+(\d+)", header) for part in ("MAJOR", "MINOR", "PATCH")
    ]
    version = ".".join(found[1] for found in numbers if found is not None)
    return external / "LibRaw-cmake", f"{version} (of rawpy {release})"


def _has_pip(python: str) -> bool:
    return (
        subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    )


def _from_debian(package: str, root: Path) -> tuple[Path, str]:
    """Fetch a source package, unpacked and with Debian's patches, and return its version as well."""
    place = root / "sources" / package
    said = ""
    for suite in SUITES:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            for part in ("--tar-only", "--diff-only"):  # the description is not needed
                call(["apt-get", *_apt(root), part, "source", f"{package}/{suite}"], place)
        except BuildError as error:
            said = str(error)
            continue
        tar = min(
            (path for path in place.glob("*.orig.tar.*") if path.suffix != ".asc"),
            key=lambda path: len(path.name),
        )
        changes = next(place.glob("*.debian.tar.*"))
        _unpack(tar, place / "tree")
        top = next(path for path in (place / "tree").iterdir() if path.is_dir())
        _unpack(changes, top)
        series = top / "debian/patches/series"
        lines = series.read_text(encoding="utf-8").splitlines() if series.exists() else []
        for line in lines:
            if name := line.partition("#")[0].strip():
                call(["patch", "-s", "-p1", "-i", str(top / "debian/patches" / name)], top)
        return top, changes.name.partition("_")[2].partition(".debian")[0]
    raise BuildError(f"no source of {package} is to be had: {said}")


def _apt(root: Path) -> list[str]:
    """Return options for an apt that knows the sources of newer suites, without changing the machine's settings."""
    place = root / "apt"
    options = ["-qq", "-o", f"Dir::Etc::SourceList={place}/sources.list", "-o", "Dir::Etc::SourceParts=-"]
    options += ["-o", f"Dir::State::Lists={place}/lists", "-o", f"Dir::Cache={place}/cache"]
    if not place.exists():
        site = _debian_site()
        for part in ("lists/partial", "cache/archives/partial"):
            (place / part).mkdir(parents=True)
        lines = [f"deb-src [signed-by={_KEYRING}] {site} {suite} main\n" for suite in SUITES]
        (place / "sources.list").write_text("".join(lines), encoding="utf-8")
        call(["apt-get", *options, "update"], root)
    return options


def _debian_site() -> str:
    """Return where this machine gets Debian's packages from."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN) $(CODENAME)"],  # noqa: S607 -- found on the path
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        site, _, rest = line.partition(" ")
        if rest.startswith("Debian ") and not rest.endswith("-security"):
            return site
    raise BuildError("apt knows no archive of Debian's")


def _unpack(tar: Path, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar) as whole:
        whole.extractall(place, filter="data")


def call(command: list[str], place: Path, variables: dict[str, str] | None = None) -> None:
    """Run a command that must succeed.

    Args:
        command: command with its arguments.
        place: working directory.
        variables: additional environment variables.

    Raises:
        BuildError: it is not installed, or failed.
    """
    try:
        done = subprocess.run(
            command,
            cwd=place,
            env=os.environ | (variables or {}),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise BuildError(f"{' '.join(command[:4])} ended with {done.returncode}: {said}")
