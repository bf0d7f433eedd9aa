"""Hostile names and hostile files, and what becomes of each."""

from __future__ import annotations

import base64
import os
import struct
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import picture, small_bench_in

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model


def age(path: Path) -> None:
    """Make a file old enough to be taken at once."""
    os.utime(path, (time.time() - 600,) * 2)


def bomb(side: int) -> bytes:
    """Return a PNG of one colour: a tiny file with a huge picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compressobj(9)
    line = b"\0" * (1 + 3 * side)
    body = b"".join(rows.compress(line) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


NAMES = {
    "space": b"two words.jpg",
    "emoji": "köttbullar 📷.jpg".encode(),
    "newline": b"line\nbreak.jpg",
    "not-utf8": b"not \xff utf-8.jpg",
    "255-bytes": b"x" * 251 + b".jpg",
    "254-bytes-accents": "é".encode() * 125 + b".jpg",
}


def named(sidecar: dict[str, Any]) -> bytes:
    """Return the name of the source in a sidecar, as bytes."""
    source = sidecar["source"]
    found: bytes = (
        base64.b64decode(source["path_bytes"]) if "path_bytes" in source else source["path"].encode()
    )
    return found


@pytest.fixture(scope="module")
def sidecars(tmp_path_factory: pytest.TempPathFactory, small_models_dir: Path) -> list[dict[str, Any]]:
    """The sidecars of one run over files with these names."""
    bench = small_bench_in(tmp_path_factory.mktemp("names"), small_models_dir)
    for hue, name in enumerate(NAMES.values()):
        source = bench.drop("plain.jpg", hue)
        os.rename(source, os.path.join(os.fsencode(bench.input), name))  # noqa: PTH104, PTH118 -- bytes
    done = bench.once()
    assert done.returncode == 0, done.stdout + done.stderr
    pictures = [result for result in bench.results() if result.endswith(".png")]
    assert len(pictures) == len(NAMES)
    assert len(bench.results()) == 2 * len(NAMES)
    return [bench.sidecar(result) for result in bench.results() if result.endswith(".json")]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_is_cut_and_described_in_valid_json(sidecars: list[dict[str, Any]], name: bytes) -> None:
    """Paths are bytes; JSON holds them as text, and as bytes where text cannot represent them."""
    assert [named(sidecar) for sidecar in sidecars].count(name) == 1


def test_one_bad_file_of_each_kind_fails_with_a_reason_and_the_good_one_is_done(bench: Bench) -> None:
    """Originals stay; each failure has its record; the exit code says that some failed."""
    bench.drop("good.jpg")
    whole = (bench.input / "good.jpg").read_bytes()
    bad = {
        "empty.jpg": b"",
        "half.jpg": whole[: len(whole) // 2],
        "text.jpg": b"This is not a picture at all, it is a letter.\n" * 20,
        "document.jpg": b"%PDF-1.7\n" + b"0" * 500,
        "bomb.png": bomb(13000),
    }
    for name, content in bad.items():
        (bench.input / name).write_bytes(content)
        age(bench.input / name)
    done = bench.once()
    assert done.returncode == 1, done.stdout + done.stderr
    assert {f"failed/{name}.error.json" for name in bad} | {"good.png", "good.png.json"} == set(
        bench.results()
    )
    for name, content in bad.items():
        record = bench.sidecar(f"failed/{name}.error.json")
        assert record["schema"] == "cutoutd.error/1"
        assert record["cause"]
        assert record["advice"]
        assert (bench.input / name).read_bytes() == content


def test_entries_that_are_no_files_are_skipped_without_a_hang(bench: Bench) -> None:
    """A directory and a FIFO named .jpg, a link out of the folder, and a letter with a picture's extension."""
    bench.drop("good.jpg")
    (bench.input / "directory.jpg").mkdir()
    os.mkfifo(bench.input / "fifo.jpg")
    outside = bench.root / "private.jpg"
    picture(2).save(outside)
    (bench.input / "link.jpg").symlink_to(outside)
    (bench.input / "letter.txt").write_text("Dear all", encoding="ascii")
    done = bench.once()
    assert done.returncode == 0, done.stdout + done.stderr
    assert bench.results() == ["good.png", "good.png.json"]


def test_files_of_design_programs_are_reported_with_their_kind(bench: Bench) -> None:
    """In the log, in `status`, and as a failure; files that are not pictures in any way appear in log and `status` only."""
    (bench.input / "layers.psd").write_bytes(b"8BPS\x00\x01" + bytes(200))
    (bench.input / "list.pdf").write_bytes(b"%PDF-1.7\n" + bytes(200))
    (bench.input / "clip.mov").write_bytes(b"\x00\x00\x00\x14ftypqt  " + bytes(200))
    for one in bench.input.iterdir():
        age(one)
    done = bench.once()
    assert done.returncode == 1, done.stderr
    status = bench.call("status", *bench.pair()).stdout
    for name, what in (("layers.psd", "a Photoshop document"), ("list.pdf", "a PDF document")):
        assert what in (bench.output / "failed" / f"{name}.error.json").read_text(encoding="utf-8")
        assert done.stderr.count(what) == 1
        assert f"failed: {name} (it is not a picture that can be read here, but seems to be {what})" in status
    assert done.stderr.count("a film") == 1
    assert "clip.mov" in done.stderr


def test_a_corrected_file_takes_its_failure_away(bench: Bench) -> None:
    """The record of a failure exists as long as the failure."""
    (bench.input / "a.jpg").write_bytes(b"")
    age(bench.input / "a.jpg")
    assert bench.once().returncode == 1
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    assert bench.results() == ["a.png", "a.png.json"]


def test_the_type_is_recognised_by_the_first_bytes(bench: Bench) -> None:
    """A PNG named .jpg is cut, and so is a picture without an extension."""
    picture(1).save(bench.input / "really.jpg", format="PNG")
    picture(2).save(bench.input / "nothing", format="PNG")
    age(bench.input / "really.jpg")
    age(bench.input / "nothing")
    assert bench.once().returncode == 0
    assert bench.sidecar("really.png.json")["source"]["format"] == "PNG"
    assert "nothing.png" in bench.results()
