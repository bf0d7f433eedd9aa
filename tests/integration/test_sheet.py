"""The contact sheet: complete and without external resources, for any names and pictures."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import sys
import threading
from html import escape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from cutoutd.cli import app
from cutoutd.clock import Clock
from cutoutd.jobs import JobState, Published, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.sandbox import survey
from cutoutd.settings.schema import PoolSettings
from cutoutd.sheet import page
from cutoutd.sheet.page import SheetEntry
from cutoutd.sheet.thumbnails import SIDE, Thumbnails, ThumbnailsFailError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = '"><script>alert(1)</script><img src=http:x onerror=alert(1)>&.jpg'
HANGS = """
import json, os, sys, time
from cutoutd.process import channel
asked = channel.Receiver(os.dup(0))
asked.receive()
print(json.dumps({"layers": []}), flush=True)
while True:
    line, files = asked.receive()
    if not line: break
    how = os.read(files[0], 10).decode()
    if how == "hang": time.sleep(60)
    if how == "die": sys.exit(1)
    if how == "flood": sys.stdout.write("x" * 3_000_000); sys.stdout.flush()
    print("[]" if how == "lie" else json.dumps({"why": "seen"}), flush=True)
"""


class Strict(HTMLParser):
    """Parses a page, and records every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        """Record text."""
        self.text += data


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A directory with a picture, a cutout, and a file that is neither."""
    Image.new("RGB", (900, 600), (200, 60, 40)).save(tmp_path / "a.jpg")
    cutout = Image.new("RGBA", (600, 900), (10, 200, 30, 0))
    cutout.paste((10, 200, 30, 255), (200, 300, 400, 600))
    cutout.save(tmp_path / "a.png")
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:900])
    (tmp_path / "link.jpg").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo.jpg")
    return tmp_path


@pytest.fixture
def thumbnails(pictures: Path) -> Iterator[Thumbnails]:
    """The real process for thumbnails, confined."""
    with Thumbnails([os.fspath(pictures)], PoolSettings(), required=not survey.gaps()) as thumbnails:
        yield thumbnails


def test_small_pictures_are_small_and_keep_transparency(thumbnails: Thumbnails, pictures: Path) -> None:
    """With their proportions."""
    before, why = thumbnails.of(os.fspath(pictures / "a.jpg"))
    assert why == ""
    with Image.open(io.BytesIO(before)) as small:
        assert (small.format, small.size) == ("WEBP", (SIDE, round(SIDE * 2 / 3)))
    after, _ = thumbnails.of(os.fspath(pictures / "a.png"))
    with Image.open(io.BytesIO(after)) as small:
        assert small.mode == "RGBA"
        assert small.getpixel((5, 5))[3] == 0  # type: ignore[index]
        assert small.getpixel((small.width // 2, small.height // 2))[3] == 255  # type: ignore[index]


@pytest.mark.parametrize("name", ["torn.jpg", "link.jpg", "fifo.jpg", "nowhere.jpg", "../../etc/hostname"])
def test_another_file_has_no_preview_and_a_reason(thumbnails: Thumbnails, pictures: Path, name: str) -> None:
    """The next one has a preview: the process goes on."""
    nothing, why = thumbnails.of(os.fspath(pictures / name))
    assert (nothing, bool(why)) == (b"", True)
    assert thumbnails.of(os.fspath(pictures / "a.jpg"))[0]


def test_nothing_outside_the_folders_is_shown(
    thumbnails: Thumbnails, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing below a link that leads out of them is shown either."""
    outside = tmp_path_factory.mktemp("outside") / "b.jpg"
    outside.write_bytes((pictures / "a.jpg").read_bytes())
    (pictures / "out").symlink_to(outside.parent)
    for path in (outside, pictures / "out" / "b.jpg", pictures / ".." / outside.parent.name / "b.jpg"):
        nothing, why = thumbnails.of(os.fspath(path))
        assert (nothing, bool(why)) == (b"", True)


@pytest.mark.parametrize("how", ["hang", "die", "lie", "flood"])
def test_a_process_that_hangs_dies_or_lies_costs_one_preview(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    """A new process makes the next."""
    monkeypatch.setattr("cutoutd.sheet.thumbnails.ANSWER_S", 1.0)
    for word in (how, "good"):
        (tmp_path / word).write_text(word, encoding="ascii")
    command = (sys.executable, "-c", HANGS)
    with Thumbnails([str(tmp_path)], PoolSettings(), required=False, command=command) as thumbnails:
        assert thumbnails.of(str(tmp_path / how))[0] == b""
        assert thumbnails.of(str(tmp_path / "good")) == (b"", "seen")


def test_a_process_that_does_not_start_is_reported(tmp_path: Path) -> None:
    """Instead of a sheet without pictures."""
    (tmp_path / "x").touch()
    command = (sys.executable, "-c", "raise SystemExit(1)")
    with (
        Thumbnails([str(tmp_path)], PoolSettings(), required=False, command=command) as thumbnails,
        pytest.raises(ThumbnailsFailError),
    ):
        thumbnails.of(str(tmp_path / "x"))


def test_hostile_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    """No foreign tag, only data: sources, and a content security policy."""
    entry = SheetEntry(
        name=HOSTILE, state="failed", note=HOSTILE, before=b"RIFFx", after=b"", after_note=HOSTILE
    )
    text = "".join(page.render(HOSTILE, HOSTILE, [entry] * 3))
    read = Strict(text)
    assert {tag for tag, _ in read.tags} <= {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "p",
        "main",
        "figure",
        "div",
        "img",
        "figcaption",
        "br",
        "span",
    }
    assert read.text.count(HOSTILE) >= 3 * 2 + 2
    for tag, attributes in read.tags:
        assert not any(name.startswith("on") for name in attributes)
        if tag == "img":
            assert (attributes["src"] or "").startswith("data:image/webp;base64,")
    assert "default-src 'none'" in text
    assert not re.search(r"(?:src|href)=.?https?:|url\(", text.replace(escape(HOSTILE), ""))
    assert tmp_path.exists()


def test_a_sheet_shows_each_newest_picture_of_the_folder(
    pictures: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before and after; failed ones with their reason; written completely, or not at all."""
    state = tmp_path_factory.mktemp("state")
    (pictures / "out").mkdir()
    (pictures / "a.png").rename(pictures / "out" / "a.png")
    journal = Journal(state, session="r", clock=Clock())
    good, bad, _ = journal.sources.accept(
        "shop", [Version(path=name, size=1, mtime_ns=1) for name in ("a.jpg", "torn.jpg", "waits.jpg")]
    )
    job = Reader(journal.store).job(good)
    assert job is not None
    published = (Published(rendition=0, path="a.png", sha256="s", review=False),)
    journal.finish_publishing(
        job, JobState.DONE, sha256="s", published=published, detail={"seconds": 1.25, "score": 0.875}
    )
    journal.queue.finish(bad, JobState.FAILED, detail={"failure": {"cause": "it is cut short"}})
    journal.close()
    config = pictures / "c.toml"
    config.write_text(
        f'[service]\nstate_dir = "{state}"\n[[folder]]\nname = "shop"\ninput = "{pictures}"\noutput = "{pictures}/out"\n'
    )
    target = pictures / "sheet.html"
    monkeypatch.setattr(
        sys, "argv", ["cutoutd", "sheet", "shop", "--config", str(config), "--to", str(target)]
    )
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 0
    assert "2 pictures" in capsys.readouterr().out
    read = Strict(target.read_text(encoding="utf-8"))
    images = [attributes["src"] or "" for tag, attributes in read.tags if tag == "img"]
    assert len(images) == 2
    for source in images:
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as small:
            small.load()
    assert "it is cut short" in read.text
    assert "done, score 0.88: cut in 1.2 s" in read.text
    assert "waits.jpg" not in read.text
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_the_least_certain_pictures_come_first_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sheet states this order."""
    journal = Journal(tmp_path, session="r", clock=Clock())
    for name, score in (("sure.jpg", 0.99), ("unsure.jpg", 0.3), ("between.jpg", 0.7)):
        (number,) = journal.sources.accept("shop", [Version(path=name, size=1, mtime_ns=1)])
        journal.queue.finish(number, JobState.DONE, detail={"score": score})
    journal.close()
    config, target = tmp_path / "c.toml", tmp_path / "s.html"
    config.write_text(
        f'[service]\nstate_dir = "{tmp_path}"\n[[folder]]\nname = "shop"\ninput = "/nowhere/in"\noutput = "/nowhere/out"\n'
    )
    words = ["sheet", "shop", "--config", str(config), "--to", str(target), "--sort", "score"]
    monkeypatch.setattr(sys, "argv", ["cutoutd", *words])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert (ended.value.code, "3 pictures" in capsys.readouterr().out) == (0, True)
    text = Strict(target.read_text(encoding="utf-8")).text
    places = [text.index(name) for name in ("score 0.30", "score 0.70", "score 0.99")]
    assert places == sorted(places)
    assert "the least certain first" in text


def test_a_sheet_is_in_the_order_of_names_and_explains_the_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a person knows a shoot; before, it was in the order of arrival. Doubtful pictures can be selected."""
    journal = Journal(tmp_path, session="r", clock=Clock())
    for name, doubtful in (("DSC_12.jpg", {}), ("DSC_3.jpg", {"doubtful": True}), ("DSC_100.jpg", {})):
        (number,) = journal.sources.accept("shop", [Version(path=name, size=1, mtime_ns=1)])
        journal.queue.finish(number, JobState.DONE, detail={"score": 0.7, **doubtful})
    journal.close()
    config, target = tmp_path / "c.toml", tmp_path / "s.html"
    config.write_text(
        f'[service]\nstate_dir = "{tmp_path}"\n[[folder]]\nname = "shop"\ninput = "/nowhere/in"\noutput = "/nowhere/out"\n'
    )
    for extra, shown in (((), ["DSC_3.jpg", "DSC_12.jpg", "DSC_100.jpg"]), (("--doubtful",), ["DSC_3.jpg"])):
        words = ["sheet", "shop", "--config", str(config), "--to", str(target), *extra]
        monkeypatch.setattr(sys, "argv", ["cutoutd", *words])
        with pytest.raises(SystemExit) as ended:
            app.main()
        assert (ended.value.code, capsys.readouterr().err) == (0, "")
        text = Strict(target.read_text(encoding="utf-8")).text
        assert re.findall(r"DSC_\d+\.jpg", text) == shown
        assert "0 to 1; doubtful below 0.6" in text


def test_each_folder_has_a_sheet_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of the doubtful ones; one file for all of them has to be about a named folder."""
    (tmp_path / "state").mkdir(mode=0o700)
    journal = Journal(tmp_path / "state", session="r", clock=Clock())
    for folder, doubtful in (("shop", {"doubtful": True}), ("studio", {"doubtful": True}), ("sure", {})):
        (number,) = journal.sources.accept(folder, [Version(path=f"{folder}.jpg", size=1, mtime_ns=1)])
        journal.queue.finish(number, JobState.DONE, detail={"score": 0.7, **doubtful})
    journal.close()
    config = tmp_path / "c.toml"
    config.write_text(
        f'[service]\nstate_dir = "{tmp_path}/state"\n'
        + "".join(
            f'[[folder]]\nname = "{name}"\ninput = "/nowhere/{name}"\noutput = "/nowhere/{name}-out"\n'
            for name in ("shop", "studio", "sure")
        )
    )
    monkeypatch.chdir(tmp_path)
    for extra, code in (((), 0), (("--to", "all.html"), 2)):
        monkeypatch.setattr(sys, "argv", ["cutoutd", "sheet", "--doubtful", "--config", str(config), *extra])
        with pytest.raises(SystemExit) as ended:
            app.main()
        assert ended.value.code == code
    assert "No picture of sure matches" in capsys.readouterr().out
    assert sorted(one.name for one in tmp_path.glob("*.html")) == [
        "shop-doubtful.html",
        "studio-doubtful.html",
    ]
    assert "studio.jpg" in Strict((tmp_path / "studio-doubtful.html").read_text(encoding="utf-8")).text


def test_pictures_that_had_one_name_after_another_are_each_beside_their_own_cutout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By their bytes, if originals are moved. Before, the first original stood beside the last cutout."""
    (tmp_path / "state").mkdir(mode=0o700)
    for name in ("in", "out", "originals"):
        (tmp_path / name).mkdir()
    journal = Journal(tmp_path / "state", session="r", clock=Clock())
    colours = ("red", "lime", "blue")
    for number, colour in enumerate(colours, 1):
        tail = "" if number == 1 else f"-{number}"
        original = tmp_path / "originals" / f"a{tail}.jpg"
        for file in (original, tmp_path / "out" / f"a{tail}.png"):
            Image.new("RGB", (32, 32), colour).save(file)
        digest = hashlib.sha256(original.read_bytes()).hexdigest()
        (job_id,) = journal.sources.accept("shop", [Version(path="a.jpg", size=number, mtime_ns=number)])
        job = Reader(journal.store).job(job_id)
        assert job is not None
        published = (Published(rendition=0, path=f"a{tail}.png", sha256="s", review=False),)
        journal.finish_publishing(job, JobState.DONE, sha256=digest, published=published, detail={})
        journal.removed_original(job)
    (failed,) = journal.sources.accept("shop", [Version(path="poster.psd", size=1, mtime_ns=1)])
    journal.queue.finish(failed, JobState.FAILED, detail={"failure": {"cause": "a Photoshop document"}})
    (tmp_path / "in" / "poster.psd").write_bytes(b"8BPS" * 9)
    journal.close()
    config, target = tmp_path / "c.toml", tmp_path / "s.html"
    config.write_text(
        f'[service]\nstate_dir = "{tmp_path}/state"\n[[folder]]\nname = "shop"\ninput = "{tmp_path}/in"\n'
        f'output = "{tmp_path}/out"\noriginals = "move"\noriginals_dir = "{tmp_path}/originals"\n'
    )
    monkeypatch.setattr(sys, "argv", ["cutoutd", "sheet", "--config", str(config), "--to", str(target)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 0, capsys.readouterr()
    read = Strict(target.read_text(encoding="utf-8"))
    seen = []
    for tag, attributes in read.tags:
        if tag == "img":
            data = base64.b64decode((attributes["src"] or "").partition(",")[2])
            with Image.open(io.BytesIO(data)) as small:
                pixel = small.convert("RGB").getpixel((16, 16))
            assert isinstance(pixel, tuple)
            seen.append("red" if pixel[0] > 200 else "lime" if pixel[1] > 200 else "blue")
    assert seen == [colour for colour in colours for _ in range(2)]
    assert "the original is gone" not in read.text
    assert "it cannot be shown" in read.text


def _umask() -> int:
    """Return the umask of this process."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_share_that_does_not_answer_costs_its_pictures_alone(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sheet is made; the share is waited for once, not for each picture."""
    hangs = threading.Event()
    asked: list[object] = []

    def hanging(entry: object) -> None:
        asked.append(entry)
        hangs.wait(60)

    monkeypatch.setattr("cutoutd.previews.file_reader.open_regular", hanging)
    monkeypatch.setattr("cutoutd.sheet.thumbnails.ANSWER_S", 0.2)
    with Thumbnails(
        [str(pictures)], PoolSettings(), required=False, command=(sys.executable, "-c", HANGS)
    ) as making:
        for name in ("a.jpg", "a.png", "a.jpg"):
            assert making.of(str(pictures / name)) == (b"", "its disk or share does not answer")
    hangs.set()
    assert len(asked) == 1
