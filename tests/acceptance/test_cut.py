"""`cutoutd cut` as people type it: with folders, a file name, standard input and output."""

from __future__ import annotations

import subprocess
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.acceptance.terminals import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model  # the matte is of no concern here


def is_tiff(path: Path) -> bool:
    """Return whether a file is a TIFF."""
    with Image.open(path) as image:
        return image.format == "TIFF"


def test_folders_are_cut_with_the_given_options(bench: Bench) -> None:
    """Sub-folders are kept; a picture that could not be cut makes the exit code 1; the last line says how many were cut and where they are."""
    bench.drop("shoot/a.jpg", 0)
    bench.drop("shoot/day 2/b.jpg", 1)
    (bench.input / "shoot" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    options = ("--format", "jpg", "--crop", "--canvas", "400x400", "--quality", "80")
    done = bench.call("cut", bench.input / "shoot", *options, "-o", "here")
    assert done.returncode == 1
    assert "2 cut, 0 to review, 1 failed, in " in done.stdout
    assert f"See {bench.root / 'here'}, {bench.root / 'here' / 'failed'}." in done.stdout
    for name in ("a.jpg", "day 2/b.jpg"):
        with Image.open(bench.root / "here" / name) as cutout:
            assert (cutout.format, cutout.size, cutout.getpixel((0, 0))) == (
                "JPEG",
                (400, 400),
                (255, 255, 255),
            )


def test_a_file_is_written_under_the_given_name(bench: Bench) -> None:
    """The same command replaces it; the file of somebody else stays, unless it may be replaced."""
    bench.drop("a.jpg")
    out = bench.root / "out.tiff"
    for _ in range(2):
        done = bench.call("cut", bench.input / "a.jpg", "-o", out)
        assert done.returncode == 0, done.stderr
        assert f"See {out}." in done.stdout
    assert is_tiff(out)
    assert sorted(one.name for one in bench.root.glob("out*")) == ["out.tiff", "out.tiff.json"]
    out.write_text("mine", encoding="ascii")
    refused = bench.call("cut", bench.input / "a.jpg", "-o", out)
    assert refused.returncode == 1
    assert "out.tiff is there already" in refused.stderr
    assert "0 cut" in refused.stdout
    assert out.read_text(encoding="ascii") == "mine"
    assert bench.call("cut", bench.input / "a.jpg", "-o", out, "--overwrite").returncode == 0
    assert is_tiff(out)


def test_a_picture_is_piped_through(bench: Bench) -> None:
    """Nothing else is printed, and nothing is left; a file that is no picture gives an error and no output."""
    source = bench.drop("a.jpg")
    temporary = bench.root / "tmp"
    temporary.mkdir()
    for given, code in ((source.read_bytes(), 0), (b"no picture", 1), (b"", 2)):
        piped = subprocess.run(
            bench.command("cut", "-"),
            env=bench.environment | {"TMPDIR": str(temporary)},
            cwd=bench.root,
            input=given,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert piped.returncode == code, piped.stderr
        if code == 0:
            assert Image.open(BytesIO(piped.stdout)).mode == "RGBA"
        else:
            assert piped.stdout == b""
            assert b"cutoutd: " in piped.stderr
            assert b"Traceback" not in piped.stderr
    assert not list(temporary.iterdir())
    assert not bench.results()
    with Terminal(bench.command("cut", source, "-o", "-"), bench.environment, bench.root) as terminal:
        terminal.wait_for("the cutout would be written to the terminal")
        assert terminal.end() == 2
