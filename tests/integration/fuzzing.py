"""Files that are damaged on purpose, and workers that must report on every one of them."""

from __future__ import annotations

import io
import os
import random
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from cutoutd.clock import Clock
from cutoutd.engine.colour import icc_build
from cutoutd.jobs import Failure, Report, Task
from cutoutd.pool import wire
from cutoutd.pool.local import LocalPool
from cutoutd.protocols import Files, Finished, Lost
from cutoutd.recipe import Metadata, Recipe
from tests.conformance import encoders
from tests.integration.parts import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.protocols import PoolEvent

MAX_PIXELS: Final = 120_000_000
MEMORY_MB: Final = 3072
TIMEOUT_S: Final = 30.0
IN_FLIGHT_FILES: Final = 4

_RECIPE: Final = Recipe(
    renditions=(), refine=False, decontaminate=False, metadata=Metadata.NONE, review_below=0.0
)
_LIES: Final = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)
_HEAD: Final = 600
_MAGIC: Final = 12


@dataclass(slots=True)
class Outcome:
    """The outcomes of all files.

    Attributes:
        verdicts: number of files by verdict: ``decoded``, or the code of a failure.
        reasons: number of occurrences of each cause, with its figures removed.
        lost: files that killed their worker, with the reason of its end.
        unexplained: files whose failure has no reason, or a wrong one.
        slowest_s: longest time for a verdict, with its file.
        files: number of all files.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    lost: list[tuple[str, str]] = field(default_factory=list)
    unexplained: list[tuple[str, str]] = field(default_factory=list)
    slowest_s: tuple[float, str] = (0.0, "")
    files: int = 0


def seeds(directory: Path) -> dict[str, bytes]:
    """Return one intact file of every kind, by its name."""
    sources = directory / "sources"
    sources.mkdir()
    encoders.write_sources(sources)
    found = {}
    for number, kind in enumerate(encoders.KINDS):
        file = sources / f"{number}{kind.suffix}"
        kind.make(sources, file)
        found[f"{number:02}{kind.suffix}"] = file.read_bytes()
    found |= dict(_with_metadata(sources))
    found |= dict(_like_other_cameras(sources))
    return found


def _with_metadata(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield files with EXIF, XMP and a profile, and one with a second picture behind the first."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    metadata = {"exif": exif.tobytes(), "xmp": b"<x:xmpmeta/>"}
    encoders.write_heic(directory / "told.heic", encoders.pixels(), **metadata, color_primaries=12)
    yield "told.heic", (directory / "told.heic").read_bytes()
    image = Image.fromarray(encoders.pixels())
    icc = icc_build.profile(icc_build.DISPLAY_P3, "Display P3")
    for kind, suffix in (
        ("JPEG", "jpg"),
        ("PNG", "png"),
        ("TIFF", "tif"),
        ("WEBP", "webp"),
        ("AVIF", "avif"),
    ):
        file = io.BytesIO()
        image.save(file, kind, icc_profile=icc, **metadata)
        yield f"told.{suffix}", file.getvalue()
    file = io.BytesIO()
    image.save(file, "MPO", save_all=True, append_images=[image])
    yield "two.mpo", file.getvalue()


def _like_other_cameras(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield files that make LibRaw use its readers for other makers; files of real cameras may not be redistributed."""
    sensor, preview = encoders.mosaic(encoders.pixels()), encoders.pixels()[::8, ::8]
    for suffix, maker, magic in (
        (".orf", "OLYMPUS IMAGING CORP.", b"IIRO"),
        (".rw2", "Panasonic", b"IIU\x00"),
        (".arw", "SONY", None),
        (".pef", "PENTAX", None),
        (".cr2", "Canon", b"CR2"),
    ):
        file = directory / f"camera{suffix}"
        encoders.write_nef(file, sensor, preview, maker=maker)
        data = file.read_bytes()
        if magic == b"CR2":  # what says so stands where the first page does: that goes to the end
            end = len(data)
            data = data[:4] + struct.pack("<I", end) + b"CR\x02\x00" + data[12:] + data[8:400]
        elif magic is not None:
            data = magic + data[4:]
        yield file.name, data
    jpeg = next(kind for kind in encoders.KINDS if kind.name.startswith("JPEG, baseline"))
    jpeg.make(directory, directory / "preview.jpg")
    inner = (directory / "preview.jpg").read_bytes()
    raw = sensor.tobytes()
    head = b"FUJIFILMCCD-RAW 0201FF383501X-T1".ljust(84, b"\0")
    places = (160, len(inner), 160 + len(inner), 28, 160 + len(inner) + 28, len(raw))
    tags = (
        struct.pack(">I", 2) + struct.pack(">HHHH", 0x100, 4, 64, 96) + struct.pack(">HHHH", 0x121, 4, 64, 96)
    )
    yield (
        "camera.raf",
        (head + struct.pack(">6I", *places)).ljust(160, b"\0") + inner + tags.ljust(28, b"\0") + raw,
    )
    boxes = [
        (b"ftyp", b"crx \0\0\0\1crx isom"),
        (b"moov", (directory / "camera.cr2").read_bytes()),
        (b"mdat", raw),
    ]
    yield "camera.cr3", b"".join(struct.pack(">I", len(body) + 8) + name + body for name, body in boxes)


def broken(whole: bytes, other: bytes, dice: random.Random) -> bytes:
    """Return a file damaged in one to four ways; its first bytes mostly stay."""
    data = bytearray(whole)
    for _ in range(dice.choice((1, 1, 1, 2, 2, 4))):
        _break(data, other, dice)
        if len(data) <= _MAGIC:
            break
    if dice.random() < 0.9:
        data[:_MAGIC] = whole[:_MAGIC]
    return bytes(data)


def _break(data: bytearray, other: bytes, dice: random.Random) -> None:
    """Damage the data in one random way at one random place."""
    size = len(data)
    at = dice.randrange(min(size, _HEAD) if dice.random() < 0.5 else size)
    _WAYS[dice.randrange(len(_WAYS))](data, at, other, dice)
    if not data:
        data += b"\0"


def _flip(data: bytearray, _: int, __: bytes, dice: random.Random) -> None:
    """Flip some random bits."""
    for _number in range(dice.choice((1, 1, 4, 30))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _lie(data: bytearray, at: int, _: bytes, dice: random.Random) -> None:
    """Write a false number of two or four bytes, as a header might hold it."""
    order, code = dice.choice("<>"), dice.choice("HII")
    value = dice.choice(_LIES) if dice.random() < 0.7 else dice.randrange(1 << 32)
    number = struct.pack(f"{order}{code}", value & (0xFFFF if code == "H" else 0xFFFFFFFF))
    data[at : at + len(number)] = number


def _byte(data: bytearray, at: int, _: bytes, dice: random.Random) -> None:
    """Set one byte to an extreme value."""
    data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))


def _cut(data: bytearray, _: int, __: bytes, dice: random.Random) -> None:
    """Truncate the data at a random place."""
    del data[dice.randrange(len(data)) :]


def _hole(data: bytearray, at: int, _: bytes, dice: random.Random) -> None:
    """Overwrite a block with zeros."""
    length = min(dice.choice((16, 256, 4096)), len(data) - at)
    data[at : at + length] = bytes(length)


def _splice(data: bytearray, at: int, other: bytes, dice: random.Random) -> None:
    """Overwrite a block with bytes of another file."""
    begin, length = dice.randrange(len(other)), dice.randrange(1, 2000)
    data[at : at + length] = other[begin : begin + length]


def _insert(data: bytearray, at: int, _: bytes, dice: random.Random) -> None:
    """Insert random bytes."""
    data[at:at] = dice.randbytes(dice.choice((1, 4, 64)))


def _drop(data: bytearray, at: int, _: bytes, dice: random.Random) -> None:
    """Remove some bytes."""
    del data[at : at + dice.choice((1, 4, 64))]


def _noise(data: bytearray, at: int, _: bytes, dice: random.Random) -> None:
    """Overwrite a block with random bytes."""
    data[at : at + 64] = dice.randbytes(min(64, len(data) - at))


_WAYS: Final = (_flip, _flip, _byte, _lie, _lie, _lie, _cut, _hole, _splice, _insert, _drop, _noise)


def run(
    directory: Path, files: Iterator[tuple[str, bytes]], *, workers: int = 1, keep: Path | None = None
) -> Outcome:
    """Give files to workers until all have a verdict.

    Args:
        directory: directory for the files, which are removed again.
        files: unique names, and contents.
        workers: number of workers.
        keep: directory for files that killed a worker or were not explained.
    """
    place = directory / "files"
    place.mkdir()
    setup = wire.Setup(
        parent=os.getpid(),
        models=(MODEL,),
        provider="cpu",
        memory_mb=MEMORY_MB,
        nice=0,
        max_pixels=MAX_PIXELS,
        max_file_bytes=1 << 30,
    )
    command = (sys.executable, "-P", os.fspath(Path(__file__).with_name("decoding_worker.py")))
    os.environ.setdefault("PYTHONPATH", os.fspath(Path(__file__).parent.parent.parent))
    pool = LocalPool(
        size=workers, setup=lambda: setup, job_timeout_s=TIMEOUT_S, clock=Clock(), command=command
    )
    outcome = Outcome()
    waiting: dict[int, tuple[Path, float]] = {}
    more = True
    try:
        while more or waiting:
            while more and pool.idle:
                found = next(files, None)
                if found is None:
                    more = False
                    break
                name, content = found
                outcome.files += 1
                file = place / name
                file.write_bytes(content)
                waiting[outcome.files] = (file, time.monotonic())
                opened = os.open(file, os.O_RDONLY)
                pool.submit(_task(outcome.files, file), Files(source=opened), partial(os.close, opened))
            for event in pool.poll(0.5):
                file, started_s = waiting.pop(event.job)
                _note(outcome, file, event, time.monotonic() - started_s, keep)
    finally:
        pool.close()
    return outcome


def _task(job: int, file: Path) -> Task:
    """Return the task of decoding a file."""
    return Task(
        job=job, source=os.fspath(file), size=0, mtime_ns=0, staging="", published_sha256=None, recipe=_RECIPE
    )


def _note(outcome: Outcome, file: Path, event: PoolEvent, took_s: float, keep: Path | None) -> None:
    """Record the verdict on a file; keep a copy if it is interesting."""
    interesting = True
    match event:
        case Lost(why=why, timed_out=timed_out):
            outcome.verdicts["lost"] += 1
            outcome.lost.append((file.name, "time-out" if timed_out else why))
        case Finished(report=report):
            interesting = not _explained(report)
            outcome.verdicts[report.code if isinstance(report, Failure) else "decoded"] += 1
            if interesting:
                outcome.unexplained.append((file.name, getattr(report, "cause", "")))
    outcome.slowest_s = max(outcome.slowest_s, (took_s, file.name))
    if interesting and keep is not None:
        file.rename(keep / file.name)
    else:
        file.unlink()


def _explained(report: Report) -> bool:
    """Return whether a report is a picture, or a failure with a plausible reason."""
    if isinstance(report, Failure):
        return report.code in ("Picture", "Limit") and len(report.cause) > 10
    return True


def mutants(whole: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield a number of damaged files, equally many of each seed file; the same ones for the same random seed."""
    names = sorted(whole)
    for number in range(count):
        name = names[number % len(names)]
        dice = random.Random(f"{seed}/{number}")  # noqa: S311 -- places to break, not secrets
        yield f"{number:06}-{name}", broken(whole[name], whole[dice.choice(names)], dice)
