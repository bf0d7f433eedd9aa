"""Makes small pictures of large ones, in a process of its own that is locked in as a worker is.

Started by `cutoutd.sheet.thumbnails` as ``python -P -m cutoutd.sheet.thumbnailer``. Its first line says its limits; each
further one comes with an opened file, says its SHA-256 if that matters, and is answered with a line: a picture in base64, or
why there is none. It opens and writes no file.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError
from cutoutd.process import channel
from cutoutd.sandbox.confinement import confine_worker, own_code
from cutoutd.sandbox.limits import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SIDE: Final = 320
"""Pixels of the longer side; two of them stand beside each other on half a screen."""

ANOTHER: Final = "another file has its name"
"""Said where a file has not the bytes that were asked for."""

_QUALITY: Final = 82


def main() -> None:
    """Serve until the input ends."""
    asked = channel.Receiver(os.dup(0))
    setup = json.loads(asked.receive()[0])
    die_with_parent(int(setup["parent"]))
    shrink = _shrinker(int(setup["max_pixels"]), setup["formats"])
    layers = confine_worker(
        read=own_code(),
        tasks=asked.fileno(),
        memory_mb=int(setup["memory_mb"]),
        file_bytes=0,
        required=bool(setup["required"]),
    )
    _say({"layers": list(layers)})
    while True:
        line, descriptors = asked.receive()
        if not line:
            return
        sha256 = str(json.loads(line).get("sha256", ""))
        _say(_answer(descriptors[0], sha256, shrink, int(setup["max_file_bytes"])))


def _answer(
    descriptor: int, sha256: str, shrink: Callable[[bytes], bytes], max_file_bytes: int
) -> dict[str, str]:
    try:
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(max_file_bytes + 1)
        if len(data) > max_file_bytes:
            return {"why": "the file is too large"}
        if sha256 and hashlib.sha256(data).hexdigest() != sha256:
            return {"why": ANOTHER}
        return {"webp": base64.b64encode(shrink(data)).decode("ascii")}
    except CutoutdError as error:
        return {"why": error.cause}
    except OSError as error:
        return {"why": error.strerror or "it cannot be read"}
    except MemoryError:
        return {"why": "the picture is too large for the memory"}


def _shrinker(max_pixels: int, formats: list[str]) -> Callable[[bytes], bytes]:
    """What makes a small picture of a file's bytes, with all that it takes loaded."""
    # Not at the top: the parent imports this module's constants, and must load nothing that decodes.
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from PIL import Image, WebPImagePlugin  # noqa: F401, PLC0415

    from cutoutd.engine.formats import decode  # noqa: PLC0415

    cv2.setNumThreads(1)  # a thread of OpenCV's would escape the sandbox

    def shrink(data: bytes) -> bytes:
        picture = decode.decode(data, max_pixels=max_pixels, allowed=formats)
        height, width = picture.rgb.shape[:2]
        factor = max(1.0, max(height, width) / SIDE)
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
        small = cv2.resize(picture.rgb, size, interpolation=cv2.INTER_AREA)
        if picture.alpha is not None:
            alpha = cv2.resize(picture.alpha, size, interpolation=cv2.INTER_AREA)
            small = np.dstack((small, alpha))
        draft = io.BytesIO()
        Image.fromarray(small).save(draft, format="WEBP", quality=_QUALITY)
        return draft.getvalue()

    return shrink


def _say(document: Mapping[str, object]) -> None:
    print(json.dumps(document), flush=True)  # noqa: T201 -- that is what it is for


if __name__ == "__main__":
    main()
