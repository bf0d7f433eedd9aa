"""C libraries that decode pictures, built with clang's sanitizers, each with a harness that uses it as cutoutd does.

Nothing is installed: everything is below one directory, and what exists there is not built again.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from torture.decoders_list import DECODERS
from torture.decoders_sources import BuildError, call, source_of
from torture.figures import note

if TYPE_CHECKING:
    from torture.decoders_list import Decoder, Library

HARNESSES: Final = Path(__file__).with_name("harnesses")
_CLANGS: Final = ("clang", *(f"clang-{number}" for number in range(25, 13, -1)))
_TOOLS: Final = ("apt-get", "cmake", "ninja", "patch")

# A memory error ends the harness. Arithmetic that is undefined in C, but that compilers handle as expected, is only counted:
# these libraries have dozens of such places, which would hide what matters. A division by zero ends the process in any case.
# Errors that AddressSanitizer finds as well are left to it, and alignment is not checked, which no processor here needs: these
# checks double the build time.
_FATAL: Final = "bounds,return,unreachable,vla-bound"
_LEFT_OUT: Final = "function,vptr,pointer-overflow,object-size,null,nonnull-attribute,alignment"
_SANITIZE: Final = (
    "-fsanitize=address,undefined",
    f"-fno-sanitize={_LEFT_OUT}",
    f"-fno-sanitize-recover={_FATAL}",
)
FLAGS: Final = ("-O1", "-gline-tables-only", "-fno-omit-frame-pointer", "-w", "-DNDEBUG", *_SANITIZE)
COVERAGE: Final = "-fsanitize=fuzzer-no-link"


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A harness, with the version of each of its libraries."""

    program: Path
    versions: dict[str, str]


def missing() -> tuple[str, ...]:
    """Return the missing tools."""
    lacking = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return tuple(lacking) + (() if _clang() is not None else ("clang",))


def _clang() -> str | None:
    return next((name for name in _CLANGS if shutil.which(name) is not None), None)


def build(name: str, root: Path) -> Built:
    """Build a harness with everything it needs; what exists already is used.

    Args:
        name: name of an entry of ``DECODERS``.
        root: directory for everything, which may be one of an earlier call.

    Raises:
        BuildError: a source or a tool is not available, or something does not compile.
    """
    decoder = DECODERS[name]
    versions = {library.name: _library(library, root) for library in decoder.libraries}
    prefix, program = root / "prefix", root / f"fuzz-{name}"
    harness = HARNESSES / decoder.source
    found = [_archive(prefix, archive) for archive in decoder.archives]
    newest = max(path.stat().st_mtime for path in (harness, HARNESSES / "harness.h", *found))
    if not program.exists() or program.stat().st_mtime < newest:
        compiler, linker = _compilers()
        compiled = os.fspath(program.with_suffix(".o"))
        headers = [f"-I{place}" for place in (prefix / "include", *prefix.glob("include/openjpeg-*"))]
        driver = linker if harness.suffix == ".cc" else compiler
        call([driver, *FLAGS, COVERAGE, *headers, "-c", os.fspath(harness), "-o", compiled], root)
        parts = [compiled, *map(str, found), *_system_libraries(prefix, decoder), "-lm", "-lpthread", "-ldl"]
        call([linker, "-fsanitize=address,undefined,fuzzer", *parts, "-o", os.fspath(program)], root)
    return Built(program=program, versions=versions)


def _compilers() -> tuple[str, str]:
    """Return the compilers for C and C++."""
    compiler = _clang() or "clang"
    return compiler, compiler.replace("clang", "clang++")


def _archive(prefix: Path, name: str) -> Path:
    found = next(iter(sorted(prefix.glob(f"lib/**/lib{name}.a"))), None)
    if found is None:
        raise BuildError(f"there is no lib{name}.a in {prefix}")
    return found


def _system_libraries(prefix: Path, decoder: Decoder) -> list[str]:
    """Return the system libraries that the archives need, from their metadata."""
    wanted = ["-lz"]
    for archive in decoder.archives:
        for said in prefix.glob(f"lib/**/pkgconfig/lib{archive.removeprefix('lib')}*.pc"):
            text = said.read_text(encoding="utf-8")
            wanted += [one for one in ("-lzstd", "-llzma") if one in text or f"lib{one[2:]}" in text]
    return list(dict.fromkeys(wanted))


def _library(library: Library, root: Path) -> str:
    """Build a library and install it below the prefix. Returns its version."""
    done = root / f"{library.name}.version"
    if done.exists():
        return done.read_text(encoding="utf-8")
    source, version = source_of(library, root)
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
    if not (place / "build.ninja").exists():
        call(_configured(library, source, place, prefix), root, variables)
    call(["ninja", "-C", str(place), "install"], root, variables)
    done.write_text(version, encoding="utf-8")
    return version


def _configured(library: Library, source: Path, place: Path, prefix: Path) -> list[str]:
    """Return the command that configures a build directory."""
    settings = {
        "BUILD_SHARED_LIBS": "OFF",
        "CMAKE_INSTALL_PREFIX": prefix,
        "CMAKE_INSTALL_LIBDIR": "lib",
        "CMAKE_PREFIX_PATH": prefix,
        "CMAKE_BUILD_TYPE": "",
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5",
        "LIBRAW_PATH": source.with_name("LibRaw"),  # beside the files for CMake
    }
    options = [f"-D{name}={value}" for name, value in settings.items()]
    return ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(place), *options, *library.options]
