"""How programs for tethered shooting write a picture into a folder, as far as their source or documentation tells.

docs/operating.md names the sources. Each function writes one picture and returns its final name; pauses stand for the
camera's cable. The suite and `torture.tethered` use it.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = 5
COMMENT = b"\xff\xfe\x00\x12keyword: studio."  # a JPEG comment segment, as a tagging program adds one


def gphoto2(folder: Path, name: str, content: bytes, pause_s: float) -> str:
    """Write in the folder itself: `tmpfileXXXXXX`, renamed, its mode changed, and only then closed."""
    descriptor, draft = tempfile.mkstemp(prefix="tmpfile", dir=folder)
    _pour(content, pause_s, lambda part: os.write(descriptor, part))
    final = folder / name
    final.unlink(missing_ok=True)
    Path(draft).rename(final)
    final.chmod(0o644)
    os.close(descriptor)
    return name


def gphoto2_across_disks(folder: Path, name: str, content: bytes, pause_s: float) -> str:
    """Write with the temporary file on another disk: the final name from the first byte on, in pieces of 8 KiB."""
    descriptor = os.open(folder / name, os.O_CREAT | os.O_WRONLY, 0o644)
    for at in range(0, len(content), 8192):
        os.write(descriptor, content[at : at + 8192])
        time.sleep(pause_s / PARTS)
    os.close(descriptor)
    return name


def digicamcontrol(folder: Path, name: str, content: bytes, pause_s: float) -> str:
    """Copy to the final name, then write keywords into it from another program: two versions within a moment."""
    with (folder / name).open("wb") as file:
        _pour(content, pause_s, file.write)
    time.sleep(pause_s)
    with (folder / name).open("r+b") as file:
        file.write(content[:2] + COMMENT + content[2:])
    return name


def capture_one(folder: Path, name: str, content: bytes, pause_s: float) -> str:
    """Write the picture, and beside it CaptureOne/ with previews and settings that are written again and again."""
    previews = folder / "CaptureOne" / "Cache" / "Thumbnails"
    previews.mkdir(parents=True, exist_ok=True)
    (folder / "CaptureOne" / "Settings166").mkdir(exist_ok=True)
    with (folder / name).open("wb") as file:
        _pour(content, pause_s, file.write)
    for _ in range(2):
        (previews / f"{name}.cot").write_bytes(content)
        (previews / f"{name}.jpg").write_bytes(content)
        (folder / "CaptureOne" / "Settings166" / f"{name}.cos").write_text("<xml/>")
        time.sleep(pause_s / PARTS)
    return name


def lightroom(folder: Path, name: str, content: bytes, pause_s: float) -> str:
    """Write a large file and a JPEG of the same name, the large one first, with settings beside them; here the large one is a TIFF."""
    stem = name.rsplit(".", 1)[0]
    draft = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.save(draft, format="TIFF")
    with (folder / f"{stem}.tif").open("wb") as file:
        _pour(draft.getvalue(), pause_s, file.write)
    with (folder / name).open("wb") as file:
        _pour(content, pause_s, file.write)
    (folder / f"{stem}.xmp").write_text("<x:xmpmeta/>")
    return name


WRITERS: tuple[Callable[[Path, str, bytes, float], str], ...] = (
    gphoto2,
    gphoto2_across_disks,
    digicamcontrol,
    capture_one,
    lightroom,
)


def _pour(content: bytes, pause_s: float, write: Callable[[bytes], object]) -> None:
    """Write a content in parts, with pauses that add up to the given time."""
    size = max(1, len(content) // PARTS)
    for at in range(0, len(content), size):
        write(content[at : at + size])
        time.sleep(pause_s / PARTS)
