"""TIFFs of every kind that tifffile and Pillow write: the picture comes back, or the message says what is not supported."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from cutoutd.engine.containers.exif import ExifBlock
from cutoutd.engine.containers.metadata import apply_policy
from cutoutd.engine.formats import tiff_kind
from cutoutd.engine.formats.decode import decode
from cutoutd.errors import LimitError, PictureError
from cutoutd.recipe import Metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture

HEIGHT, WIDTH = 40, 52


def opened(data: bytes) -> Picture:
    """Decode a file."""
    return decode(data, max_pixels=1_000_000, deep=True)


def samples(channels: int, kind: type[Any] = np.uint8) -> NDArray[Any]:
    """Return random samples over all values of a type."""
    top = np.iinfo(kind).max
    return np.random.default_rng(6).integers(0, int(top) + 1, (HEIGHT, WIDTH, channels), kind)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:  # noqa: ANN401 -- tifffile's
    """Return a TIFF written by tifffile."""
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **{"photometric": "rgb", "metadata": None, **options})
    return out.getvalue()


BIG = [{"byteorder": order, "bigtiff": True} for order in "<>"]


@pytest.mark.parametrize("big", BIG)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rowsperstrip": 7},
        {"tile": (16, 32)},
        {"compression": "zlib", "predictor": 2},
        {"compression": "zlib", "planarconfig": "separate"},
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_bigtiff_is_read_in_either_byte_order(
    big: dict[str, Any], options: dict[str, Any], kind: type[Any]
) -> None:
    """Bit for bit, without a warning."""
    pixels = samples(3, kind)
    is_planar = options.get("planarconfig") == "separate"
    found = opened(tiff(np.moveaxis(pixels, 2, 0) if is_planar else pixels, **options, **big))
    assert np.array_equal(found.rgb, np.rint(pixels / (np.iinfo(kind).max / 255)))
    assert found.warnings == ()


@pytest.mark.parametrize("big", BIG)
def test_a_bigtiff_keeps_its_texts_resolution_and_orientation(big: dict[str, Any]) -> None:
    """Its EXIF is that of a plain TIFF, and not called damaged."""
    options = {"extratags": [(274, 3, 1, 6, True)], "resolution": (300, 240), "description": "A cup of tea"}
    found, plain = opened(tiff(samples(3), **big, **options)), opened(tiff(samples(3), **options))
    assert (found.rgb.shape, found.orientation) == ((WIDTH, HEIGHT, 3), 6)
    kept = apply_policy(found.exif, found.xmp, Metadata.KEEP)
    assert kept.warnings == ()
    assert kept.exif is not None
    assert ExifBlock(kept.exif).value(0x010E) == b"A cup of tea\x00"
    assert found.resolution == plain.resolution is not None


@pytest.mark.parametrize("big", BIG)
def test_a_bigtiffs_thumbnail_is_not_taken_for_the_picture(big: dict[str, Any]) -> None:
    """Whether the small version comes first in the chain, or has the picture in a sub-directory."""
    pixels, small = samples(3), samples(3)[::4, ::4]
    chain, tree = io.BytesIO(), io.BytesIO()
    with tifffile.TiffWriter(chain, **big) as writer:
        writer.write(small, photometric="rgb", subfiletype=1)
        writer.write(pixels, photometric="rgb")
    with tifffile.TiffWriter(tree, **big) as writer:
        writer.write(small, photometric="rgb", subfiletype=1, subifds=1)
        writer.write(pixels, photometric="rgb")
    for file in (chain, tree):
        assert np.array_equal(opened(file.getvalue()).rgb, pixels)


@pytest.mark.parametrize("big", BIG)
@pytest.mark.parametrize("subifds", [0, 299])
def test_a_bigtiff_of_many_pages_is_cut_as_its_first(big: dict[str, Any], subifds: int) -> None:
    """Whether they follow each other or lie below the first one."""
    pixels = samples(3)
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **big) as writer:
        writer.write(pixels, photometric="rgb", subifds=subifds, metadata=None)
        for _ in range(299):
            writer.write(pixels[::8, ::8], photometric="rgb", metadata=None)
    found = opened(file.getvalue())
    assert np.array_equal(found.rgb, pixels)
    assert bool(found.warnings) == (subifds == 0)


@pytest.mark.parametrize("order", "<>")
def test_a_bigtiff_of_directories_within_directories_ends(order: str) -> None:
    """Thousands deep, or in a circle: an error or a picture, and soon."""
    for depth, last in ((2000, 0), (3, 16)):
        data = (b"II\x2b\x00" if order == "<" else b"MM\x00\x2b") + struct.pack(f"{order}HHQ", 8, 0, 16)
        for level in range(depth):
            below = last if level == depth - 1 else len(data) + 36
            data += struct.pack(f"{order}QHHQQQ", 1, 330, 18, 1, below, 0)
        with pytest.raises(PictureError) as caught:
            opened(data)
        assert "recursion" not in str(caught.value)


@pytest.mark.parametrize("big", BIG)
def test_a_damaged_bigtiff_is_an_error_or_a_picture(big: dict[str, Any]) -> None:
    """Whatever byte of its directory is changed, and wherever it ends."""
    data = tiff(samples(3)[:6, :6], rowsperstrip=2, **big, extratags=[(330, 16, 1, 16, True)])
    for at in (*range(8, 16), *range(16, len(data), 3)):
        for changed in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
            try:
                opened(changed)
            except PictureError as error:
                assert str(error)  # noqa: PT017 -- either is right


def packed_tiff(pixels: NDArray[Any], bits: int, **tags: tuple[int, ...]) -> bytes:
    """Return an uncompressed TIFF, samples of so many bits one after the other; ``tags`` are named ``t`` and their number."""
    height, width, channels = pixels.shape
    ones = (pixels.reshape(height, -1, 1).astype(np.int64) >> np.arange(bits)[::-1]) & 1
    data = np.packbits(ones.reshape(height, -1).astype(np.uint8), axis=1).tobytes()
    fields = {
        256: (width,),
        257: (height,),
        258: (bits,) * channels,
        259: (1,),
        262: ({1: 1, 3: 2, 4: 5}[channels],),
        273: (8,),
        277: (channels,),
        278: (height,),
        279: (len(data),),
        **{int(name[1:]): value for name, value in tags.items()},
    }
    data += bytes(len(data) % 2)
    lists_at = 8 + len(data) + 2 + 12 * len(fields) + 4
    entries = lists = b""
    for tag, value in sorted(fields.items()):
        stored = struct.pack(f"<{len(value)}I", *value)
        where = stored if len(value) == 1 else struct.pack("<I", lists_at + len(lists))
        lists += b"" if len(value) == 1 else stored
        entries += struct.pack("<HHI", tag, 4, len(value)) + where
    head = b"II\x2a\x00" + struct.pack("<I", 8 + len(data))
    return head + data + struct.pack("<H", len(fields)) + entries + bytes(4) + lists


@pytest.mark.parametrize("bits", range(1, 16))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_number_of_bits_below_16_is_read(bits: int, channels: int) -> None:
    """The largest value is white, and each other one goes to its nearest neighbour of 8 bits, and of 16."""
    top = (1 << bits) - 1
    pixels = np.random.default_rng(7).integers(0, top + 1, (HEIGHT, WIDTH + 1, channels))
    pixels[0, :2] = ((0,), (top,))
    found = opened(packed_tiff(pixels, bits))
    assert np.abs(found.rgb - pixels / top * 255).max() <= 0.51
    assert found.rounded == (f"its {bits}-bit samples were rounded to 8 bits" if bits > 8 else "")
    if bits > 8:
        assert found.deep is not None
        assert np.abs(found.deep - pixels / top * 65535).max() <= 0.5


@pytest.mark.parametrize("bits", [4, 10])
def test_cmyk_of_any_number_of_bits_is_read(bits: int) -> None:
    """As one of 8 bits with the same colours."""
    top = (1 << bits) - 1
    pixels = np.random.default_rng(8).integers(0, top + 1, (HEIGHT, WIDTH, 4))
    plain = opened(packed_tiff(np.rint(pixels / top * 255).astype(int), 8))
    assert np.abs(opened(packed_tiff(pixels, bits)).rgb.astype(int) - plain.rgb).max() <= 1


def test_the_bits_of_a_byte_may_be_reversed() -> None:
    """FillOrder 2, of old scanners' software."""
    pixels = samples(3, np.uint16) >> 6
    data = packed_tiff(pixels, 10, t266=(2,))
    (end,) = struct.unpack_from("<I", data, 4)
    turned = np.packbits(np.unpackbits(np.frombuffer(data[8:end], np.uint8), bitorder="little")).tobytes()
    assert np.array_equal(opened(data[:8] + turned + data[end:]).rgb, opened(packed_tiff(pixels, 10)).rgb)


@pytest.mark.parametrize(
    "options", [{}, {"tile": (16, 32)}, {"compression": "zlib"}, {"compression": "lzma"}]
)
@pytest.mark.parametrize("order", "<>")
def test_16_bits_are_never_truncated(options: dict[str, Any], order: str) -> None:
    """Not in planes, neither of RGB nor of CMYK, nor with associated alpha, and whatever the orientation."""
    turn = {**options, "byteorder": order, "extratags": [(274, 3, 1, 6, True)]}
    wide = samples(4, np.uint16)
    nearest = np.rint(wide / 257)
    planes = opened(tiff(np.moveaxis(wide[..., :3], 2, 0), planarconfig="separate", **turn))
    assert np.array_equal(planes.rgb, np.rot90(nearest[..., :3], -1))
    assert planes.deep is not None
    assert np.array_equal(planes.deep, np.rot90(wide[..., :3], -1))
    cmyk = {"photometric": "separated", **turn}
    ink, plates = opened(tiff(wide, **cmyk)), np.moveaxis(wide, 2, 0)
    assert np.array_equal(opened(tiff(plates, planarconfig="separate", **cmyk)).rgb, ink.rgb)
    wide[..., 3] = 65535
    opaque = opened(tiff(wide, extrasamples=["assocalpha"], **turn))
    assert np.array_equal(opaque.rgb, planes.rgb)
    assert (opaque.orientation, opaque.warnings) == (6, ())


def test_planes_of_16_bits_keep_all_that_the_file_says() -> None:
    """Texts and the warning about pages are those of any TIFF."""
    wide = np.moveaxis(samples(3, np.uint16), 2, 0)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for _ in range(2):
            writer.write(wide, photometric="rgb", planarconfig="separate", description="Tea", metadata=None)
    found = opened(file.getvalue())
    assert found.exif is not None
    assert b"Tea" in found.exif
    assert any("first one" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (9, "JBIG"),
        (34661, "JBIG"),
        (34712, "JPEG 2000"),
        (34887, "LERC"),
        (50002, "JPEG XL"),
        (32908, "Pixar"),
        (64999, "64999"),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_compression_that_the_decoder_lacks_is_named(code: int, name: str, bits: int) -> None:
    """The header decides, at once: the file is intact."""
    with pytest.raises(LimitError, match=f"not supported, because its compression is .*{name}"):
        opened(packed_tiff(samples(3), bits, t259=(code,)))


def test_a_compression_that_libtiff_was_built_without_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow knows it, and libtiff finds out about it over the pixels."""
    data = packed_tiff(samples(3), 8, t259=(50001,))
    try:
        Image.fromarray(samples(3)).save(io.BytesIO(), "TIFF", compression="webp")
    except OSError:
        pass
    else:  # this libtiff has it
        monkeypatch.setattr(tiff_kind, "_has_codec", lambda _code: False)
    with pytest.raises(LimitError, match="WebP"):
        opened(data)


@pytest.mark.parametrize("name", ["lzma", "zstd"])
def test_a_compression_that_libtiff_has_is_read(name: str) -> None:
    """It is not refused for being rare."""
    pixels = samples(3)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF", compression=name)
    assert np.array_equal(opened(file.getvalue()).rgb, pixels)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (np.int16, "signed integers of 16 bits"),
        (np.int32, "signed integers of 32 bits"),
        (np.uint32, "unsigned integers of 32 bits"),
        (np.float16, "floating-point numbers of 16 bits"),
        (np.float32, "floating-point numbers of 32 bits"),
        (np.float64, "floating-point numbers of 64 bits"),
        (np.complex64, "complex numbers of 64 bits"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_that_are_not_read_are_described_in_words(kind: type[Any], words: str, channels: int) -> None:
    """And the advice says what to export."""
    pixels = np.ones((HEIGHT, WIDTH, channels)[: 2 + (channels > 1)], kind)
    with pytest.raises(LimitError, match=words) as caught:
        opened(tiff(pixels, photometric="rgb" if channels > 1 else "minisblack"))
    assert "8 or 16 bits" in caught.value.advice
