"""Doctor's list of decoders, including the libraries inside the packages."""

from __future__ import annotations

import pytest

from cutoutd.doctor import decoders
from cutoutd.doctor.finding import Level
from cutoutd.process.probe import ProbeResult

OF_PILLOW = {"pillow": "13.0.0", "libtiff": "4.7.2", "dav1d": "1.5.3"}


def answer(**found: dict[str, str]) -> ProbeResult:
    """Return the answer of the process."""
    return ProbeResult(documents=({"decoders": found},), ended=True)


def test_all_decoders_of_this_installation_are_listed_and_free_of_known_holes() -> None:
    """Each library by its name and version."""
    (found,) = decoders.judge(decoders.collect(), ["jpeg", "raw"])
    assert found.level is Level.OK, found
    for library in (
        "libjpeg-turbo",
        "libpng",
        "libtiff",
        "libwebp",
        "libavif",
        "libheif",
        "libde265",
        "aom",
        "dav1d",
        "OpenJPEG",
        "LibRaw",
        "opencv-python-headless",
    ):
        assert f"{library} " in found.seen
    assert "Formats that are read: jpeg, raw" in found.seen


@pytest.mark.parametrize(
    ("package", "library", "version"),
    [
        ("pillow-heif", "libheif", "1.23.0"),
        ("pillow-heif", "libde265", "1.1.0"),
        ("rawpy", "LibRaw", "0.21.4"),
        ("rawpy", "LibRaw", "0.22.1"),
        ("pillow", "libtiff", "4.7.1"),
        ("pillow", "libwebp", "1.3.1"),
    ],
)
def test_a_library_with_known_flaws_is_reported(package: str, library: str, version: str) -> None:
    """With the version that closes them, and the setting that switches the format off."""
    whole, old = decoders.judge(answer(pillow=OF_PILLOW, x={package: "1", library: version}), ["jpeg"])
    assert (whole.level, old.level) == (Level.OK, Level.NOTE)
    assert f"{library} {version}" in old.seen
    assert "[pool] formats" in old.advice


def test_opencvs_decoders_are_listed_and_not_judged() -> None:
    """Of its decoders one is reachable, with files that Pillow's copy of the same library has read."""
    unused = {"opencv-python-headless": "5", "OpenJPEG": "2.5.3"}
    (found,) = decoders.judge(answer(**{"opencv-python-headless": unused}), ["jpeg"])
    assert "OpenJPEG 2.5.3" in found.seen
    assert "uses only OpenJPEG" in found.seen


def test_no_answer_is_a_problem() -> None:
    """As from a package that is half installed."""
    (found,) = decoders.judge(ProbeResult(documents=(), ended=False, why="it ended with code 1"), ["jpeg"])
    assert found.level is Level.PROBLEM
    assert "code 1" in found.seen
