"""C libraries that decode pictures, built with clang's sanitizers, each with a harness that uses it as cutoutd does.

Sources come as Debian's source packages, by the machine's own apt with a configuration of its own, and LibRaw's with rawpy's.
Nothing is installed: all is below one directory, and what is there is not built again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from torture.figures import note

HARNESSES: Final = Path(__file__).with_name("harnesses")
SUITES: Final = ("unstable", "stable")
_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_CLANGS: Final = ("clang", *(f"clang-{number}" for number in range(25, 13, -1)))
_TOOLS: Final = ("apt-get", "cmake", "ninja", "patch")

# A hole in memory ends the harness. Arithmetic that C leaves undefined, and that compilers do the expected thing with, is
# counted: these libraries have it in places by the dozen, and it hides what matters. What AddressSanitizer sees anyhow is left to
# it, and so is alignment, which no processor here asks for: these checks double the time that building takes.
_FATAL: Final = "bounds,integer-divide-by-zero,return,unreachable,vla-bound"
_LEFT_OUT: Final = "function,vptr,pointer-overflow,object-size,null,nonnull-attribute,alignment"
_SANITIZE: Final = (
    "-fsanitize=address,undefined",
    f"-fno-sanitize={_LEFT_OUT}",
    f"-fno-sanitize-recover={_FATAL}",
)
FLAGS: Final = ("-O1", "-gline-tables-only", "-fno-omit-frame-pointer", "-w", "-DNDEBUG", *_SANITIZE)
COVERAGE: Final = "-fsanitize=fuzzer-no-link"


class BuildError(Exception):
    """Something could not be had or built, with the last of what was said about it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """A library to be built.

    Attributes:
        name: as `cutoutd.engine.versions` calls it.
        package: Debian's source package; empty for what comes with rawpy.
        options: for CMake, or Meson where there is no CMake.
        meson: it is built by Meson.
    """

    name: str
    package: str = ""
    options: tuple[str, ...] = ()
    meson: bool = False


_TURBO: Final = Library(
    name="libjpeg-turbo",
    package="libjpeg-turbo",
    options=("-DWITH_SIMD=0", "-DENABLE_SHARED=0", "-DWITH_TOOLS=0", "-DWITH_TESTS=0"),
)
_TIFF: Final = Library(
    name="libtiff",
    package="tiff",
    options=(
        *(f"-Dtiff-{part}=OFF" for part in ("tools", "tests", "contrib", "docs", "cxx")),
        *(f"-D{codec}=OFF" for codec in ("webp", "jbig", "lerc", "libdeflate")),
    ),
)
_DE265: Final = Library(
    name="libde265",
    package="libde265",
    options=("-DENABLE_SDL=OFF", "-DENABLE_ENCODER=OFF", "-DENABLE_DECODER=OFF"),
)
_HEIF: Final = Library(
    name="libheif",
    package="libheif",
    options=(
        "-DWITH_LIBDE265=ON",
        "-DENABLE_PLUGIN_LOADING=OFF",
        *(
            f"-DWITH_{part}=OFF"
            for part in ("EXAMPLES", "GDK_PIXBUF", "X265", "AOM_DECODER", "AOM_ENCODER", "DAV1D")
        ),
        *(
            f"-DWITH_{part}=OFF"
            for part in ("LIBSHARPYUV", "UNCOMPRESSED_CODEC", "KVAZAAR", "SvtEnc", "RAV1E")
        ),
        *(f"-DWITH_{part}=OFF" for part in ("FFMPEG_DECODER", "X264", "OpenH264_DECODER", "JPEG_DECODER")),
        *(f"-DWITH_{part}=OFF" for part in ("JPEG_ENCODER", "OpenJPEG_DECODER", "OpenJPEG_ENCODER")),
        "-DCMAKE_DISABLE_FIND_PACKAGE_Doxygen=ON",
        "-DBUILD_TESTING=OFF",
        "-DBUILD_DOCUMENTATION=OFF",
    ),
)
_OPENJPEG: Final = Library(name="OpenJPEG", package="openjpeg2", options=("-DBUILD_CODEC=OFF",))
_WEBP: Final = Library(
    name="libwebp",
    package="libwebp",
    options=(
        "-DWEBP_ENABLE_SIMD=OFF",
        *(f"-DWEBP_BUILD_{part}=OFF" for part in ("CWEBP", "DWEBP", "GIF2WEBP", "IMG2WEBP", "VWEBP")),
        *(f"-DWEBP_BUILD_{part}=OFF" for part in ("ANIM_UTILS", "WEBPINFO", "WEBPMUX", "EXTRAS")),
    ),
)
_LIBRAW: Final = Library(
    name="LibRaw",
    options=(
        "-DENABLE_X3FTOOLS=ON",
        "-DENABLE_6BY9RPI=ON",
        *(f"-DENABLE_{part}=OFF" for part in ("OPENMP", "EXAMPLES", "LCMS", "JASPER", "RAWSPEED")),
    ),
)
_DAV1D: Final = Library(
    name="dav1d",
    package="dav1d",
    meson=True,
    options=("-Denable_asm=false", "-Denable_tools=false", "-Denable_tests=false"),
)
_AVIF: Final = Library(
    name="libavif",
    package="libavif",
    options=(
        "-DAVIF_CODEC_DAV1D=SYSTEM",
        "-DAVIF_LIBYUV=OFF",
        "-DAVIF_LIBSHARPYUV=OFF",
        "-DAVIF_BUILD_APPS=OFF",
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoder:
    """A harness, and what it is made of.

    Attributes:
        source: its file in `harnesses`.
        libraries: in the order in which they are built; linked in the other.
        archives: names of the static libraries, in the order in which a linker wants them.
        suffixes: of files that it reads.
        wheel: the package whose libraries cutoutd uses.
        tell: where its authors want to hear of holes.
    """

    source: str
    libraries: tuple[Library, ...]
    archives: tuple[str, ...]
    suffixes: tuple[str, ...]
    wheel: str
    tell: str


DECODERS: Final = {
    "heif": Decoder(
        source="heif.c",
        libraries=(_DE265, _HEIF),
        archives=("heif", "de265"),
        suffixes=(".heic",),
        wheel="pillow-heif",
        tell="the security advisories of strukturag/libheif or strukturag/libde265 on GitHub",
    ),
    "tiff": Decoder(
        source="tiff.c",
        libraries=(_TURBO, _TIFF),
        archives=("tiff", "jpeg"),
        suffixes=(".tif",),
        wheel="pillow",
        tell="the issues of libtiff/libtiff on GitLab, as confidential",
    ),
    "jpeg2000": Decoder(
        source="jpeg2000.c",
        libraries=(_OPENJPEG,),
        archives=("openjp2",),
        suffixes=(".jp2", ".j2k"),
        wheel="pillow",
        tell="the security advisories of uclouvain/openjpeg on GitHub",
    ),
    "raw": Decoder(
        source="raw.cc",
        libraries=(_TURBO, _LIBRAW),
        archives=("raw", "jpeg"),
        suffixes=(".dng", ".nef", ".orf", ".rw2", ".arw", ".pef", ".cr2", ".raf", ".cr3"),
        wheel="rawpy",
        tell="info@libraw.org, or the security advisories of LibRaw/LibRaw on GitHub",
    ),
    "webp": Decoder(
        source="webp.c",
        libraries=(_WEBP,),
        archives=("webpdemux", "webp"),
        suffixes=(".webp",),
        wheel="pillow",
        tell="the tracker of WebM and WebP at Chromium, component WebP",
    ),
    "jpeg": Decoder(
        source="jpeg.c",
        libraries=(_TURBO,),
        archives=("turbojpeg", "jpeg"),
        suffixes=(".jpg", ".mpo"),
        wheel="simplejpeg",
        tell="the security advisories of libjpeg-turbo/libjpeg-turbo on GitHub",
    ),
    "avif": Decoder(
        source="avif.c",
        libraries=(_DAV1D, _AVIF),
        archives=("avif", "dav1d"),
        suffixes=(".avif",),
        wheel="pillow",
        tell="the security advisories of AOMediaCodec/libavif on GitHub, or the issues of dav1d at VideoLAN",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A harness that can be run, with the version of each of its libraries."""

    program: Path
    versions: dict[str, str]


def missing() -> tuple[str, ...]:
    """Which tools are not there."""
    lacking = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return tuple(lacking) + (() if _clang() is not None else ("clang",))


def _clang() -> str | None:
    return next((name for name in _CLANGS if shutil.which(name) is not None), None)


def build(name: str, root: Path) -> Built:
    """Build a harness with all it needs; what is there already is taken.

    Args:
        name: of ``DECODERS``.
        root: a directory for everything, which may be one of an earlier call.

    Raises:
        BuildError: a source or a tool is not to be had, or something does not compile.
    """
    decoder = DECODERS[name]
    versions = {library.name: _library(library, root) for library in decoder.libraries}
    prefix, program = root / "prefix", root / f"fuzz-{name}"
    source = HARNESSES / decoder.source
    found = [_archive(prefix, archive) for archive in decoder.archives]
    newest = max(path.stat().st_mtime for path in (source, HARNESSES / "harness.h", *found))
    if not program.exists() or program.stat().st_mtime < newest:
        compiler, linker = _compilers()
        compiled = os.fspath(program.with_suffix(".o"))
        headers = [f"-I{place}" for place in (prefix / "include", *prefix.glob("include/openjpeg-*"))]
        driver = linker if source.suffix == ".cc" else compiler
        _call([driver, *FLAGS, COVERAGE, *headers, "-c", os.fspath(source), "-o", compiled], root)
        parts = [compiled, *map(str, found), *_system_libraries(prefix, decoder), "-lm", "-lpthread", "-ldl"]
        _call([linker, "-fsanitize=address,undefined,fuzzer", *parts, "-o", os.fspath(program)], root)
    return Built(program=program, versions=versions)


def _compilers() -> tuple[str, str]:
    """For C, and for C++."""
    compiler = _clang() or "clang"
    return compiler, compiler.replace("clang", "clang++")


def _archive(prefix: Path, name: str) -> Path:
    found = next(iter(sorted(prefix.glob(f"lib/**/lib{name}.a"))), None)
    if found is None:
        raise BuildError(f"there is no lib{name}.a in {prefix}")
    return found


def _system_libraries(prefix: Path, decoder: Decoder) -> list[str]:
    """What the archives themselves need, by their own word."""
    wanted = ["-lz"]
    for archive in decoder.archives:
        for said in prefix.glob(f"lib/**/pkgconfig/lib{archive.removeprefix('lib')}*.pc"):
            text = said.read_text(encoding="utf-8")
            wanted += [one for one in ("-lzstd", "-llzma") if one in text or f"lib{one[2:]}" in text]
    return list(dict.fromkeys(wanted))


def _library(library: Library, root: Path) -> str:
    """Build and install one below the prefix; its version."""
    done = root / f"{library.name}.version"
    if done.exists():
        return done.read_text(encoding="utf-8")
    source, version = _source(library, root)
    note(f"decoders: building {library.name} {version}")
    place, prefix = root / f"{library.name}-build", root / "prefix"
    compiler, plus = _compilers()
    flags = " ".join((*FLAGS, COVERAGE))
    variables = {
        "CC": compiler,
        "CXX": plus,
        "CFLAGS": flags,
        "CXXFLAGS": flags,
        "PKG_CONFIG_PATH": os.fspath(prefix / "lib/pkgconfig"),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    if library.meson and not (place / "build.ninja").exists():
        options = ["--default-library=static", "--buildtype=plain", f"--prefix={prefix}", "--libdir=lib"]
        _call(["meson", "setup", *options, *library.options, str(place), str(source)], root, variables)
    elif not (place / "build.ninja").exists():
        options = [
            "-DBUILD_SHARED_LIBS=OFF",
            f"-DCMAKE_INSTALL_PREFIX={prefix}",
            "-DCMAKE_INSTALL_LIBDIR=lib",
        ]
        options += [
            f"-DCMAKE_PREFIX_PATH={prefix}",
            "-DCMAKE_BUILD_TYPE=",
            "-DCMAKE_POLICY_VERSION_MINIMUM=3.5",
        ]
        call = ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(place), *options, *library.options]
        _call(call, root, variables)
    _call(["ninja", "-C", str(place), "install"], root, variables)
    done.write_text(version, encoding="utf-8")
    return version


def _source(library: Library, root: Path) -> tuple[Path, str]:
    """Where its source lies, and its version; it is fetched once."""
    known = root / f"{library.name}.source"
    if not known.exists():
        found, version = _from_rawpy(root) if not library.package else _from_debian(library.package, root)
        known.write_text(f"{found}\n{version}", encoding="utf-8")
    place, _, version = known.read_text(encoding="utf-8").partition("\n")
    return Path(place), version


def _from_rawpy(root: Path) -> tuple[Path, str]:
    """The very source that the wheel of rawpy is built from."""
    release = metadata.version("rawpy")
    place = root / "sources" / "rawpy"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    python = next((one for one in (sys.executable, "python3") if _has_pip(one)), "python3")
    _call(
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
    (external / "LibRaw-cmake/CMakeLists.txt").write_text(
        f'set(LIBRAW_PATH "{external}/LibRaw")\n'
        + (external / "LibRaw-cmake/CMakeLists.txt").read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    return external / "LibRaw-cmake", f"{version} (of rawpy {release})"


def _has_pip(python: str) -> bool:
    return (
        subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    )


def _from_debian(package: str, root: Path) -> tuple[Path, str]:
    """A source package, unpacked and with Debian's patches, and its version."""
    place = root / "sources" / package
    said = ""
    for suite in SUITES:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            for part in ("--tar-only", "--diff-only"):  # the description beside them is not needed
                _call(["apt-get", *_apt(root), part, "source", f"{package}/{suite}"], place)
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
                _call(["patch", "-s", "-p1", "-i", str(top / "debian/patches" / name)], top)
        return top, changes.name.partition("_")[2].partition(".debian")[0]
    raise BuildError(f"no source of {package} is to be had: {said}")


def _apt(root: Path) -> list[str]:
    """Options for an apt that knows the sources of newer suites; the machine's own settings are not touched."""
    place = root / "apt"
    options = ["-qq", "-o", f"Dir::Etc::SourceList={place}/sources.list", "-o", "Dir::Etc::SourceParts=-"]
    options += ["-o", f"Dir::State::Lists={place}/lists", "-o", f"Dir::Cache={place}/cache"]
    if not place.exists():
        site = _debian_site()
        for part in ("lists/partial", "cache/archives/partial"):
            (place / part).mkdir(parents=True)
        lines = [f"deb-src [signed-by={_KEYRING}] {site} {suite} main\n" for suite in SUITES]
        (place / "sources.list").write_text("".join(lines), encoding="utf-8")
        _call(["apt-get", *options, "update"], root)
    return options


def _debian_site() -> str:
    """Where this machine gets Debian's packages from."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN) $(CODENAME)"],  # noqa: S607 -- wherever apt is
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


def _call(command: list[str], place: Path, variables: dict[str, str] | None = None) -> None:
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
