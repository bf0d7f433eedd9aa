"""Arguments of `cutoutd cut`: which files are cut, where results go, and in which form."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cutoutd.cli.cut import _pictures, _target, _unfinished, background_of, form_of
from cutoutd.cli.desktop import path_of
from cutoutd.cli.inputs import InputPictures, Target, pictures_in, refuse_originals, target_of
from cutoutd.cli.instance import named_path
from cutoutd.errors import UsageError
from cutoutd.events import JobEnded
from cutoutd.jobs import JobState
from cutoutd.recipe import Format
from cutoutd.settings.schema import Settings

JPEG = b"\xff\xd8\xff\xe0" + bytes(80)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a few pictures."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "shoot/b.jpg", "shoot/day 2/c", "shoot/.hidden.jpg", "shoot/cutouts/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(JPEG)
    (tmp_path / "shoot" / "list.txt").write_text("b, c", encoding="ascii")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_pictures_and_folders_are_taken_together_and_each_once(here: Path) -> None:
    """Subfolders included; hidden files, other files and earlier cutouts are skipped."""
    shoot = here / "shoot"
    found = pictures_in([here / "a.jpg", shoot, shoot / "b.jpg", shoot], shoot / "cutouts")
    assert found.files == (here / "a.jpg", shoot / "b.jpg", shoot / "day 2" / "c")
    assert found.folders == (shoot,)
    with pytest.raises(UsageError, match="no picture in this folder"):
        pictures_in([here / "empty"], here / "cutouts")
    with pytest.raises(UsageError, match="no such file"):
        pictures_in([here / "gone"], here / "cutouts")


def test_pictures_of_formats_that_are_not_read_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what they are and what to do; other files of other kinds are not."""
    for name in ("z.tga", "a/logo.sgi", "b.pcx", "c.icns"):
        (here / "empty" / name).parent.mkdir(exist_ok=True)
        (here / "empty" / name).write_bytes(b"anything")
    (here / "empty" / "list.txt").write_text("b, c", encoding="ascii")
    with pytest.raises(UsageError, match=r"logo\.sgi \(an SGI picture\), .* and 1 more.* Export those"):
        pictures_in([here / "empty"], here / "cutouts")
    (here / "empty" / "d.jpg").write_bytes(JPEG)
    with ExitStack() as stack:
        found = _pictures([str(here / "empty")], "cutouts", Settings(), stack)
    assert found.files == (here / "empty" / "d.jpg",)
    said = capsys.readouterr().err
    assert (
        "left out logo.sgi (an SGI picture), b.pcx (a PCX picture), c.icns (an icon) and 1 more; export"
        in said
    )
    assert "list.txt" not in said


def test_cutouts_of_an_earlier_call_are_not_cut_again(here: Path) -> None:
    """Recognised by their sidecars, in any folder and form; a cutout named explicitly is cut."""
    shoot = here / "shoot"
    (shoot / "done" / "web").mkdir(parents=True)
    cutouts = [shoot / "done" / "a.png", shoot / "done" / "web" / "a.jpg"]
    for file in (*cutouts, shoot / "done" / "other.jpg"):
        file.write_bytes(JPEG)
    digest = hashlib.sha256(JPEG).hexdigest()
    document = {
        "schema": "cutoutd.sidecar/1",
        "job": 1,
        "folder": "f",
        "source": {"path": "a.jpg", "bytes": 1, "mtime_ns": 1, "sha256": "0" * 64},
        "outputs": [{"path": name, "sha256": digest} for name in ("a.png", "web/a.jpg")],
    }
    (shoot / "done" / "a.png.json").write_text(json.dumps(document), encoding="utf-8")
    (shoot / "b.jpg.json").write_text("{}", encoding="utf-8")
    found = pictures_in([shoot], here / "elsewhere")
    assert [file.relative_to(shoot).as_posix() for file in found.files] == [
        "b.jpg",
        "cutouts/b.jpg",
        "day 2/c",
        "done/other.jpg",
    ]
    assert found.cutouts == 2
    named = pictures_in([shoot, cutouts[0]], here / "elsewhere")
    assert (cutouts[0] in named.files, named.cutouts) == (True, 1)
    (shoot / "done" / "other.jpg").unlink()
    with pytest.raises(UsageError, match="only cutouts"):
        pictures_in([shoot / "done"], here / "elsewhere")


def test_an_empty_name_is_not_the_current_directory(here: Path) -> None:
    """Such as of a variable that is not set; before, everything in the current directory was cut."""
    assert (here / "a.jpg").is_file()
    with ExitStack() as stack:
        with pytest.raises(UsageError, match="an empty name was given"):
            _pictures(["shoot", ""], "cutouts", Settings(), stack)
        with pytest.raises(UsageError, match="an empty name was given"):
            _pictures(["shoot"], "", Settings(), stack)
        with pytest.raises(UsageError, match="an empty name was given"):
            _target("", 1, stack)
    with pytest.raises(UsageError, match="an empty name was given"):
        named_path("")
    with pytest.raises(UsageError, match="an empty name was given"):
        path_of("")


def test_what_is_no_file_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named pipe in a folder is not waited for; before, it was passed over in silence."""
    os.mkfifo(here / "empty" / "pipe.jpg")
    with pytest.raises(UsageError, match=r"no picture in this folder .* but pipe\.jpg \(a named pipe\)"):
        pictures_in([here / "empty"], here / "cutouts")
    os.mkfifo(here / "shoot" / "pipe.jpg")
    os.mkfifo(here / "shoot" / ".pipe.jpg")
    with ExitStack() as stack:
        found = _pictures([str(here / "shoot")], "shoot/cutouts", Settings(), stack)
    assert [file.name for file in found.files] == ["b.jpg", "c"]
    assert capsys.readouterr().err == "cutoutd: left out pipe.jpg (a named pipe)\n"


def test_a_picture_that_was_neither_cut_nor_given_up_is_named_at_the_end() -> None:
    """Before, `cutoutd cut /proc/self/mem` ended with three zeros and exit code 1, without a reason."""

    def ended(path: str, state: JobState) -> JobEnded:
        return JobEnded(job=1, folder="/in", path=path, state=state, why="a reason")

    events = [
        ended("a.jpg", JobState.RETRY),
        ended("b.jpg", JobState.RETRY),
        ended("a.jpg", JobState.DONE),
        ended("c.jpg", JobState.FAILED),
        ended("d.jpg", JobState.GONE),
    ]
    assert [one.path for one in _unfinished(events)] == ["b.jpg", "d.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_may_not_be_read_is_reported(here: Path) -> None:
    """With the system's reason."""
    (here / "shoot").chmod(0)
    with pytest.raises(UsageError, match="Permission denied"):
        pictures_in([here / "shoot"], here / "cutouts")
    (here / "shoot").chmod(0o700)


@pytest.mark.parametrize(
    ("written", "directory", "name", "output_format"),
    [
        ("cutouts", "cutouts", "", None),
        ("v1.2", "v1.2", "", None),
        ("out.png", ".", "out.png", Format.PNG),
        ("new/out.JPG", "new", "out.JPG", Format.JPEG),
        ("out.tiff", ".", "out.tiff", Format.TIFF),
        ("out.png/", "out.png", "", None),
        ("called.png", "called.png", "", None),
    ],
)
def test_a_name_that_ends_like_a_picture_is_a_file(
    here: Path, written: str, directory: str, name: str, output_format: Format | None
) -> None:
    """Unless it ends in a slash, or a folder of that name exists."""
    (here / "called.png").mkdir()
    assert target_of(written, 1) == Target(directory=here / directory, name=name, format=output_format)


@pytest.mark.parametrize(
    ("written", "count", "expected"),
    [("out.png", 2, "the name of one file, and there are 2 pictures"), ("out.gif", 1, "never a GIF file")],
)
def test_an_impossible_output_file_is_refused(here: Path, written: str, count: int, expected: str) -> None:
    """Before any picture is cut."""
    with pytest.raises(UsageError, match=expected):
        target_of(str(here / written), count)


def test_no_picture_is_replaced_by_its_cutout(here: Path) -> None:
    """Neither by an equal name, nor with the option to replace files."""
    pictures = InputPictures(files=(here / "a.jpg",))
    with pytest.raises(UsageError, match="the picture itself"):
        refuse_originals(Target(directory=here, name="a.jpg"), pictures, overwrite=True)
    with pytest.raises(UsageError, match="lie there themselves"):
        refuse_originals(Target(directory=here), pictures, overwrite=True)
    refuse_originals(Target(directory=here), pictures, overwrite=False)
    refuse_originals(Target(directory=here, name="b.png"), pictures, overwrite=True)


PLACE = Target(directory=Path("/out"))


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ({}, {"format": Format.PNG, "background": "transparent"}),
        ({"format": "jpg"}, {"format": Format.JPEG, "background": "white"}),
        ({"format": "JPEG", "background": "#f5f5f5"}, {"format": Format.JPEG, "background": "#f5f5f5"}),
        ({"format": "tif", "crop": True}, {"format": Format.TIFF, "crop": True}),
        ({"canvas": "2000"}, {}),
        ({"canvas": "2000x1000", "format": "webp", "quality": 80}, {"canvas": "2000x1000", "quality": 80}),
        ({"preset": "amazon"}, {"format": Format.JPEG, "preset": "amazon"}),
    ],
)
def test_options_are_the_keys_of_a_rendition(given: dict[str, Any], becomes: dict[str, Any]) -> None:
    """JPEG is on white, as it has no transparency; extensions select formats."""
    if not becomes:
        with pytest.raises(UsageError, match=r"--canvas: .*2000x2000"):
            form_of(given, PLACE, Settings())
        return
    form = form_of(given, PLACE, Settings())
    assert {key: str(getattr(form, key)) for key in becomes} == {
        key: str(one) for key, one in becomes.items()
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"format": "gif"}, '--format: "gif" is not possible'),
        ({"quality": 101, "format": "webp"}, "--quality: 101"),
        ({"quality": 50}, "--quality: is of no use"),
        ({"background": "#12345"}, "--background"),
        ({"background": "gone.jpg"}, "--background: there is no picture"),
        ({"preset": "amazom"}, "--preset"),
    ],
)
def test_a_wrong_option_is_reported_by_its_name(here: Path, given: dict[str, Any], expected: str) -> None:
    """With the allowed values."""
    with pytest.raises(UsageError, match=re.escape(expected)):
        form_of({**dict.fromkeys(("format", "crop")), **given}, Target(directory=here), Settings())


@pytest.mark.parametrize("background", ["gone.jpg", "notes.txt"])
def test_advice_about_a_background_names_no_configuration(here: Path, background: str) -> None:
    """`cutoutd check` looks at a configuration, and knows nothing of the options of `cut`."""
    (here / "notes.txt").write_text("no picture")
    with pytest.raises(UsageError) as raised:
        form_of({"format": "png", "crop": None, "background": background}, Target(directory=here), Settings())
    assert 'a colour such as "white"' in raised.value.advice
    assert "check" not in raised.value.advice


def test_the_name_of_a_file_decides_its_format() -> None:
    """A different format option is an error; the same is allowed."""
    target = Target(directory=PLACE.directory, name="x.webp", format=Format.WEBP)
    assert form_of({"format": "webp"}, target, Settings()).format is Format.WEBP
    assert form_of({}, target, Settings()).format is Format.WEBP
    with pytest.raises(UsageError, match=r"--format png does not go with the name x\.webp"):
        form_of({"format": "png"}, target, Settings())


def test_white_is_a_background() -> None:
    """`--white` cannot be combined with another background."""
    assert background_of(None, white=True) == background_of("white", white=True) == "white"
    assert background_of("red", white=False) == "red"
    with pytest.raises(UsageError, match="--white and --background"):
        background_of("red", white=True)


@pytest.mark.parametrize(
    "output", ["../shoot/cutouts", "{here}/link/cutouts", "~/shoot/cutouts", "link/cutouts"]
)
def test_earlier_cutouts_are_left_out_however_their_folder_is_written(
    here: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    """Through a link, .. or ~: a second call does not cut the first one's cutouts."""
    (here / "link").symlink_to(here / "shoot")
    (here / "elsewhere").mkdir()
    if output.startswith(".."):
        monkeypatch.chdir(here / "elsewhere")
    monkeypatch.setenv("HOME", str(here))
    with ExitStack() as stack:
        found = _pictures([str(here / "link")], output.format(here=here), Settings(), stack)
    assert found.files == (here / "shoot" / "b.jpg", here / "shoot" / "day 2" / "c")
