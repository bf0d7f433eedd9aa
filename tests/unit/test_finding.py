"""The daemon that a command without options addresses, and the pictures that a name means."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.cli import instance
from cutoutd.cli.instance import as_options, find_settings, settings, sharing
from cutoutd.cli.registry import Invocation, entries, registered
from cutoutd.cli.requests import find_jobs
from cutoutd.cli.selection import find_folder
from cutoutd.errors import UsageError
from cutoutd.jobs import JobState, Published, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.settings import loader, places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.conftest import FakeClock

pytestmark = pytest.mark.usefixtures("home")


def daemon(home: Path, name: str, *, at_us: int = 1) -> AbstractContextManager[None]:
    """Register a daemon on a pair of folders of this name while the context is open."""
    pair = (home / name / "in", home / name / "out")
    state_dir = loader.for_pair(*pair, os.environ).service.state_dir
    state_dir.mkdir(parents=True, exist_ok=True)
    return registered(places.registry(), state_dir, Invocation(pair=pair), now_us=at_us)


def configuration(path: Path, state_dir: Path | None = None) -> Path:
    """Write a configuration file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    service = "" if state_dir is None else f'[service]\nstate_dir = "{state_dir}"\n'
    path.write_text(
        f'{service}[[folder]]\nname = "f"\ninput = "/p/in"\noutput = "/p/out"\n', encoding="utf-8"
    )
    return path


def found_input() -> Path:
    """Return the input folder of the daemon that a command without options addresses."""
    return find_settings(None, None, None).folder[0].input


def test_the_configuration_takes_precedence_over_a_running_daemon_and_that_over_the_last_used(
    home: Path,
) -> None:
    """Without any of the three, the message says what was looked for."""
    with pytest.raises(UsageError, match="no configuration"):
        found_input()
    for name, at_us in (("earlier", 1), ("later", 2)):
        with daemon(home, name, at_us=at_us):
            assert found_input() == home / name / "in"
    assert found_input() == home / "later" / "in"
    with daemon(home, "earlier", at_us=0):
        assert found_input() == home / "earlier" / "in"
        configuration(home / "config" / "cutoutd" / "cutoutd.toml")
        assert found_input() == Path("/p/in")


def test_options_take_precedence_over_running_daemons(home: Path) -> None:
    """Running daemons are ignored then."""
    with daemon(home, "a"):
        assert find_settings(None, home / "b", home / "c").folder[0].input == home / "b"
        with pytest.raises(UsageError, match="go together"):
            find_settings(None, home / "b", None)


def test_of_several_that_run_one_is_to_be_chosen(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script needs options, which the message lists; a person at a terminal chooses a number."""
    with daemon(home, "a", at_us=1), daemon(home, "b", at_us=2):
        with pytest.raises(UsageError) as refused:
            found_input()
        assert "--input ~/a/in --output ~/a/out" in str(refused.value)
        assert "--input ~/b/in --output ~/b/out" in str(refused.value)
        answers: Iterator[str] = iter(["00019\n", "x\n", "2\n", "\n"])
        monkeypatch.setattr(sys, "stdin", Terminal(answers))
        monkeypatch.setattr(sys, "stderr", Terminal(answers))
        assert found_input() == home / "a" / "in"
        with pytest.raises(UsageError):
            found_input()


class Terminal:
    """A terminal at which a person gives prepared answers."""

    def __init__(self, answers: Iterator[str]) -> None:
        self._answers = answers

    def isatty(self) -> bool:
        """Return that this is a terminal."""
        return True

    def readline(self) -> str:
        """Return the next answer."""
        return next(self._answers)

    def write(self, text: str) -> int:
        """Discard the text."""
        return len(text)

    def flush(self) -> None:
        """Do nothing."""


def test_the_journal_is_where_the_running_daemon_has_it(home: Path) -> None:
    """Also if the state directory was set for that daemon alone."""
    with registered(places.registry(), home / "s", Invocation(pair=(home / "i", home / "o")), now_us=1):
        assert find_settings(None, None, None).service.state_dir == home / "s"


def test_a_second_configuration_with_the_same_state_directory_is_refused_with_advice(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A renamed copy of the configuration does not count as a second one."""
    first, second = configuration(home / "first.toml"), configuration(home / "second.toml")
    state_dir = settings(first, None, None).service.state_dir
    with registered(places.registry(), state_dir, Invocation(config=first), now_us=1):
        find_settings(first, None, None)
        assert capsys.readouterr().err == ""
        find_settings(second, None, None)
        output = capsys.readouterr().err
        assert "was started with --config ~/first.toml" in output
        assert "set state_dir in [service] in ~/second.toml" in output
        first.unlink()
        assert sharing(state_dir, Invocation(config=second)) is None


def test_folders_are_named_so_that_a_shell_takes_them() -> None:
    """Blanks are quoted, and ~ still means the home directory."""
    home = Path.home()
    assert (
        as_options(Invocation(pair=(home / "to cut", Path("/c d")))) == "--input ~/'to cut' --output '/c d'"
    )


@pytest.fixture
def reader(clock: FakeClock) -> Iterator[Reader]:
    """A reader of a journal with a few pictures."""
    journal = Journal(None, session="r", clock=clock)
    paths = ["girl-1.jpg", "girl-2.jpg", "wedding/girl-2.jpg", "17", "wedding/cafe\u0301.JPG"]
    versions = [Version(path=path, size=1, mtime_ns=number) for number, path in enumerate(paths)]
    journal.sources.accept("in", versions)
    yield Reader(journal.store)
    journal.close()


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("2", "girl-2.jpg"),
        ("girl-1.jpg", "girl-1.jpg"),
        ("girl-1", "girl-1.jpg"),
        ("GIRL-1.JPG", "girl-1.jpg"),
        ("girl-2.jpg", "girl-2.jpg"),
        ("in/girl-2.jpg", "girl-2.jpg"),
        ("wedding/girl-2.jpg", "wedding/girl-2.jpg"),
        ("in/wedding/girl-2.jpg", "wedding/girl-2.jpg"),
        ("pictures/in/girl-1.jpg", "girl-1.jpg"),
        ("caf\u00e9.jpg", "wedding/cafe\u0301.JPG"),
        ("17", "17"),
    ],
)
def test_a_picture_is_selected_by_its_number_or_its_name(
    home: Path, reader: Reader, word: str, path: str
) -> None:
    """As the list shows it, as the shell completes it, or abbreviated from memory."""
    chosen = loader.for_pair(home / "pictures" / "in", home / "out", os.environ)
    (job,) = find_jobs([word, word], reader, chosen, listed_by="cutoutd jobs")
    assert job.path == path


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("girl-3.jpg", "there is no picture 'girl-3.jpg'"),
        ("99", "there is no job 99"),
        ("girl-2", r"2 pictures can be meant by 'girl-2'.*:\n  2  in/girl-2.jpg\n  3  in/wedding/girl-2.jpg"),
    ],
)
def test_a_name_of_none_or_several_is_wrong_usage(
    home: Path, reader: Reader, word: str, expected: str
) -> None:
    """The message lists the candidates."""
    chosen = loader.for_pair(home / "in", home / "out", os.environ)
    with pytest.raises(UsageError, match=expected):
        find_jobs([word], reader, chosen, listed_by="cutoutd jobs")


def test_a_picture_that_was_left_out_is_reported_and_not_cut_by_its_name(
    home: Path, clock: FakeClock
) -> None:
    """A name that matches both halves of a pair means the half that is cut."""
    pair = Journal(None, session="r", clock=clock)
    pair.sources.accept("in", [Version(path=path, size=1, mtime_ns=1) for path in ("a.jpg", "a.nef")])
    pair.queue.finish(2, JobState.SKIPPED, detail={})
    chosen, asked = loader.for_pair(home / "in", home / "out", os.environ), Reader(pair.store)
    for word, number in (("a.nef", 2), ("a", 1)):
        (job,) = find_jobs([word], asked, chosen, listed_by="cutoutd jobs", skipped=True)
        assert job.id == number
    with pytest.raises(UsageError, match=r"no picture 'a\.nef'"):
        find_jobs(["a.nef"], asked, chosen, listed_by="cutoutd jobs")
    pair.close()


def test_of_two_pictures_with_one_name_the_one_awaiting_a_decision_is_meant(
    home: Path, clock: FakeClock
) -> None:
    """For `review accept`; where both wait, the name is ambiguous."""
    journal = Journal(None, session="r", clock=clock)
    versions = [Version(path=f"{one}/wall.jpg", size=1, mtime_ns=1) for one in "xy"]
    journal.sources.accept("in", versions)
    journal.queue.finish(1, JobState.DONE, detail={})
    journal.queue.finish(2, JobState.REVIEW, detail={})
    chosen, asked = loader.for_pair(home / "in", home / "out", os.environ), Reader(journal.store)
    (job,) = find_jobs(["wall.jpg"], asked, chosen, listed_by="x", first=JobState.REVIEW)
    assert job.id == 2
    journal.queue.finish(1, JobState.REVIEW, detail={})
    with pytest.raises(UsageError, match="2 pictures can be meant"):
        find_jobs(["wall.jpg"], asked, chosen, listed_by="x", first=JobState.REVIEW)
    journal.close()


def test_a_picture_is_known_by_the_path_of_its_cutout_while_it_is_cut_again(
    home: Path, clock: FakeClock
) -> None:
    """The cutout is there all that time, whatever the job does now."""
    journal = Journal(None, session="r", clock=clock)
    journal.sources.accept(
        "in", [Version(path="x/a.jpg", size=1, mtime_ns=1), Version(path="b.jpg", size=1, mtime_ns=2)]
    )
    cutout = Published(rendition=0, path="x/a.png", sha256="0" * 64, review=False)
    journal.reservations.record_within("in", "x/a.jpg", source_sha256="1" * 64, published=[cutout])
    chosen = loader.for_pair(home / "in", home / "out", os.environ)
    (job,) = find_jobs([str(home / "out/x/a.png")], Reader(journal.store), chosen, listed_by="cutoutd jobs")
    assert (job.path, job.state) == ("x/a.jpg", JobState.QUEUED)
    with pytest.raises(UsageError, match="there is no picture"):
        find_jobs([str(home / "out/x/c.png")], Reader(journal.store), chosen, listed_by="cutoutd jobs")
    journal.close()


def test_a_name_means_an_existing_picture_rather_than_a_vanished_one(home: Path, clock: FakeClock) -> None:
    """As after a picture was moved into a subfolder."""
    with_both = Journal(None, session="r", clock=clock)
    with_both.sources.accept("in", [Version(path="x/a.jpg", size=1, mtime_ns=1)])
    with_both.sources.accept("in", [Version(path="y/a.jpg", size=1, mtime_ns=1)])
    with_both.queue.finish(1, JobState.GONE, detail={})
    chosen = loader.for_pair(home / "in", home / "out", os.environ)
    (job,) = find_jobs(["a.jpg"], Reader(with_both.store), chosen, listed_by="cutoutd jobs")
    assert job.id == 2
    with_both.close()


def test_the_only_folder_need_not_be_named(home: Path) -> None:
    """With several folders an option is required."""
    alone = loader.for_pair(home / "in", home / "out", os.environ)
    assert find_folder(None, alone) is alone.folder[0]
    with pytest.raises(UsageError, match="no folder 'x'"):
        find_folder("x", alone)
    two = configuration(home / "two.toml")
    more = '[[folder]]\nname = "g"\ninput = "/q/in"\noutput = "/q/out"\n'
    two.write_text(two.read_text(encoding="utf-8") + more, encoding="utf-8")
    with pytest.raises(UsageError, match=r"say which folder.*f, g"):
        find_folder(None, settings(two, None, None))


@pytest.mark.parametrize("error", [errno.EACCES, errno.ESTALE, errno.EIO])
def test_an_inaccessible_entry_is_skipped(home: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """An inaccessible place is skipped without an internal error."""
    with daemon(home, "a"):
        pass

    def refused(path: object, **_: object) -> os.stat_result:
        raise OSError(error, os.strerror(error), path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", refused)
        assert not instance._is_there(entries(places.registry())[0])  # noqa: SLF001 -- what `find` asks of each entry
