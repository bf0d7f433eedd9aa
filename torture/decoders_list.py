"""The libraries that decode pictures: how each is built with only the parts that cutoutd uses, and their harnesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """A library to build.

    Attributes:
        name: name, as in `cutoutd.engine.formats.versions`.
        package: Debian's source package; empty for the one in rawpy.
        options: options for CMake.
    """

    name: str
    package: str = ""
    options: tuple[str, ...] = ()


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoder:
    """A harness, and its parts.

    Attributes:
        source: its file in `harnesses`.
        libraries: libraries in the order in which they are built; linked in reverse.
        archives: names of the static libraries, in the order for the linker.
        suffixes: extensions of files that it reads.
        wheel: package whose libraries cutoutd uses.
        tell: where its authors receive reports of vulnerabilities.
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
}
