"""The metadata that each format keeps of a picture, written by exiftool and read back by exiftool."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.formats import decode
from cutoutd.jobs import Task
from cutoutd.pipeline import renditions
from cutoutd.recipe import Format, Metadata, Recipe
from cutoutd.settings.renditions import RenditionSettings
from tests.integration.opened import results_of
from tests.unit.colour_profiles import wide_profile

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.engine.picture import Picture

WRITTEN = (
    "-EXIF:Make=Canon",
    "-EXIF:Model=EOS R5",
    "-EXIF:Artist=Ann Example",
    "-EXIF:Orientation#=6",
    "-EXIF:ExposureTime=1/250",
    "-EXIF:DateTimeOriginal=2026:03:01 12:00:00",
    "-EXIF:ExifImageWidth=60",
    "-EXIF:ExifImageHeight=40",
    "-EXIF:GPSLatitude=52.5",
    "-EXIF:GPSLatitudeRef=N",
    "-EXIF:GPSLongitude=13.4",
    "-EXIF:GPSLongitudeRef=E",
    "-XMP-dc:Creator=Ann Example",
    "-XMP-photoshop:City=Berlin",
    "-XMP-exif:GPSLatitude=52.5",
    "-IPTC:City=Berlin",
)
PLACES = ("GPS", "City", "Berlin", "52.5", "13.4")


@pytest.fixture(scope="module")
def exiftool() -> str:
    """The path of exiftool; without the program the test is skipped, or fails in CI."""
    found = shutil.which("exiftool")
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("exiftool is not installed")
    return found


@pytest.fixture(scope="module")
def picture(exiftool: str, tmp_path_factory: pytest.TempPathFactory) -> Picture:
    """A decoded photo with every kind of metadata."""
    file = tmp_path_factory.mktemp("source") / "photo.jpg"
    pixels = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(file, icc_profile=wide_profile())
    subprocess.run([exiftool, "-q", "-overwrite_original", *WRITTEN, str(file)], check=True)
    return decode.decode(file.read_bytes(), max_pixels=10_000)


def staged(picture: Picture, directory: Path, policy: Metadata, **written: object) -> Path:
    """Write one rendition of the picture; return its path."""
    given: dict[str, Any] = {"background": "white"} if written["format"] == "jpeg" else {}
    wanted = RenditionSettings.model_validate(given | written).rendition()
    recipe = Recipe(renditions=(wanted,), refine=True, decontaminate=True, metadata=policy, review_below=0.0)
    task = Task(
        job=1,
        source="/nowhere",
        size=1,
        mtime_ns=1,
        staging=str(directory),
        published_sha256=None,
        recipe=recipe,
    )
    alpha = np.zeros(picture.rgb.shape[:2], np.uint8)
    alpha[10:50, 10:30] = 255
    with results_of(task) as files:
        stage = renditions.stage(
            task, files, picture, alpha, review=False, max_pixels=100_000, tell=lambda _: None
        )
    assert stage.warnings == ()
    return directory / stage.staged[0].name


Findings = dict[str, tuple[bytes, dict[str, Any]]]
"""A file's bytes, and all that exiftool finds in it by group and name, by ``case format``."""


@pytest.fixture(scope="module")
def findings(exiftool: str, picture: Picture, tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Every format under every policy, cropped, and without metadata, all read by one call of exiftool."""
    bare = replace(picture, icc=None, exif=None, xmp=None, iptc=None, resolution=None)
    cases: dict[str, tuple[Picture, Metadata, bool]] = {
        "keep": (picture, Metadata.KEEP, False),
        "no-location": (picture, Metadata.NO_LOCATION, False),
        "none": (picture, Metadata.NONE, False),
        "cropped": (picture, Metadata.KEEP, True),
        "bare": (bare, Metadata.KEEP, False),
    }
    files = {
        f"{case} {kind.value}": staged(
            source, tmp_path_factory.mktemp("staged"), policy, format=kind.value, crop=crop
        )
        for case, (source, policy, crop) in cases.items()
        for kind in Format
    }
    options = ("-json", "-G1", "-a", "-validate", "-warning", "-error", "-all")
    done = subprocess.run([exiftool, *options, *map(str, files.values())], capture_output=True, check=True)
    return {
        name: (files[name].read_bytes(), found)
        for name, found in zip(files, json.loads(done.stdout), strict=True)
    }


KINDS = [one.value for one in Format]


@pytest.mark.parametrize("kind", KINDS)
def test_keep_keeps_all_of_it(findings: Findings, kind: str) -> None:
    """Camera, exposure, author and place, in EXIF and in XMP; and the profile."""
    _, found = findings[f"keep {kind}"]
    assert (found["IFD0:Make"], found["IFD0:Model"], found["IFD0:Artist"]) == (
        "Canon",
        "EOS R5",
        "Ann Example",
    )
    assert found["ExifIFD:ExposureTime"] == "1/250"
    assert found["ExifIFD:DateTimeOriginal"] == "2026:03:01 12:00:00"
    assert found["GPS:GPSLatitudeRef"] == "North"
    assert found["GPS:GPSLatitude"].startswith("52 deg 30'")
    assert found["XMP-dc:Creator"] == "Ann Example"
    assert found["XMP-photoshop:City"] == "Berlin"
    assert found["ICC_Profile:ProfileDescription"] == "wide"
    assert found.get("IFD0:Orientation", "Horizontal (normal)") == "Horizontal (normal)"


@pytest.mark.parametrize("kind", KINDS)
def test_no_location_keeps_the_camera_and_not_the_place(findings: Findings, kind: str) -> None:
    """Not even in the bytes that no reader shows."""
    content, found = findings[f"no-location {kind}"]
    assert (found["IFD0:Make"], found["IFD0:Artist"]) == ("Canon", "Ann Example")
    assert found["ICC_Profile:ProfileDescription"] == "wide"
    shown = {f"{name}={value}" for name, value in found.items() if not name.startswith(("System", "Source"))}
    assert not any(place in one for one in shown for place in PLACES)
    assert b"Berlin" not in content


@pytest.mark.parametrize("kind", KINDS)
def test_none_keeps_the_profile_alone(findings: Findings, kind: str) -> None:
    """Nothing about camera, person, date or place is kept."""
    content, found = findings[f"none {kind}"]
    assert found["ICC_Profile:ProfileDescription"] == "wide"
    for word in (b"Canon", b"EOS R5", b"Ann Example", b"Berlin", b"2026:03:01"):
        assert word not in content


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_in_the_metadata_is_the_results(findings: Findings, kind: str) -> None:
    """After a crop the size in the metadata is that of the cutout, not the camera's."""
    _, found = findings[f"cropped {kind}"]
    assert (found["ExifIFD:ExifImageWidth"], found["ExifIFD:ExifImageHeight"]) == (20, 40)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_without_metadata_gets_none(findings: Findings, kind: str) -> None:
    """And exiftool reports no error in the file."""
    _, found = findings[f"bare {kind}"]
    assert not any(name.startswith(("ExifIFD", "GPS", "XMP", "ICC")) for name in found)
    # Deflate came with a supplement to TIFF 6.0, which exiftool does not count.
    known = "Invalid value for IFD0 tag 0x0103 Compression" if kind == "tiff" else None
    assert found.get("ExifTool:Warning") == known
