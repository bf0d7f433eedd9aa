"""Files by independent encoders match the picture that they were made of: every kind, upright, or refused."""

from __future__ import annotations

import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutoutd import file_signatures
from cutoutd.engine.colour import icc_build
from cutoutd.engine.formats.decode import decode, header
from cutoutd.errors import LimitError, PictureError
from tests.conformance import encoders
from tests.conformance.encoders import CONVERT, HEIGHT, KINDS, WIDTH, Kind, mosaic, pixels, run
from tests.conformance.judging import decoded, distance, encode_kind, of_kind, turned
from tests.integration.tools import need

DEEP_TOLERANCE = 0.55  # of 8 bits' steps: what rounding to them changes, and for raw files their tables


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_of_file_comes_out_as_its_source(kind: Kind, sources: Path, tmp_path: Path) -> None:
    """Intake and decoder recognise the file, its header states its size, and a warning says what changed."""
    file = encode_kind(kind, sources, tmp_path)
    data = file.read_bytes()
    found = header(data)
    assert (found.format, found.width, found.height) == (kind.format, WIDTH, HEIGHT)
    assert file_signatures.kind(data[: file_signatures.HEAD_BYTES], "x") is file_signatures.FileKind.PICTURE
    assert file_signatures.kind(b"", file.name) is file_signatures.FileKind.NAMED_LIKE_ONE
    picture = decoded(file)
    wanted = pixels()
    if kind.grey:
        luma = np.rint(wanted @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
        wanted = np.repeat(luma[..., np.newaxis], 3, axis=2)
    assert distance(picture.rgb, wanted) <= kind.tolerance
    assert (picture.alpha is not None) == kind.clear
    if picture.alpha is not None:
        assert distance(picture.alpha, pixels(4)[..., 3]) <= 1
    warnings = [*picture.warnings, picture.rounded]
    assert kind.said in " ".join(warnings)
    assert any(warnings) == bool(kind.said)
    assert (picture.deep is not None) == (kind.said in {"rounded", "developed"})
    if picture.deep is not None:
        assert picture.deep.dtype == np.uint16
        assert np.abs(picture.deep / 257 - picture.rgb).max() <= DEEP_TOLERANCE


@pytest.mark.parametrize(
    ("name", "suffix", "tolerance"),
    [("jpeg", "jpg", 2), ("tiff", "tif", 0), ("png", "png", 0), ("webp", "webp", 2)],
)
def test_each_orientation_that_exiftool_wrote_is_applied(
    sources: Path, tmp_path: Path, name: str, suffix: str, tolerance: float
) -> None:
    """Each orientation is applied exactly once."""
    need("exiftool")
    need(CONVERT)
    run(sources, CONVERT, "plain.tif", "-quality", "97", f"{name}:{tmp_path}/plain.{suffix}")
    commands: list[str] = []
    for orientation in range(1, 9):
        shutil.copy(tmp_path / f"plain.{suffix}", tmp_path / f"{orientation}.{suffix}")
        commands += [f"-Orientation={orientation}", f"{orientation}.{suffix}", "-execute"]
    run(tmp_path, "exiftool", *commands, "-common_args", "-q", "-n", "-overwrite_original")
    for orientation in range(1, 9):
        picture = decoded(tmp_path / f"{orientation}.{suffix}")
        assert picture.orientation == orientation
        assert distance(picture.rgb, turned(orientation)) <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_by_its_own_properties_and_not_by_its_exif(tmp_path: Path, orientation: int) -> None:
    """The encoder writes both with the same value, and the turn happens once."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoders.write_heic(tmp_path / "x.heic", pixels(), exif=exif.tobytes())
    picture = decoded(tmp_path / "x.heic")
    assert picture.orientation == orientation
    assert distance(picture.rgb, turned(orientation)) < 1


def test_an_exif_orientation_alone_does_not_turn_a_heic(sources: Path, tmp_path: Path) -> None:
    """The standard says so, and other viewers do the same."""
    need("exiftool")
    file = tmp_path / "x.heic"
    encoders.write_heic(file, pixels(), exif=Image.Exif().tobytes())
    run(sources, "exiftool", "-q", "-overwrite_original", "-n", "-Orientation=6", str(file))
    picture = decoded(file)
    assert (picture.orientation, picture.rgb.shape) == (1, (HEIGHT, WIDTH, 3))


@pytest.mark.parametrize("mirror", [None, 0, 1])
@pytest.mark.parametrize("quarters", range(4))
def test_an_avif_is_turned_by_its_own_properties(
    sources: Path, tmp_path: Path, quarters: int, mirror: int | None
) -> None:
    """Rotated counter-clockwise, then mirrored: mirror axis 0 swaps top and bottom."""
    need("avifenc")
    command = ["avifenc", "-s", "8", "--min", "0", "--max", "8", "-y", "444", "--irot", str(quarters)]
    command += [] if mirror is None else ["--imir", str(mirror)]
    run(sources, *command, "opaque.png", str(tmp_path / "x.avif"))
    expected = np.rot90(pixels(), quarters)
    if mirror is not None:
        expected = np.fliplr(expected) if mirror else np.flipud(expected)
    assert distance(decoded(tmp_path / "x.avif").rgb, expected) < 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_raw_file_is_turned_once(tmp_path: Path, orientation: int) -> None:
    """LibRaw applies the orientation."""
    encoders.write_dng(tmp_path / "x.dng", mosaic(pixels()), orientation=orientation)
    picture = decoded(tmp_path / "x.dng")
    assert picture.orientation == orientation
    assert distance(picture.rgb, turned(orientation)) < 1


def test_a_sony_file_is_known_by_its_maker(tmp_path: Path) -> None:
    """The layout is Nikon's, with another maker's name."""
    encoders.write_nef(tmp_path / "x.arw", mosaic(pixels()), pixels()[::8, ::8], maker="SONY")
    picture = decoded(tmp_path / "x.arw")
    assert (picture.format, picture.rgb.shape) == ("ARW", (HEIGHT, WIDTH, 3))
    assert picture.icc == icc_build.profile(icc_build.SRGB, "sRGB")


def test_a_raw_file_that_claims_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    """No memory is allocated for the pixels."""
    file = tmp_path / "x.dng"
    encoders.write_dng(file, mosaic(pixels()))
    data = bytearray(file.read_bytes())
    for tag in (b"\x00\x01", b"\x01\x01"):  # ImageWidth, ImageLength
        at = re.search(tag + b"[\x03\x04]\x00\x01\x00\x00\x00", bytes(data))
        assert at is not None
        data[at.end() : at.end() + 4] = (60_000).to_bytes(4, "little")
    with pytest.raises(LimitError, match="3600 megapixels"):
        decode(bytes(data), max_pixels=120_000_000)


@pytest.mark.parametrize("name", ["HEIC", "AVIF", "JPEG 2000"])
def test_a_picture_that_claims_too_many_pixels_is_refused_by_its_header(
    name: str, sources: Path, tmp_path: Path
) -> None:
    """In the newer formats too: the size is read before anything is decoded."""
    data = encode_kind(of_kind(name), sources, tmp_path).read_bytes()
    honest, lie = (struct.pack(">II", width, height) for width, height in ((WIDTH, HEIGHT), (12_000, 12_000)))
    claimed = (
        data.replace(honest, lie)
        if name != "JPEG 2000"
        else data.replace(struct.pack(">II", HEIGHT, WIDTH), lie).replace(honest, lie)
    )
    assert claimed != data
    with pytest.raises(LimitError, match="144 megapixels"):
        decode(claimed, max_pixels=120_000_000)


@pytest.mark.parametrize("name", ["HEIC", "DNG", "AVIF", "JPEG 2000", "HEIC, 10 bits", "NEF (layout of)"])
def test_the_newer_formats_cut_anywhere_never_give_half_a_picture(
    name: str, sources: Path, tmp_path: Path
) -> None:
    """Truncated at every 2 %: one of our errors with a reason, or the whole picture."""
    data = encode_kind(of_kind(name), sources, tmp_path).read_bytes()
    whole = decode(data, max_pixels=1_000_000).rgb
    failed = given_up = 0
    for percent in range(0, 100, 2):
        try:
            part = decode(data[: len(data) * percent // 100], max_pixels=1_000_000).rgb
        except PictureError as error:
            failed += bool(error.cause)
            given_up += isinstance(error, LimitError)
        else:
            assert np.array_equal(part, whole)
    assert failed >= 48
    assert given_up == 0  # it may only be unfinished


@pytest.mark.parametrize("name", ["HEIC", "HEIC, 10 bits", "HEIC, transparent"])
def test_a_heic_whose_middle_was_never_written_is_refused(name: str, sources: Path, tmp_path: Path) -> None:
    """A copy that was interrupted has zeros where a decoder would make grey of them."""
    data = encode_kind(of_kind(name), sources, tmp_path).read_bytes()
    for share in (0.5, 0.75, 0.9):
        at = int(len(data) * share)
        with pytest.raises(PictureError, match="zeros"):
            decode(data[:at] + bytes(len(data) - at), max_pixels=1_000_000)


@pytest.mark.parametrize("what", [b"Exif", b"mime", b"application/rdf+xml"])
def test_a_heic_whose_contents_have_no_readable_names_is_refused(tmp_path: Path, what: bytes) -> None:
    """Such names crash the binding, which would end the worker."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    encoders.write_heic(tmp_path / "x.heic", pixels(), exif=exif.tobytes(), xmp=b"<x:xmpmeta/>")
    data = (tmp_path / "x.heic").read_bytes()
    at = data.index(what, data.index(b"iinf"))
    with pytest.raises(PictureError, match="list of contents"):
        decode(data[:at] + b"\xff" + data[at + 1 :], max_pixels=1_000_000)


def test_a_heif_file_that_is_not_coded_as_hevc_says_so(sources: Path, tmp_path: Path) -> None:
    """Whatever its brand is."""
    need("avifenc")
    run(sources, "avifenc", "-s", "8", "opaque.png", str(tmp_path / "x.avif"))
    data = (tmp_path / "x.avif").read_bytes()
    with pytest.raises(LimitError, match="coded as AV1"):
        decode(data.replace(b"ftypavif", b"ftypheic").replace(b"avifmif1", b"heicmif1"), max_pixels=1_000_000)


def test_the_documentation_lists_every_kind_with_how_its_file_was_made() -> None:
    """And no others."""
    text = Path(__file__).parent.parent.parent.joinpath("docs", "formats.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| `(.+?)` \|", text, re.MULTILINE)
    assert [row for row in rows if row[0] != "kind"] == [(kind.name, kind.how) for kind in KINDS]
