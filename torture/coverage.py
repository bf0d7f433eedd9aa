"""Our own parsers under a coverage-guided fuzzer: none may raise an exception that it does not document.

python -m torture.coverage [SECONDS [TARGET...]]     each parser for so long; without a name, all

It needs the group ``fuzz`` (atheris, on Linux). Crashing inputs are kept in ``torture-coverage/`` below the directory for
temporary files: one file a crash, to be made a test.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from torture.figures import Figures, note, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS: Final = 60
ONE_INPUT_S: Final = 10
MEMORY_MB: Final = 2048
LONGEST: Final = 1 << 16


def _png(data: bytes) -> None:
    from cutoutd.engine.containers import png  # noqa: PLC0415 -- imported under the fuzzer, as all below

    png.refuse_damaged_png(data)
    png.without_damaged(data)
    png.before_picture(data)


def _webp(data: bytes) -> None:
    from cutoutd.engine.formats import pillow  # noqa: PLC0415

    pillow.refuse_unfinished_webp(data, 10_000)


def _isobmff(data: bytes) -> None:
    from cutoutd.engine.containers import isobmff  # noqa: PLC0415

    isobmff.still(data)
    isobmff.jp2_profile(data)
    isobmff.refuse_holes(data)


def _exif(data: bytes) -> None:
    from cutoutd.engine.containers import metadata, resolution  # noqa: PLC0415
    from cutoutd.recipe import Metadata  # noqa: PLC0415

    metadata.orientation(data)
    found = resolution.of_exif(data)
    policy = Metadata.KEEP if data[-1:] < b"\x80" else Metadata.NO_LOCATION
    kept = metadata.apply_policy(data, None, policy, derived_from="a" * 64)
    if kept.exif is None:
        return
    exif = metadata.coloured(metadata.resized(kept.exif, 10, 10), is_srgb=False)
    metadata.with_iptc(exif, b"x")
    if found is not None:
        resolution.with_resolution(exif, found, needed=True)


def _metadata_policy(data: bytes) -> None:
    from cutoutd.engine.containers import metadata  # noqa: PLC0415
    from cutoutd.recipe import Metadata  # noqa: PLC0415

    first, _, rest = data.partition(b"@@")
    second, _, third = rest.partition(b"@@")
    metadata.apply_policy(first or None, second or None, Metadata.NO_LOCATION, third or None)


def _iptc(data: bytes) -> None:
    from cutoutd.engine.containers import iptc  # noqa: PLC0415

    iptc.rights_of(data)
    iptc.in_resources(data)
    list(iptc.texts(data))


def _xmp(data: bytes) -> None:
    from cutoutd.engine.containers import xmp  # noqa: PLC0415

    for one in xmp.properties(data) or ():
        xmp.name_of(one)
        xmp.all_text(one)


def _tiff(data: bytes) -> None:
    from cutoutd.engine.formats import tiff_page  # noqa: PLC0415

    tiff_page.raw_format(data)
    tiff_page.picture_first(data)


def _wide_tiff(data: bytes) -> None:
    from cutoutd.engine.formats.wide_tiff import WideTiffSource  # noqa: PLC0415

    source = WideTiffSource(data)
    width, height = source.size
    if width * height < 1 << 20:  # the header check refuses a larger one
        with contextlib.suppress(
            OSError
        ):  # an error of libtiff, which `cutoutd.engine.formats.decode` translates
            source.load()


def _jpeg(data: bytes) -> None:
    from cutoutd.engine.containers import jpeg  # noqa: PLC0415

    jpeg.with_end_marker(data)
    jpeg.refuse_unfinished(data)


def _image_hash(data: bytes) -> None:
    from cutoutd.engine.formats.image_hash import image_sha256  # noqa: PLC0415

    for name in ("JPEG", "PNG", "TIFF", "WEBP", "HEIF", "AVIF"):
        image_sha256(data, name)


def _jpeg2000(data: bytes) -> None:
    from cutoutd.engine.formats import load_samples  # noqa: PLC0415

    load_samples.jpeg2000_depth(data)


def _records(data: bytes) -> None:
    from cutoutd.fs.tree import Entry  # noqa: PLC0415
    from cutoutd.publish.failures import SCHEMA as ERROR  # noqa: PLC0415
    from cutoutd.publish.failures import read_failure  # noqa: PLC0415
    from cutoutd.publish.sidecar import read_sidecar  # noqa: PLC0415

    file = Path(_scratch(), "record.json")
    file.write_bytes(data.replace(b"@", ERROR.encode()))
    read_failure(Entry.at(file))
    read_sidecar(Entry.at(file))


def _marker(data: bytes) -> None:
    from cutoutd.lease import marker  # noqa: PLC0415

    root = _scratch()
    Path(root, marker.NAME).write_bytes(data)
    marker.find(root, network=False)


def _worker(data: bytes) -> None:
    from cutoutd.pool import wire  # noqa: PLC0415

    with contextlib.suppress(wire.WireError):
        wire.decode_message(data)


def _reply(data: bytes) -> None:
    from cutoutd.engine.formats import reply  # noqa: PLC0415
    from cutoutd.exchange.spool import Body  # noqa: PLC0415

    reply.matte(
        data[1:], list(Body)[data[0] % 3] if data else Body.CUTOUT, width=8, height=8, max_pixels=10_000
    )


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "png": _png,
    "webp": _webp,
    "isobmff": _isobmff,
    "exif": _exif,
    "metadata-policy": _metadata_policy,
    "iptc": _iptc,
    "xmp": _xmp,
    "tiff": _tiff,
    "wide_tiff": _wide_tiff,
    "jpeg": _jpeg,
    "image_hash": _image_hash,
    "jpeg2000": _jpeg2000,
    "records": _records,
    "marker": _marker,
    "worker": _worker,
    "reply": _reply,
}

_JSON_SEEDS: Final[dict[str, list[dict[str, object]]]] = {
    "records": [
        {
            "schema": "@",
            "folder": "f",
            "job": 1,
            "source": {"path": "a.jpg", "bytes": 1, "mtime": "2025-01-01T00:00:00Z"},
            "code": "c",
            "title": "t",
            "cause": "c",
            "advice": "a",
            "at": "2025-01-01T00:00:00Z",
        },
        {
            "schema": "cutoutd.sidecar/1",
            "folder": "f",
            "source": {"path": "a.jpg", "bytes": 1, "sha256": "a" * 64, "mtime": "2025-01-01T00:00:00Z"},
            "outputs": [{"path": "a.png", "sha256": "b" * 64}],
            "published_at": "2025-01-01T00:00:00Z",
        },
    ],
    "marker": [
        {
            "schema": "cutoutd.folder/1",
            "uuid": "u",
            "owner": {"host": "h", "run": "r", "term": 1, "challenge": "c"},
        }
    ],
    "worker": [
        {"job": 1, "kind": "unchanged", "report": {"sha256": "a" * 64, "image_sha256": None}},
        {"job": 1, "step": "read"},
        {"ready": {"layers": [], "provider": "cpu", "onnxruntime": "1"}},
    ],
}


def _scratch() -> str:
    return os.environ["TORTURE_SCRATCH"]


def _fuzz(name: str, seconds: int, corpus: str, crashes: str) -> None:
    """Run the fuzzer of one parser; does not return."""
    import atheris  # noqa: PLC0415 -- a tool of this campaign alone

    from cutoutd.errors import CutoutdError  # noqa: PLC0415 -- the promise

    feed = TARGETS[name]
    with atheris.instrument_imports(include=["cutoutd"]), contextlib.suppress(CutoutdError):
        feed(b"")

    def one(data: bytes) -> None:
        try:
            feed(data)
        except CutoutdError:
            return

    arguments = [
        "coverage",
        f"-max_total_time={seconds}",
        f"-timeout={ONE_INPUT_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={LONGEST}",
        f"-artifact_prefix={crashes}/{name}-",
        "-print_final_stats=1",
        corpus,
    ]
    atheris.Setup(arguments, one)
    atheris.Fuzz()


def _seeds(name: str, place: Path) -> Iterator[bytes]:
    """Yield valid files of all kinds, or documents."""
    if name in _JSON_SEEDS:
        yield from (json.dumps(one).encode() for one in _JSON_SEEDS[name])
        return
    from PIL import Image  # noqa: PLC0415 -- not in the process of the fuzzer
    from tests.integration import fuzzing  # noqa: PLC0415 -- likewise

    place.mkdir()
    whole = [data for data in fuzzing.seeds(place).values() if len(data) <= LONGEST]
    yield from whole
    if name in ("exif", "metadata-policy", "iptc", "xmp"):
        exif = Image.Exif()
        exif[0x0112], exif[0x013B], exif[0x8298] = 6, "A", "C"
        yield exif.tobytes()
        yield b"\x1c\x02\x50\x00\x03Ann\x1c\x02\x74\x00\x01c"
        yield b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'


def _run(name: str, seconds: int, root: Path, crashes: Path) -> tuple[dict[str, Any], list[str]]:
    corpus = root / name
    corpus.mkdir()
    for number, seed in enumerate(_seeds(name, root / f"{name}-seeds")):
        (corpus / f"{number}").write_bytes(seed)
    scratch = root / f"{name}-scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "torture.coverage", "--fuzz", name, str(seconds), str(corpus), str(crashes)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=os.environ | {"TORTURE_SCRATCH": os.fspath(scratch)},
        timeout=seconds * 3 + 120,
    )
    said = done.stderr
    runs = re.findall(r"stat::number_of_executed_units:\s*(\d+)", said)
    reached = re.findall(r"cov: (\d+)", said)
    note(
        f"coverage: {name}: {runs or said[-300:]} inputs, {reached[-1:]} places reached, code {done.returncode}"
    )
    wrong = []
    if done.returncode:
        trace = "\n".join((done.stdout + said).splitlines()[:40])
        wrong.append(f"{name}: code {done.returncode}: {trace}")
    return {
        f"{name}: inputs": int(runs[-1]) if runs else 0,
        f"{name}: places": int(reached[-1]) if reached else 0,
    }, wrong


def main() -> int:
    """Run all parsers, or the named ones."""
    if sys.argv[1:2] == ["--fuzz"]:
        _fuzz(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
        return 0
    if importlib.util.find_spec("atheris") is None:
        note("coverage: atheris is not installed: pip install --group fuzz")
        return report(Figures(campaign="coverage", promise="not run: atheris is not installed"))
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    crashes = Path(tempfile.gettempdir(), "torture-coverage")
    crashes.mkdir(exist_ok=True)
    counts: dict[str, Any] = {"seconds each": seconds}
    wrong: list[str] = []
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cutoutd-coverage-") as place:
        for name in sys.argv[2:] or TARGETS:
            told, found = _run(name, seconds, Path(place), crashes)
            counts |= told
            wrong += found
    return report(
        Figures(
            campaign="coverage",
            promise="no parser of ours raises what it does not promise, or takes too long",
            counts=counts | {"seconds": round(time.monotonic() - started_s)},
            violations=tuple(wrong),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
