"""The command line: exit codes of errors, messages to people, and which configuration is used."""

from __future__ import annotations

import errno
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd import errors
from cutoutd.cli import app, check, closing
from cutoutd.cli.inputs import named_files
from cutoutd.cli.instance import named_path, settings
from cutoutd.cli.printing import own_command, printable, shortest, with_program_name, with_tilde, wrapped
from cutoutd.cli.queue import open_journal
from cutoutd.cli.registry import Invocation, registered
from cutoutd.cli.terminal import ProgressLine
from cutoutd.clock import Clock
from cutoutd.daemon.tally import Outcome, Tally
from cutoutd.doctor.overlaps import Survey
from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.folder.status import PendingFile
from cutoutd.jobs import JobState, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.journal.store import FILE_NAME, JournalDamagedError
from cutoutd.pool.start_policy import WorkersFailError
from cutoutd.service import machine, planning, systemd
from cutoutd.service.unit import Scope
from cutoutd.settings import places

if TYPE_CHECKING:
    from tests.conftest import FakeClock

pytestmark = pytest.mark.usefixtures("home")

ROOT = Path(__file__).parents[2]
FOLDER = '[[folder]]\nname = "to-cut"\ninput = "/pictures/in"\noutput = "/pictures/out"\n'


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError, 2),
        (errors.ConfigurationError, 2),
        (errors.AlreadyRunningError, 3),
        (errors.ModelError, 4),
        (errors.CutoutdError, 5),
        (errors.StorageError, 5),
        (errors.PictureError, 5),
        (errors.SourceGoneError, 5),
        (JournalDamagedError, 5),
        (WorkersFailError, 5),
    ],
)
def test_each_family_of_errors_has_its_exit_code(error: type[errors.CutoutdError], code: int) -> None:
    """Scripts and service managers depend on these codes."""
    assert app.exit_code(error("x")) == code


@pytest.mark.parametrize(
    ("raised", "code", "expected"),
    [
        (errors.UsageError("no such thing"), 2, "cutoutd: Wrong usage: no such thing"),
        (errors.AlreadyRunningError("a cutoutd works here"), 3, "cutoutd: Already running"),
        (errors.ModelError("altered", path=Path("/m.onnx")), 4, "/m.onnx: altered"),
        (errors.CutoutdError("x"), 5, "Something went wrong"),
        (OSError(errno.ENOSPC, "No space left on device"), 5, "The disk is full: free some space"),
        (OSError(errno.EROFS, "Read-only file system", "/a"), 5, "/a: the system says: Read-only file"),
        (ZeroDivisionError("our own"), 5, "internal error"),
    ],
)
def test_an_error_of_a_command_becomes_a_message_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    raised: Exception,
    code: int,
    expected: str,
) -> None:
    """On standard error, with what to do; a trace only for an internal error."""

    def fail() -> None:
        raise raised

    monkeypatch.setattr(check, "check", fail)
    monkeypatch.setattr(sys, "argv", ["cutoutd", "check"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    shown = capfd.readouterr()
    assert ended.value.code == code
    assert expected in shown.err
    assert ("Traceback" in shown.err) is isinstance(raised, ZeroDivisionError)
    assert shown.out == ""


def test_a_full_disk_that_takes_the_output_is_no_fault_of_ours() -> None:
    """Every command that writes to one said that it is an internal error, to be reported."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cutoutd", "presets"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == app.EXIT_FAULT
    assert b"The disk is full" in done.stderr
    assert b"internal error" not in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [["nonsense"], ["run", "--nonsense"], ["retry", "seven"], ["jobs", "--state", "x"]]
)
def test_a_call_that_makes_no_sense_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Whether the parser or our own check finds the mistake."""
    monkeypatch.setattr(sys, "argv", ["cutoutd", *words])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == app.EXIT_USAGE
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("number", [1 << 63, 1 << 64, 10**4000])
@pytest.mark.parametrize("words", [["retry"], ["review", "accept"], ["review", "reject"]])
def test_a_number_that_no_job_can_have_is_that_of_no_job(
    home: Path,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    number: int,
) -> None:
    """SQLite's integers have 64 bits, and typed numbers any length."""
    refused(home, clock, monkeypatch, [*words, str(number)])
    assert f"there is no job {number}" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["jobs", "--since", f"{'9' * 5000}d"], "is no time"),
        (["jobs", "--state", "faild"], "there is no state 'faild'. Name one of: queued, working,"),
        (["jobs", "--folder", "to-cuts"], "there is no folder 'to-cuts'"),
        (["export", "--folder", "to-cuts"], "there is no folder 'to-cuts'"),
        (["review", "list", "--folder", "to-cuts"], "Name one of: to-cut."),
        (["status", "--watch", "--every", "nan"], "3600"),
        (["fix", "a.jpg", "--keep", "5,5", "--radius", "nan"], "--radius nan is not possible"),
        (["fix", "a.jpg", "--keep", "5,5", "--radius", "0"], "--radius 0 is not possible"),
        (["fix", "a.jpg", "--keep", "5,5", "--undo"], "do not go together"),
        (["run", "--once", "--timeout", "nan"], "timeout"),
        (["run", "--once", "--timeout", "1e300"], "31536000"),
    ],
)
def test_an_impossible_option_is_wrong_usage(
    home: Path,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    expected: str,
) -> None:
    """The error comes before anything is done."""
    refused(home, clock, monkeypatch, words)
    assert expected in capfd.readouterr().err


def refused(home: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """Run a command on an existing state directory; it must end as wrong usage."""
    state = home / "service"
    state.mkdir(mode=0o700)
    Journal(state, session="r", clock=clock).close()
    config = home / "c.toml"
    config.write_text(f'[service]\nstate_dir = "{state}"\n{FOLDER}', encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["cutoutd", *words, "--config", str(config)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == app.EXIT_USAGE


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("shoot", "shoot: this is a folder"),
        ("gone.jpg", "gone.jpg: there is no such file or folder"),
        ("a.jpg/b.jpg", "cannot be read (Not a directory)"),
        ("loop", "cannot be read (Too many"),
        ("x" * 300, "cannot be read (File name too long)"),
        ("/dev/null", "not an ordinary file"),
    ],
)
def test_a_path_that_is_no_picture_is_refused_with_the_reason(home: Path, named: str, expected: str) -> None:
    """A folder is refused as such; the system's error about a path is passed on."""
    (home / "shoot").mkdir()
    (home / "a.jpg").touch()
    (home / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match=re.escape(expected)):
        named_files([Path(named)])


def test_a_command_loads_neither_the_others_nor_a_log_that_it_has_no_use_for() -> None:
    """Loading takes longer than a quick command's own work; an unknown first word loads all."""
    code = """
import sys
from cutoutd.cli.app import build
build("jobs")
heavy = ("structlog", "rich", "asyncio", "cutoutd.daemon.daemon", "cutoutd.cli.run", "cutoutd.cli.check")
print(*(name for name in heavy if name in sys.modules))
print(len(build("help").registered_commands), len(build("review").registered_groups))
print(*(len(build("--version").registered_commands), len(build("run").registered_commands)))
"""
    ended = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n") == ["", "23 1", "0 1", ""]


def test_a_place_that_takes_no_cutouts_is_wrong_usage(home: Path) -> None:
    """Whatever the system's error: another place may be named.

    Runs in a process that gives the network up.
    """
    (home / "a.jpg").write_bytes(b"a picture, which nobody comes to")
    (home / "loop").symlink_to("loop")
    code = """
import sys
from cutoutd.cli import app
for output in sys.argv[1:]:
    sys.argv = ["cutoutd", "cut", "a.jpg", "-o", output]
    try: app.main()
    except SystemExit as ended: print(ended.code)
"""
    places = ["/proc/x", "/dev/null/x", "/dev/null", "/proc", "loop/x", "x" * 300]
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code, *places], cwd=home, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == [str(app.EXIT_USAGE)] * len(places)
    assert ended.stderr.count("Give a directory with -o") == len(places)
    assert "Traceback" not in ended.stderr


def test_pydantic_plugins_of_other_packages_are_not_loaded(home: Path) -> None:
    """A pydantic plugin installed beside us would run in all our processes, and slow each start."""
    packages = home / "packages"
    (packages / "spy-1.0.dist-info").mkdir(parents=True)
    (packages / "spy-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: spy\nVersion: 1.0\n"
    )
    (packages / "spy-1.0.dist-info" / "entry_points.txt").write_text("[pydantic]\nspy = spy\n")
    (packages / "spy.py").write_text("raise SystemExit('the spy runs')\n")
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "cutoutd", "jobs", "--input", home / "in", "--output", home / "out"],
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "spy" not in ended.stderr
    assert "has not run with this configuration yet" in ended.stderr  # so the settings were read


def test_a_home_directory_is_understood_where_a_shell_leaves_it(home: Path) -> None:
    """Shells expand `--input=~/to-cut` never and `INPUT=~/to-cut` mostly: no folder called ~ is made."""
    assert named_path("~/to-cut") == home / "to-cut"
    with pytest.raises(UsageError, match="no home directory"):
        named_path("~nobody-of-this-name/to-cut")
    done = subprocess.run(
        ["make", "-n", "run", "INPUT=~/to  cut", "OUTPUT=a~/b", f"HOME={home}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f'--input "{home}/to  cut" --output "a~/b"' in done


def test_every_command_of_the_design_has_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one line in the list of commands."""
    commands = ["run", "cut", "check", "status", "jobs", "retry", "pause", "resume", "models"]
    for words in ([], *([command] for command in commands)):
        monkeypatch.setattr(sys, "argv", ["cutoutd", *words, "--help"])
        with pytest.raises(SystemExit) as ended:
            app.main()
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert "Usage" in shown
        if not words:
            assert all(command in shown for command in commands)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["run"],
        ["cut"],
        ["jobs"],
        ["status"],
        ["review", "list"],
        ["models", "add"],
        ["service", "install"],
    ],
)
def test_help_speaks_of_files_and_seconds_and_not_of_types(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """A flag has no value; an option's placeholder is a user's word."""
    monkeypatch.setattr(sys, "argv", ["cutoutd", *words, "--help"])
    with pytest.raises(SystemExit):
        app.main()
    shown = re.sub(r"\[[^]]*<=[^]]*\]", "", capsys.readouterr().out)  # a range is no type
    assert "Usage" in shown
    for word in ("<", "bool", "Path", "float"):
        assert word not in shown


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["cluster"], 'pip install "cutoutd[cluster]"'),
        (["worker"], 'pip install "cutoutd[cluster]"'),
        (["worker"], "[pool] and [model]"),
        (["serve", "keys", "add"], "[serve] max_file_mb"),
    ],
)
def test_help_shows_brackets_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], shown: str
) -> None:
    """Rich would treat a name in brackets as markup and drop it."""
    monkeypatch.setattr(sys, "argv", ["cutoutd", *words, "--help"])
    with pytest.raises(SystemExit):
        app.main()
    assert shown in " ".join(re.sub("[│\\s]+", " ", capsys.readouterr().out).split())


def test_a_message_is_broken_at_words_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are indented so that list items can be told apart; a path longer than a line stays whole."""
    monkeypatch.setenv("COLUMNS", "30")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    path = "/a/very/long/path/that/is/left/whole"
    text = f"cutoutd: 2 things are wrong with it:\n  {path}: is not there\n  b: is"
    assert wrapped(text, io.StringIO()) == text
    assert wrapped(text, Terminal()).split("\n") == [
        "cutoutd: 2 things are wrong",
        "  with it:",
        f"  {path}:",
        "    is not there",
        "  b: is",
    ]


def test_a_path_that_fits_with_less_indent_is_not_broken_by_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise its last character or comma stands alone on a line."""
    monkeypatch.setenv("COLUMNS", "30")
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    assert wrapped("  state: it is /a/path/of/26/columns/long, and yours", terminal, indent=9).split(
        "\n"
    ) == [
        "  state: it is",
        "   /a/path/of/26/columns/long,",
        "           and yours",
    ]


def test_paths_are_shown_relative_to_the_current_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Relative to the current directory, else to home, else absolute.

    Also where the current directory is gone.
    """
    monkeypatch.setenv("HOME", "/home/me")
    assert shortest(f"{Path.cwd()}/out/a.png") == "out/a.png"
    assert shortest("/home/me/out/a.png") == "~/out/a.png"
    assert shortest("/home/meg/a.png") == "/home/meg/a.png"
    assert with_tilde("it is /home/me/a, not /x/home/me/b") == "it is ~/a, not /x/home/me/b"
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert shortest(f"{gone}/a.png") == f"{gone}/a.png"
    assert home.is_dir()


def test_progress_is_shown_on_a_terminal_alone_and_cleared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The count of finished files would clutter a log or a pipe."""
    with ProgressLine() as passing:
        assert list(passing.count("ab", 2, "making")) == ["a", "b"]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ProgressLine() as passing:
        assert list(passing.count("ab", 2, "making")) == ["a", "b"]
    output = capsys.readouterr().err.split("\r\x1b[K")
    assert output == ["", "making 0/2", "making 1/2", "making 2/2", ""]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("a b/caf\u00e9 \U0001f600.jpg", "a b/caf\u00e9 \U0001f600.jpg"),
        ("two\nlines\t.jpg", r"two\nlines\t.jpg"),
        ("\x1b[2Jclear\x07.jpg", r"\x1b[2Jclear\x07.jpg"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("", ""),
    ],
)
def test_a_path_is_shown_without_harm_to_the_terminal(path: str, shown: str) -> None:
    """One line without control characters and broken characters; all others are unchanged."""
    assert printable(path) == shown


@given(raw=st.binary(min_size=1, max_size=60))
def test_a_path_of_any_bytes_is_shown_on_one_line_of_utf8(raw: bytes) -> None:
    """Whatever bytes a file's name has."""
    shown = printable(os.fsdecode(raw))
    assert shown.isprintable()
    assert shown.encode("utf-8")


@pytest.mark.parametrize("given", [("in", None), (None, "out")])
def test_input_and_output_are_given_together(given: tuple[str | None, str | None]) -> None:
    """The input without the output, or the reverse, is an error."""
    input_dir, output_dir = (Path(one) if one else None for one in given)
    with pytest.raises(UsageError, match="--input and --output go together"):
        settings(None, input_dir, output_dir)


def test_a_pair_of_folders_and_a_configuration_are_not_both_given() -> None:
    """Which one is meant would be unclear."""
    with pytest.raises(UsageError, match="--config and --input"):
        settings(Path("c.toml"), Path("in"), Path("out"))


def test_a_pair_of_folders_starts_from_the_current_directory(home: Path) -> None:
    """It has its own state directory, which the same pair finds again."""
    found = settings(None, Path("in"), Path("out"))
    assert (found.folder[0].input, found.folder[0].output) == (home / "in", home / "out")
    assert found.service.state_dir == settings(None, home / "in", home / "out").service.state_dir
    assert found.service.state_dir != settings(None, Path("in2"), Path("out")).service.state_dir


def test_without_any_configuration_the_searched_places_are_listed(home: Path) -> None:
    """And what to do instead."""
    with pytest.raises(UsageError, match=r"no configuration.*--input and --output") as raised:
        settings(None, None, None)
    assert str(home / "config" / "cutoutd" / "cutoutd.toml") in str(raised.value)


def test_a_configuration_that_is_named_but_not_there_is_refused() -> None:
    """The message names the option."""
    with pytest.raises(ConfigurationError, match=r"missing\.toml.*--config"):
        settings(Path("missing.toml"), None, None)


def test_a_variable_that_names_a_configuration_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other configuration is used instead."""
    monkeypatch.setenv("CUTOUTD_CONFIG", "missing.toml")
    with pytest.raises(ConfigurationError, match=r"missing\.toml.*CUTOUTD_CONFIG"):
        settings(None, None, None)


def test_a_configuration_is_found_and_the_environment_takes_precedence(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any option."""
    place = home / "config" / "cutoutd"
    place.mkdir(parents=True)
    (place / "cutoutd.toml").write_text(f"[pool]\nworkers = 1\n{FOLDER}", encoding="utf-8")
    monkeypatch.setenv("CUTOUTD_POOL__WORKERS", "3")
    found = settings(None, None, None)
    assert found.pool.workers == 3
    assert found.folder[0].name == "to-cut"


@pytest.mark.parametrize("variable", ["CUTOUTD_POOL__WORKER", "CUTOUTD_FOLDER", "CUTOUTD_HOSTED__ENABLED"])
def test_an_unknown_variable_of_ours_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Also with a pair of folders."""
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ConfigurationError, match=variable):
        settings(None, Path("in"), Path("out"))


def test_a_missing_journal_is_not_created_by_reading(tmp_path: Path) -> None:
    """Only the daemon creates a journal."""
    with pytest.raises(UsageError, match="cutoutd has not run"):
        open_journal(tmp_path)
    assert not (tmp_path / FILE_NAME).exists()


def test_a_journal_is_opened_beside_the_daemon(tmp_path: Path) -> None:
    """A command reads the journal while the daemon writes it."""
    daemon = Journal(tmp_path, session="r", clock=Clock())
    daemon.sources.accept("f", [Version(path="a.jpg", size=1, mtime_ns=1)])
    store = open_journal(tmp_path)
    assert [job.state for job in Reader(store).jobs()] == [JobState.QUEUED]
    store.close()
    daemon.close()


def test_another_users_journal_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files created by us would be unreadable to its owner."""
    Journal(tmp_path, session="r", clock=Clock()).close()
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(UsageError, match="belongs to user"):
        open_journal(tmp_path)


def test_the_closing_lines_of_a_run_have_no_control_characters() -> None:
    """Reasons quote other machines' marker files, which anyone who can write to the input controls."""
    outcome = Outcome(
        tally=Tally(),
        remaining={},
        held_up={"f": (PendingFile(path="\x1b[1m.jpg", why="\x1b[2m"),)},
        closed={"f": "the cutoutd of \x1b]0;owned\x07 works on it"},
    )
    text = "\n".join(closing.remains(outcome))
    assert "owned" in text
    assert "\x1b" not in text


def test_check_prints_what_to_do_first_and_accesses_no_hanging_share(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict comes first, then the obstacles and a blank line; `check` must not access a hanging share.

    `check` must not access a hanging share.
    """
    (home / "c.toml").write_text(FOLDER)

    def hanging(*_: object) -> None:
        raise AssertionError("it would hang")

    monkeypatch.setattr("cutoutd.cli.check.forecast", hanging)
    monkeypatch.setattr("cutoutd.doctor.overlaps.ask", lambda _: Survey(closed={}, silent=("to-cut",)))
    monkeypatch.setattr("sys.argv", ["cutoutd", "check", "--config", str(home / "c.toml")])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 1
    first, second, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith("done first:")
    assert second.startswith("# to-cut: ")
    assert "does not answer" in second
    assert "#" in lines[:2]


@pytest.mark.parametrize("scope", list(Scope))
def test_a_users_service_may_write_its_registry_entry(home: Path, scope: Scope) -> None:
    """`status` without options finds a user's service by its registry entry.

    A system service needs its configuration.
    """
    chosen = settings(None, home / "in", home / "out")
    account = machine.account_of(os.geteuid()).name
    unit = planning.unit_for(chosen, scope=scope, arguments=[], config=None, environ={}, run_as=account)
    assert (places.registry() in unit.write) is (scope is Scope.USER)
    granted = f"ReadWritePaths=-{places.registry()}" in systemd.render(
        unit, systemd.SystemdManager(version=257)
    )
    assert granted is (scope is Scope.USER)


def test_without_a_configuration_the_page_and_the_folders_used_last_are_named(
    tmp_path: Path, clock: FakeClock
) -> None:
    """After `make run` there is no configuration file yet."""
    with pytest.raises(UsageError, match="`cutoutd run` opens a page"):
        settings(None, None, None)
    last = Invocation(pair=(Path("/my pictures"), Path("/cutouts")))
    with registered(places.registry(), tmp_path / "state", last, now_us=clock.now_us()):
        pass
    with pytest.raises(UsageError, match="add --input '/my pictures' --output /cutouts"):
        settings(None, None, None)


def test_commands_are_named_as_this_shell_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make run` the program is in the clone's environment, outside of PATH."""
    home = tmp_path / "my clone" / ".venv" / "bin"
    home.mkdir(parents=True)
    (home / "cutoutd").touch(mode=0o755)
    monkeypatch.setattr(sys, "prefix", str(home.parent))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path / "my clone")
    assert own_command() == ".venv/bin/cutoutd"
    text = "`cutoutd run` and `cutoutd` and cutoutd; `sudo systemctl restart cutoutd`"
    assert with_program_name(text) == text.replace("`cutoutd run`", "`.venv/bin/cutoutd run`")
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert own_command() == "~/'my clone/.venv/bin/cutoutd'"
    monkeypatch.setenv("HOME", "/elsewhere")
    assert own_command() == shlex.quote(str(home / "cutoutd"))
    monkeypatch.setenv("PATH", str(home))
    assert own_command() == "cutoutd"
    assert with_program_name(text) == text
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cutoutd").symlink_to(home / "cutoutd")  # as pipx does
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert own_command() == "cutoutd"
