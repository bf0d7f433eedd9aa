"""Cameras' raw files, by LibRaw: developed plainly, with the camera's white balance, at full resolution, as sRGB.

The brightness is matched to the preview that the camera embeds, so that all pictures of a series come out
alike, whatever they show. Imported when the first such file comes, which a worker may do behind its sandbox. It must
not be given files that did not begin like a raw file: LibRaw would look for other formats.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import rawpy
from PIL import Image

from cutoutd.engine.colour import code_points, icc_build
from cutoutd.engine.containers.exif import PREFIX
from cutoutd.engine.formats.colour_space import Colours
from cutoutd.engine.formats.opening import open_picture
from cutoutd.engine.formats.source import Loaded
from cutoutd.engine.samples import Samples
from cutoutd.errors import PictureError
from cutoutd.file_signatures import JPEG

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEVELS: Final = 1 << 16
_ORIENTATION: Final = {0: 1, 3: 3, 5: 8, 6: 6}  # by LibRaw's name of a turn, dcraw's
_UNWRITTEN: Final = bytes(256 << 10)
"""So many zeros end no file: some cameras fill up theirs, but to tens of KiB."""

_MARGIN: Final = 1.25
"""A sensor has more pixels than its picture, but not many more."""

# How brightness is found: on so many pixels a side, between these shares of all pixels, in stops.
_SAMPLE_SIDE: Final = 256
_SHARES: Final = (30, 40, 50, 60, 70)
_DARKEST, _LIGHTEST = -1.0, 4.0
_CLIPPED: Final = 99.0
"""Without a preview: so many of a hundred pixels are darker than white, as dcraw did it."""

_KNEE: Final = 0.9
_MAX_PREVIEW_PIXELS: Final = 60_000_000


class RawSource:
    """A raw file whose header was read.

    Args:
        data: the whole file.
        name: of its format.

    Raises:
        Exception: LibRaw's own, over a file that it does not know.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._raw = rawpy.RawPy()
        self._raw.open_buffer(io.BytesIO(data))
        self._data = data
        self.format = name

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, not yet upright."""
        sizes = self._raw.sizes
        visible, all_of_it = sizes.width * sizes.height, sizes.raw_width * sizes.raw_height
        if all_of_it > visible * _MARGIN:  # it is all of the sensor that takes the memory
            return sizes.raw_width, sizes.raw_height
        return sizes.width, sizes.height

    def load(self) -> Loaded:
        """Develop the raw data.

        Raises:
            PictureError: the file is incomplete.
            Exception: LibRaw's own, over damaged data.
        """
        if self._data.endswith(_UNWRITTEN):
            raise PictureError("it ends in zeros instead of picture data: it was not written to its end")
        with self._raw as raw:
            raw.unpack()
            flip = raw.sizes.flip
            preview, exif = _preview(raw)
            linear: NDArray[Any] = raw.postprocess(
                demosaic_algorithm=rawpy.DemosaicAlgorithm.AHD,
                use_camera_wb=True,
                output_color=rawpy.ColorSpace.sRGB,
                output_bps=16,
                gamma=(1, 1),
                no_auto_bright=True,
            )
        return Loaded(
            samples=_samples(linear, _gain(linear, preview)),
            colours=Colours(icc=icc_build.profile(icc_build.SRGB, "sRGB")),
            exif=exif,
            turned=_ORIENTATION.get(flip, 1),
            warnings=("it was developed from the camera's raw data, as sRGB",),
        )


def _preview(raw: rawpy.RawPy) -> tuple[NDArray[np.uint8] | None, bytes | None]:
    """Return a small version of the camera's preview, and its EXIF; None where there is no usable preview."""
    try:
        found = raw.extract_thumb()
        if found.format is rawpy.ThumbFormat.BITMAP:
            pixels = np.asarray(found.data)
            return pixels[:: _step(pixels), :: _step(pixels)], None
        image = open_picture(JPEG, bytes(found.data)).image
        if image.width * image.height > _MAX_PREVIEW_PIXELS:
            return None, None
        exif: bytes = image.info.get("exif", b"")
        image.draft("RGB", (_SAMPLE_SIDE, _SAMPLE_SIDE))
        small = np.asarray(image.convert("RGB"))
    except Exception:  # noqa: BLE001 -- LibRaw and Pillow raise a dozen kinds; the picture is not lost over its preview
        return None, None
    return small, exif.removeprefix(PREFIX) or None


def _step(pixels: NDArray[Any]) -> int:
    return max(1, int(min(pixels.shape[:2])) // _SAMPLE_SIDE)


def _gain(linear: NDArray[np.uint16], preview: NDArray[np.uint8] | None) -> float:
    """Return the factor that linear light is multiplied by to match the preview."""
    step = _step(linear)
    light = linear[::step, ::step].astype(np.float32) / (_LEVELS - 1)
    if preview is None or preview.size == 0:
        white = float(np.percentile(light.max(axis=2), _CLIPPED))
        return float(2 ** np.clip(-np.log2(max(white, 1e-4)), 0, _LIGHTEST))
    wanted = np.percentile(code_points.decoded(preview).mean(axis=2), _SHARES)
    there = np.percentile(light.mean(axis=2), _SHARES)
    stops = np.median(np.log2(np.maximum(wanted, 1e-4) / np.maximum(there, 1e-4)))
    return float(2 ** np.clip(stops, _DARKEST, _LIGHTEST))


def _samples(linear: NDArray[np.uint16], gain: float) -> Samples:
    light = np.linspace(0, gain, _LEVELS, dtype=np.float32)
    above = _KNEE + (1 - _KNEE) * (1 - np.exp(-(light - _KNEE) / (1 - _KNEE)))
    curve = np.where(light > _KNEE, above, light).astype(np.float32)
    table, deep_table = code_points.encoded(curve), code_points.encoded_deep(curve)
    height, width, channels = linear.shape
    if channels == 1:
        linear = linear[..., 0]  # a sensor without colours
    return Samples(
        mode="L" if channels == 1 else "RGB",
        width=width,
        height=height,
        transparent=False,
        strip=lambda top, bottom: Image.fromarray(table[linear[top:bottom]]),
        wide=lambda top, bottom: deep_table[linear[top:bottom]],
    )
