"""The decoders of an installation: the C libraries bundled in its packages, with their versions.

Scanners of packages do not see them. Run as a module it prints them as one JSON document, so that a process that must
not load any of them can ask. It must not decode anything.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

_TURBO: Final = re.compile(rb"libjpeg-turbo version (\d+(?:\.\d+)+)")
_VERSION: Final = re.compile(r"\d+(?:\.\d+)+")
_OF_OPENCV: Final = {
    "JPEG": "libjpeg-turbo",
    "WEBP": "libwebp",
    "AVIF": "libavif",
    "PNG": "libpng",
    "TIFF": "libtiff",
    "JPEG 2000": "OpenJPEG",
}


def bundled() -> dict[str, dict[str, str]]:
    """Return the libraries bundled in each installed package, by the package's name on the index; a version may be empty."""
    found = {}
    for package, look in (
        ("pillow", _of_pillow),
        ("pillow-heif", _of_heif),
        ("rawpy", _of_rawpy),
        ("simplejpeg", _of_simplejpeg),
        ("opencv-python-headless", _of_opencv),
    ):
        with suppress(ImportError, metadata.PackageNotFoundError):
            found[package] = {package: metadata.version(package), **look()}
    return found


def _of_pillow() -> dict[str, str]:
    from PIL import features  # noqa: PLC0415 -- one package that is missing does not hide the others

    names = {
        "libjpeg-turbo": "libjpeg_turbo",
        "libtiff": "libtiff",
        "libwebp": "webp",
        "libavif": "avif",
        "OpenJPEG": "jpg_2000",
        "zlib": "zlib",
        "zlib-ng": "zlib_ng",
        "Little CMS": "littlecms2",
    }
    found = {
        name: features.version(feature) or "" for name, feature in names.items() if features.check(feature)
    }
    with suppress(ImportError, AttributeError):
        from PIL import _avif  # noqa: PLC0415

        for part in _avif.codec_versions().split(", "):  # such as "dav1d [dec]:1.5.3"
            found[part.partition(" ")[0]] = _first(part.rpartition(":")[2])
    return found


def _of_heif() -> dict[str, str]:
    import pillow_heif  # noqa: PLC0415

    info = pillow_heif.libheif_info()
    found = {"libheif": str(info["libheif"])}
    for name, said in {**info["decoders"], **info["encoders"]}.items():
        if name != "mask":  # part of libheif
            found[name] = _first(str(said))
    return found


def _of_rawpy() -> dict[str, str]:
    import rawpy  # noqa: PLC0415

    return {"LibRaw": ".".join(map(str, rawpy.libraw_version))}


def _of_simplejpeg() -> dict[str, str]:
    import simplejpeg  # noqa: PLC0415

    for library in Path(simplejpeg.__file__).parent.glob("_jpeg*.so"):
        if (match := _TURBO.search(library.read_bytes())) is not None:
            return {"libjpeg-turbo": match[1].decode()}
    return {"libjpeg-turbo": ""}


def _of_opencv() -> dict[str, str]:
    import cv2  # noqa: PLC0415

    found = {}
    for line in cv2.getBuildInformation().splitlines():
        name, colon, said = line.partition(":")
        if colon and name.strip() in _OF_OPENCV and " ver " in said.replace("(", " "):
            found[_OF_OPENCV[name.strip()]] = _last(said)
    return found


def _first(text: str) -> str:
    match = _VERSION.search(text)
    return match[0] if match is not None else ""


def _last(text: str) -> str:
    versions = _VERSION.findall(text)
    return str(versions[-1]) if versions else ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"decoders": bundled()}) + "\n")
