"""Files that independent encoders made come out as the picture they were made of: every kind, turn and colour."""

from __future__ import annotations

import re
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from cutoutd.engine import codepoints, profiles
from cutoutd.engine.decode import decode, header
from cutoutd.errors import LimitError, PictureError
from cutoutd.intake import sniff
from tests.conformance import encoders
from tests.conformance.encoders import CONVERT, HEIGHT, KINDS, WIDTH, Kind, mosaic, pixels, run
from tests.integration.tools import need

if TYPE_CHECKING:
    from cutoutd.engine.picture import Picture


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the encoders get."""
    directory = tmp_path_factory.mktemp("sources")
    encoders.write_sources(directory)
    return directory


def decoded(file: Path) -> Picture:
    """The picture, whatever its size."""
    return decode(file.read_bytes(), max_pixels=1_000_000)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two pictures of the same size."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.int16) - other).mean())


def turned(orientation: int) -> np.ndarray:
    """The source as EXIF's orientation means it, by Pillow's own transposition."""
    image = Image.fromarray(pixels())
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def of_kind(name: str) -> Kind:
    """One of the list."""
    return next(kind for kind in KINDS if kind.name == name)


def made(kind: Kind, sources: Path, directory: Path) -> Path:
    """A file of this kind."""
    if kind.tool is not None:
        need(kind.tool)
    file = directory / f"x{kind.suffix}"
    kind.make(sources, file)
    return file


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_of_file_comes_out_as_its_source(kind: Kind, sources: Path, tmp_path: Path) -> None:
    """Recognised at intake and by the decoder, of the size its header says, and with a word where something changed."""
    file = made(kind, sources, tmp_path)
    data = file.read_bytes()
    found = header(data)
    assert (found.format, found.width, found.height) == (kind.format, WIDTH, HEIGHT)
    assert sniff.kind(data[: sniff.HEAD_BYTES], "x") is sniff.Kind.PICTURE
    assert sniff.kind(b"", file.name) is sniff.Kind.NAMED_LIKE_ONE
    picture = decoded(file)
    wanted = pixels()
    if kind.grey:
        luma = np.rint(wanted @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
        wanted = np.repeat(luma[..., np.newaxis], 3, axis=2)
    assert distance(picture.rgb, wanted) <= kind.tolerance
    assert (picture.alpha is not None) == kind.clear
    if picture.alpha is not None:
        assert distance(picture.alpha, pixels(4)[..., 3]) <= 1
    assert kind.said in " ".join(picture.warnings)
    assert bool(picture.warnings) == bool(kind.said)


@pytest.mark.parametrize(
    ("name", "suffix", "tolerance"),
    [("jpeg", "jpg", 2), ("tiff", "tif", 0), ("png", "png", 0), ("webp", "webp", 2)],
)
def test_each_orientation_that_exiftool_wrote_is_applied(
    sources: Path, tmp_path: Path, name: str, suffix: str, tolerance: float
) -> None:
    """Once."""
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
    """The encoder writes both, and they say the same."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoders.write_heic(tmp_path / "x.heic", pixels(), exif=exif.tobytes())
    picture = decoded(tmp_path / "x.heic")
    assert picture.orientation == orientation
    assert distance(picture.rgb, turned(orientation)) < 1


def test_an_exif_orientation_alone_does_not_turn_a_heic(sources: Path, tmp_path: Path) -> None:
    """As the standard has it, and as other viewers do."""
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
    """Turned against the clock, then mirrored: 0 swaps top and bottom."""
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
    """LibRaw does it."""
    encoders.write_dng(tmp_path / "x.dng", mosaic(pixels()), orientation=orientation)
    picture = decoded(tmp_path / "x.dng")
    assert picture.orientation == orientation
    assert distance(picture.rgb, turned(orientation)) < 1


@pytest.mark.parametrize(
    "name", ["JPEG, baseline", "TIFF, none", "PNG, 8 bits", "WebP, lossless", "AVIF", "HEIC"]
)
def test_the_profile_of_an_rgb_picture_is_kept(name: str, sources: Path, tmp_path: Path) -> None:
    """To the byte, in every format that can hold one."""
    need("exiftool")
    profile = profiles.profile(profiles.DISPLAY_P3, "Display P3")
    (tmp_path / "p3.icc").write_bytes(profile)
    kind = of_kind(name)
    file = made(kind, sources, tmp_path)
    if kind.format in ("AVIF", "HEIC"):  # here the encoder takes it from its source
        run(sources, CONVERT, "opaque.png", "-profile", str(tmp_path / "p3.icc"), str(tmp_path / "x.png"))
        command = {"AVIF": ["avifenc", "-s", "8"], "HEIC": ["heif-enc"]}[kind.format]
        run(tmp_path, *command, "x.png", *(["-o"] if kind.format == "HEIC" else []), file.name)
    else:
        run(tmp_path, "exiftool", "-q", "-overwrite_original", "-icc_profile<=p3.icc", file.name)
    assert decoded(file).icc == profile


def test_cmyk_with_a_profile_is_converted_as_another_program_does_it(sources: Path, tmp_path: Path) -> None:
    """By ImageMagick, which has the same colour engine but code of its own around it."""
    need(CONVERT)
    profile = tmp_path / "cmyk.icc"
    profile.write_bytes(cmyk_profile())
    for suffix in ("jpg", "tif"):
        file, judge = tmp_path / f"x.{suffix}", tmp_path / f"{suffix}.png"
        run(
            sources,
            CONVERT,
            "opaque.png",
            "-colorspace",
            "CMYK",
            "-profile",
            str(profile),
            "-quality",
            "100",
            str(file),
        )
        (tmp_path / "srgb.icc").write_bytes(
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        )
        convert = ["-intent", "Relative", "-black-point-compensation", "-profile", str(tmp_path / "srgb.icc")]
        run(sources, CONVERT, str(file), *convert, f"png24:{judge}")
        picture = decoded(file)
        assert picture.icc is None
        assert "CMYK colours were converted to sRGB" in " ".join(picture.warnings)
        assert distance(picture.rgb, np.asarray(Image.open(judge))) < 1.5
        assert distance(picture.rgb, pixels()) > 10  # the profile was followed


def cmyk_profile() -> bytes:
    """A printer of few colours: its ink is weaker than the rule of thumb has it (lut8, ICC.1:2022, 10.11)."""
    grid, table = 2, b""
    for number in range(grid**4):
        cyan, magenta, yellow, black = (number >> shift & 1 for shift in (3, 2, 1, 0))
        light = np.array([255 - 140 * cyan, 255 - 120 * magenta, 255 - 100 * yellow]) * (1 - 0.7 * black)
        lab = cv2.cvtColor(np.array([[light]], np.float32) / 255, cv2.COLOR_RGB2Lab)[0, 0]
        table += bytes(int(np.clip(value, 0, 255)) for value in (lab[0] * 2.55, lab[1] + 128, lab[2] + 128))
    curve = bytes(range(256))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes((4, 3, grid, 0)) + identity + curve * 4 + table + curve * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\x00" + bytes(78)
    tags, body, at = b"", b"", 128 + 4 + 3 * 12
    for name, content in ((b"desc", text), (b"wtpt", white), (b"A2B0", lut + bytes(-len(lut) % 4))):
        tags += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", 3) + tags + body


@pytest.mark.parametrize("codes", [(1, 13), (12, 13), (9, 14)])
def test_code_points_become_a_profile_of_the_same_meaning(
    sources: Path, tmp_path: Path, codes: tuple[int, int]
) -> None:
    """In AVIF and HEIC; sRGB needs none."""
    need("avifenc")
    primaries, transfer = codes
    run(
        sources,
        "avifenc",
        "-s",
        "8",
        "-y",
        "444",
        "--cicp",
        f"{primaries}/{transfer}/6",
        "opaque.png",
        str(tmp_path / "x.avif"),
    )
    encoders.write_heic(
        tmp_path / "x.heic",
        pixels(),
        color_primaries=primaries,
        transfer_characteristics=transfer,
        matrix_coefficients=6,
    )
    for name in ("x.avif", "x.heic"):
        picture = decoded(tmp_path / name)
        assert (picture.icc is not None) == (primaries != 1)
        assert distance(picture.rgb, pixels()) < 2
        assert picture.warnings == ()


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_brought_into_srgb(tmp_path: Path, transfer: int) -> None:
    """Reference white comes out nearly white, twice as bright light a little brighter, black black; and it is said."""
    need("avifenc")
    white = {16: 148, 18: 191}[transfer]  # of 255, at 203 cd/m2 (ITU-R BT.2408)
    grey = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    grey[:, 32:] = white
    grey[:, 64:] = white + 18
    Image.fromarray(grey).save(tmp_path / "hdr.png")
    run(
        tmp_path,
        "avifenc",
        "-s",
        "8",
        "--min",
        "0",
        "--max",
        "0",
        "-y",
        "444",
        "--cicp",
        f"9/{transfer}/9",
        "hdr.png",
        "x.avif",
    )
    encoders.write_heic(
        tmp_path / "x.heic",
        grey,
        color_primaries=9,
        transfer_characteristics=transfer,
        matrix_coefficients=9,
        full_range_flag=1,
    )
    for name in ("x.avif", "x.heic"):
        picture = decoded(tmp_path / name)
        dark, bright, brighter = (picture.rgb[30, x].astype(int) for x in (8, 48, 88))
        assert dark.max() <= 2
        assert 235 <= bright.min() <= bright.max() <= 250
        assert bright.max() < brighter.min()
        assert np.ptp(bright) <= 2
        assert picture.icc is None
        assert codepoints.NARROWED in picture.warnings


def test_the_preview_of_a_raw_file_says_how_bright_it_is_to_be(tmp_path: Path) -> None:
    """A dark shot whose camera shows it dark stays so; without a preview it is brightened."""
    dark = (pixels() * 0.45).astype(np.uint8)
    encoders.write_nef(tmp_path / "x.nef", mosaic(dark), dark[::2, ::2])
    encoders.write_nef(tmp_path / "y.nef", mosaic(dark), pixels()[::2, ::2])
    as_shown, brighter = decoded(tmp_path / "x.nef").rgb, decoded(tmp_path / "y.nef").rgb
    assert abs(float(np.median(as_shown)) - float(np.median(dark))) < 15
    assert abs(float(np.median(brighter)) - float(np.median(pixels()))) < 15


def test_a_sony_file_is_known_by_its_maker(tmp_path: Path) -> None:
    """The same layout, another name."""
    encoders.write_nef(tmp_path / "x.arw", mosaic(pixels()), pixels()[::8, ::8], maker="SONY")
    picture = decoded(tmp_path / "x.arw")
    assert (picture.format, picture.rgb.shape) == ("ARW", (HEIGHT, WIDTH, 3))
    assert picture.icc == profiles.profile(profiles.SRGB, "sRGB")


def test_a_sensor_without_colours_gives_a_grey_picture(tmp_path: Path) -> None:
    """Some cameras have no filters."""
    light = codepoints.decoded(pixels()[..., 1])
    encoders.write_monochrome_dng(tmp_path / "x.dng", np.rint(light * 65535).astype(np.uint16))
    picture = decoded(tmp_path / "x.dng")
    assert distance(picture.rgb, np.repeat(pixels()[..., 1:2], 3, axis=2)) < 8
    assert np.ptp(picture.rgb, axis=2).max() == 0


def test_a_raw_file_that_claims_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    """Nothing is reserved for it."""
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
    data = made(of_kind(name), sources, tmp_path).read_bytes()
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
    """At every 2 %: an error of ours, with a reason, or the whole picture."""
    data = made(of_kind(name), sources, tmp_path).read_bytes()
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
    data = made(of_kind(name), sources, tmp_path).read_bytes()
    for share in (0.5, 0.75, 0.9):
        at = int(len(data) * share)
        with pytest.raises(PictureError, match="zeros"):
            decode(data[:at] + bytes(len(data) - at), max_pixels=1_000_000)


def test_white_of_16_bits_is_not_made_black(sources: Path, tmp_path: Path) -> None:
    """In JPEG 2000 with colours, with transparency too; grey with transparency is refused rather than read wrongly."""
    need("opj_compress")
    need(CONVERT)
    deep = np.full((HEIGHT, WIDTH, 4), 65535, np.uint16)
    deep[:, :50, :3] = 65400
    for channels in (3, 4):
        cv2.imwrite(str(tmp_path / "x.png"), deep[..., :channels])
        run(tmp_path, "opj_compress", "-i", "x.png", "-o", "x.jp2")
        assert decoded(tmp_path / "x.jp2").rgb.min() >= 254
    grey = [
        "-grayscale",
        "Rec601Luma",
        "-depth",
        "16",
        "-define",
        "png:color-type=4",
        "-define",
        "png:bit-depth=16",
    ]
    run(sources, CONVERT, "clear.png", *grey, str(tmp_path / "grey.png"))
    run(tmp_path, "opj_compress", "-i", "grey.png", "-o", "grey.jp2")
    with pytest.raises(LimitError, match="16 bits"):
        decoded(tmp_path / "grey.jp2")


@pytest.mark.parametrize("what", [b"Exif", b"mime", b"application/rdf+xml"])
def test_a_heic_whose_contents_have_no_readable_names_is_refused(tmp_path: Path, what: bytes) -> None:
    """The binding crashes over them, and would take its worker with it."""
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
    """And nothing else."""
    text = Path(__file__).parent.parent.parent.joinpath("docs", "formats.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| `(.+?)` \|", text, re.MULTILINE)
    assert [row for row in rows if row[0] != "kind"] == [(kind.name, kind.how) for kind in KINDS]
