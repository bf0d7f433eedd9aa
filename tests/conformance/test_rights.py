"""Creator, copyright and terms of use stay by default, and the place is removed, in every output format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.formats.decode import decode
from cutoutd.recipe import Format, Metadata
from tests.conformance.exiftool import exiftool, write_tags
from tests.conformance.renderings import rendered

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.pipeline.renditions import Stage

KINDS = [one.value for one in Format]

IN_EXIF = (
    "-EXIF:Artist=Zoë Example",
    "-EXIF:Copyright=© Zoë Example",
    "-EXIF:DateTimeOriginal=2026:03:01 12:00:00",
)
IN_IPTC = (
    *("-IPTC:CodedCharacterSet=UTF8", "-IPTC:By-line=Zoë Example", "-IPTC:CopyrightNotice=© Zoë Example"),
    *("-IPTC:Credit=Example Agency", "-IPTC:DateCreated=2026:03:01", "-IPTC:TimeCreated=12:00:00+01:00"),
)
IN_XMP = (
    *("-XMP-dc:Creator=Zoë Example", "-XMP-dc:Rights=© Zoë Example", "-XMP-photoshop:Credit=Example Agency"),
    *(
        "-XMP-xmpRights:UsageTerms=Ask first",
        "-XMP-xmpRights:Marked=True",
        "-XMP-photoshop:DateCreated=2026:03:01",
    ),
    *("-XMP-iptcCore:CreatorWorkEmail=zoe@example.org", "-XMP-cc:License=https://example.org/l"),
)
PLACES = (
    *(
        "-EXIF:GPSLatitude=52.5",
        "-EXIF:GPSLatitudeRef=N",
        "-XMP-exif:GPSLatitude=52.5",
        "-XMP-photoshop:City=Berlin",
    ),
    *("-XMP-iptcExt:LocationCreatedCity=Berlin", "-XMP-iptcCore:Location=Berlin", "-IPTC:City=Berlin"),
    *("-IPTC:Sub-location=Berlin", "-IPTC:Caption-Abstract=In Berlin", "-XMP-dc:Description=In Berlin"),
)


def with_metadata(directory: Path, kind: str, *said: str) -> bytes:
    """Return a picture with this metadata, written by exiftool."""
    file = directory / f"source.{kind}"
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(file)
    write_tags(file, *said)
    return file.read_bytes()


def results(data: bytes, directory: Path, policy: Metadata) -> dict[str, tuple[bytes, dict[str, Any], Stage]]:
    """Return the cutout in each format: its bytes, what exiftool finds, and the stage's report."""
    picture = decode(data, max_pixels=10_000)
    files, stages = [], []
    for kind in KINDS:
        (directory / kind).mkdir()
        file, stage = rendered(picture, directory / kind, policy, format=kind)
        files.append(file)
        stages.append(stage)
    options = ("-json", "-G1", "-a", "-struct", "-all")
    found = json.loads(exiftool(*options, *map(str, files)))
    return {
        kind: (file.read_bytes(), tags, stage)
        for kind, file, tags, stage in zip(KINDS, files, found, stages, strict=True)
    }


@pytest.mark.parametrize("source", ["jpg", "tif", "png", "webp", "avif"])
@pytest.mark.parametrize("where", ["EXIF", "IPTC", "XMP"])
def test_the_rights_stay_and_the_place_goes(source: str, where: str, tmp_path: Path) -> None:
    """Wherever the rights stood, creator and copyright are found in EXIF and in XMP of each format; no byte tells the place."""
    if where == "IPTC" and source in ("webp", "avif"):
        pytest.skip("the format has no place for IPTC")
    tags = {"EXIF": IN_EXIF, "IPTC": IN_IPTC, "XMP": IN_XMP}[where]
    data = with_metadata(tmp_path, source, *tags, *PLACES)
    for content, found, stage in results(data, tmp_path, Metadata.NO_LOCATION).values():
        assert [found["IFD0:Artist"]] == found["XMP-dc:Creator"] == ["Zoë Example"]
        assert found["IFD0:Copyright"] == found["XMP-dc:Rights"] == "© Zoë Example"
        if where != "EXIF":
            assert found["XMP-photoshop:Credit"] == "Example Agency"
            assert found["XMP-photoshop:DateCreated"].startswith("2026:03:01")
        else:
            assert found["ExifIFD:DateTimeOriginal"] == "2026:03:01 12:00:00"
        if where == "XMP":
            assert found["XMP-xmpRights:UsageTerms"] == "Ask first"
            assert found["XMP-xmpRights:Marked"] is True
            assert found["XMP-iptcCore:CreatorContactInfo"]["CiEmailWork"] == "zoe@example.org"
            assert found["XMP-cc:License"] == "https://example.org/l"
        assert b"Berlin" not in content
        assert not any("GPS" in name for name in found)
        assert "XMP: photoshop:City" in stage.dropped
        assert "EXIF: GPS" in stage.dropped
        if source in ("jpg", "tif"):
            assert "IPTC: city" in stage.dropped


@pytest.mark.parametrize("source", ["jpg", "tif", "png"])
def test_keep_keeps_iptc_too(source: str, tmp_path: Path) -> None:
    """All of it, in each format, and exiftool finds it; what only IPTC said of rights is in XMP as well."""
    data = with_metadata(tmp_path, source, *IN_IPTC, *PLACES)
    for content, found, stage in results(data, tmp_path, Metadata.KEEP).values():
        assert found["IPTC:City"] == "Berlin"
        assert found["IPTC:By-line"] == "Zoë Example"
        assert found["IPTC:Caption-Abstract"] == "In Berlin"
        assert found["XMP-dc:Creator"] == ["Zoë Example"]
        assert found["XMP-photoshop:City"] == "Berlin"
        assert found["XMP-iptcExt:LocationCreated"][0]["City"] == "Berlin"
        assert found["GPS:GPSLatitude"].startswith("52 deg 30'")
        assert b"Berlin" in content
        assert stage.dropped == ()


def test_none_keeps_nothing_and_lists_what_was_removed(tmp_path: Path) -> None:
    """Rights are metadata too."""
    data = with_metadata(tmp_path, "jpg", *IN_EXIF, *IN_IPTC, *IN_XMP, *PLACES)
    for content, _, stage in results(data, tmp_path, Metadata.NONE).values():
        for word in ("Zoë", "Berlin", "Example", "2026"):
            assert word.encode() not in content
        assert stage.dropped == ("EXIF", "XMP", "IPTC")
