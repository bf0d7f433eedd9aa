"""An error in a configuration has the file, the table, the key, and the right form."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from cutoutd.errors import ConfigurationError
from cutoutd.settings import document, loader
from cutoutd.settings.hosted import HostedSettings
from cutoutd.settings.renditions import RenditionSettings
from cutoutd.settings.schema import CommonHooks, Folder, ModelSettings, PoolSettings, Service

if TYPE_CHECKING:
    from pydantic import BaseModel

    from cutoutd.settings.schema import Settings

FOLDER = '[[folder]]\nname = "to-cut"\ninput = "/in"\noutput = "/out"\n'


def error_of(directory: Path, text: str | bytes, environ: dict[str, str] | None = None) -> str:
    """Return the error about a configuration; the file's path is written as FILE."""
    path = directory / "cutoutd.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as caught:
        loader.load(path, environ or {})
    return str(caught.value).replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[pool]\nworkers = 300",
            "FILE: [pool] workers: 300 is not possible; it takes a whole number from 0 to 256",
        ),
        (
            '[pool]\nworkers = "2"',
            'FILE: [pool] workers: "2" is not possible; it takes a whole number from 0 to 256, without quotes',
        ),
        ("[pool]\nworkers = true", "workers: true is not possible"),
        ("[pool]\nworkers = 2.5", "workers: 2.5 is not possible"),
        ("[pool]\nformats = []", "[pool] formats: is empty, so no picture could be read"),
        ('[pool]\nformats = "jpeg"', 'formats: "jpeg" is not possible'),
        ('[pool]\nformats = ["jpg"]', '[pool] formats: "jpg" is not a format; there are jpeg, png, tiff,'),
        ("[pool]\nmax_pixels = 1", "it takes a whole number from 10_000 to 1_000_000_000"),
        (
            "[pool]\njob_timeout_s = nan",
            "job_timeout_s: nan is not possible; it takes a number from 1 to 86_400",
        ),
        (
            '[service]\nlog_level = "loud"',
            '[service] log_level: "loud" is not possible; it takes one of "debug", "info", "warning", "error"',
        ),
        ("[service]\nstate_dir = 7", "state_dir: 7 is not possible; it takes a path in quotes"),
        ('[service]\nstate_dir = "~nobody-of-that-name/x"', "names a home directory that is not known"),
        (
            '[model]\nname = ""',
            '[model] name: "" is not possible; it takes a text in quotes of 1 to 64 characters',
        ),
        ("[model]\nname = 1979-05-27", "[model] name: 1979-05-27 is not possible"),
        (
            '[model]\nprovider = "gpu"',
            '[model] provider: "gpu" is not possible; it takes one of "auto", "cpu", "cuda"',
        ),
    ],
)
def test_a_wrong_value_is_reported_with_the_right_form(tmp_path: Path, text: str, message: str) -> None:
    """The given value, and the allowed ones, without programmers' terms."""
    assert message in error_of(tmp_path, f"{text}\n{FOLDER}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('route = "lokal"', 'it takes one of "local", "hosted", "local-then-hosted"'),
        ('recursive = "yes"', 'recursive: "yes" is not possible; it takes true or false, without quotes'),
        (
            'include = "*.jpg"',
            'include: "*.jpg" is not possible; it takes a list of texts such as ["*.jpg", "*.png"]',
        ),
        ("include = [1]", "include: 1 is not possible; it takes a list of texts"),
        ("include = []", 'include: is empty, so no file would be taken; ["*"] takes all'),
        ('exclude = ["/"]', 'exclude: "/" names nothing'),
        (
            'settle_s = "soon"',
            'settle_s: "soon" is not possible; it takes a number from 0.1 to 3600, or "auto"',
        ),
        ("settle_s = 0", "settle_s: 0 is not possible"),
        ("mode = 664", "mode: 664 is not possible; it takes a text in quotes"),
        ('mode = "rw"', 'mode: "rw" is not possible; it takes an octal number such as "0664"'),
        ('mode = "0044"', "the owner must be able to read and write"),
        ("review_below = 2", "it takes a number from 0 to 1"),
        ("matte = 3", "matte: 3 is not possible; it takes a table"),
        (
            "[folder.matte]\nrefine = 1",
            '[folder.matte] of "to-cut" refine: 1 is not possible; it takes true or false',
        ),
        ("rendition = 3", "write [[folder.rendition]], with two pairs of brackets"),
        ("[folder.rendition]", "write [[folder.rendition]], with two pairs of brackets"),
        ("rendition = []", "is empty, so nothing would be made"),
        (
            '[[folder.rendition]]\nformat = "gif"',
            '[[folder.rendition]] number 1 of "to-cut" format: "gif" is not possible; it takes one of "png", "webp"',
        ),
        (
            '[[folder.rendition]]\nsuffix = "a/b"',
            'suffix: "a/b" is not possible; a suffix is printable text without',
        ),
        (
            '[[folder.rendition]]\nsuffix = "-A"\n[[folder.rendition]]\nsuffix = "-a"',
            '[[folder.rendition]] number 2 of "to-cut" suffix: gives the same file name as number 1',
        ),
        (
            'originals = "move"',
            '[[folder]] "to-cut" originals_dir: is missing; originals = "move" needs a directory',
        ),
    ],
)
def test_a_wrong_value_in_a_folder_names_the_folder(tmp_path: Path, text: str, message: str) -> None:
    """The message names the table in it as well."""
    assert message in error_of(tmp_path, FOLDER + text)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ('""', '"" is not possible; a name is printable text'),
        ('" a"', '" a" is not possible'),
        ('"a/b"', '"a/b" is not possible; a name is printable text without "/"'),
        (r'"a\nb"', r'[[folder]] number 1 name: "a\nb" is not possible'),
        (f'"{"x" * 65}"', "it takes a text in quotes of 1 to 64 characters"),
        ("7", "[[folder]] number 1 name: 7 is not possible"),
    ],
)
def test_a_folder_without_a_usable_name_is_named_by_its_number(
    tmp_path: Path, name: str, message: str
) -> None:
    """Names appear in logs, messages and commands."""
    assert message in error_of(tmp_path, f'[[folder]]\nname = {name}\ninput = "/in"\noutput = "/out"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pool]\nworker = 2", 'FILE: [pool] worker: there is no such key; did you mean "workers"?'),
        ("[pool]\nmin_free_disk_mb = 2", "there is no such key here; it belongs to [service]"),
        ("[serve]\nport = 80", "FILE: [serve] port: there is no such key; this table has enabled, address,"),
        ("[service]\nworkerz = 2", 'there is no such key; did you mean "workers" of [pool]?'),
        ("[model]\nxyz = 2", "there is no such key; this table has name, second, provider"),
        ("workers = 2", "FILE: workers: stands in no table; it belongs to [pool]"),
        ("[pools]\nworkers = 2", "FILE: [pools]: there is no such table; did you mean [pool]?"),
        (
            "[zzz]",
            "there are [service], [pool], [model], [hosted], [cluster], [webhooks], [page], [serve], [hooks], [[folder]], [folder.matte], [folder.hooks], ",
        ),
        ("[hosted]\nbase = 1", 'FILE: [hosted] base: there is no such key; did you mean "base_url"?'),
        ("service = 3", "FILE: service: is a table; write [service], with one pair of brackets"),
        ("[[model]]", "FILE: model: is a table; write [model], with one pair of brackets"),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion(tmp_path: Path, text: str, message: str) -> None:
    """A misspelt key must not be ignored."""
    assert message in error_of(tmp_path, f"{text}\n{FOLDER}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("refine = false", "there is no such key here; it belongs to [folder.matte]"),
        ("renditions = 1", 'there is no such key; did you mean "rendition"?'),
        (
            "[folder.matte]\nrefin = true",
            '[folder.matte] of "to-cut" refin: there is no such key; did you mean "refine"?',
        ),
        (
            "[[folder.rendition]]\ndepth = 16",
            '[[folder.rendition]] number 1 of "to-cut" depth: there is no such key',
        ),
    ],
)
def test_an_unknown_key_of_a_folder_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Also in the tables below the folder."""
    assert message in error_of(tmp_path, FOLDER + text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "FILE: there is no [[folder]], so nothing would be watched; add one with name, input and output",
        ),
        (
            '[folder]\nname = "a"',
            "FILE: folder: is a list of tables; write [[folder]], with two pairs of brackets",
        ),
        ("folder = [1]", "FILE: folder: is a list of tables"),
        (
            '[[folder]]\nname = "a"\noutput = "/out"',
            '[[folder]] "a" input: is missing; it takes a path in quotes',
        ),
        ('[[folder]]\ninput = "/in"\noutput = ""', "[[folder]] number 1 output: is empty; write a path"),
        ("[[folder]]", "[[folder]] number 1 name: is missing"),
    ],
)
def test_a_missing_folder_table_is_reported(tmp_path: Path, text: str, message: str) -> None:
    """The message asks for name, input and output."""
    assert message in error_of(tmp_path, text)


def folders(*tables: str) -> str:
    """Return hot folders named a, b, ... with these keys, separated by semicolons."""
    return "".join(
        f'[[folder]]\nname = "{name}"\n' + table.replace("; ", "\n") + "\n"
        for name, table in zip("abc", tables, strict=False)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (folders('input = "/x"; output = "/x/."'), "output: /x is the folder's own input (/x)"),
        (folders('input = "/x/y"; output = "/x"'), "output: /x contains the folder's own input (/x/y)"),
        (
            folders('input = "/x"; output = "/o"', 'input = "/o/y"; output = "/p"'),
            '[[folder]] "a" output: /o contains the input of "b" (/o/y)',
        ),
        (
            folders('input = "/x"; output = "/o"', 'input = "/y"; output = "/x/z"'),
            '[[folder]] "b" output: /x/z lies inside the input of "a" (/x), so results could be taken',
        ),
        (
            folders('input = "/x"; output = "/o"', 'input = "/x"; output = "/p"'),
            '[[folder]] "b" input: /x is the input of "a" (/x), so pictures would be cut twice',
        ),
        (
            folders('input = "/x"; output = "/o"', 'input = "/x/y"; output = "/p"'),
            '[[folder]] "b" input: /x/y lies inside the input of "a" (/x)',
        ),
        (
            folders('input = "/x/y"; output = "/o"', 'input = "/x"; output = "/p"'),
            '[[folder]] "b" input: /x contains the input of "a" (/x/y)',
        ),
        (
            folders('input = "/x"; output = "/o"; sidecar_dir = "/x/s"'),
            "sidecar_dir: /x/s lies inside the folder's own input (/x)",
        ),
        (
            folders('input = "/x"; output = "/o"; originals = "move"; originals_dir = "/x/done"'),
            "originals_dir: /x/done lies inside the folder's own input (/x)",
        ),
        (
            folders('input = "/x/y"; output = "/o"; originals = "move"; originals_dir = "/x"'),
            "originals_dir: /x contains the folder's own input (/x/y)",
        ),
        (
            folders('input = "/x"; output = "/o"; originals = "move"; originals_dir = "/o"'),
            "originals_dir: /o is the folder's own output (/o), where an original could take a cutout's name",
        ),
        (
            folders(
                'input = "/x"; output = "/o"; originals = "move"; originals_dir = "/o/d"; on_conflict = "overwrite"'
            ),
            "originals_dir: /o/d lies inside the folder's own output (/o), where a cutout could replace an original",
        ),
        (
            folders(
                'input = "/x"; output = "/o"; originals = "move"; originals_dir = "/p/d"',
                'input = "/y"; output = "/p"; on_conflict = "overwrite"',
            ),
            'originals_dir: /p/d lies inside the output of "b" (/p), where a cutout could replace an original',
        ),
        (
            '[service]\nstate_dir = "/s"\n' + folders('input = "/x"; output = "/s/hosted/outbox"'),
            'FILE: [service] state_dir: /s contains the output of "a" (/s/hosted/outbox)',
        ),
        (
            '[service]\nstate_dir = "/x/state"\n' + folders('input = "/x"; output = "/o"'),
            'FILE: [service] state_dir: /x/state lies inside the input of "a" (/x)',
        ),
        (
            '[service]\nstate_dir = "/o"\n' + folders('input = "/x"; output = "/o"'),
            'FILE: [service] state_dir: /o is the output of "a" (/o)',
        ),
        (
            folders('input = "/x"; output = "/o"') + '[[folder]]\nname = "a"\ninput = "/y"\noutput = "/p"',
            '[[folder]] number 2 name: "a" is the name of folder number 1 too',
        ),
    ],
)
def test_folders_in_a_circle_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """A result must never be a source, and a picture belongs to one folder."""
    complaint = error_of(tmp_path, text)
    assert message in complaint
    assert "things are wrong" not in complaint


@pytest.mark.parametrize(
    "text",
    [
        folders('input = "/x"; output = "/x/cutouts"'),
        folders('input = "/x"; output = "/o"', 'input = "/y"; output = "/o"'),
        folders('input = "/x"; output = "/o"; sidecar_dir = "/o/json"', 'input = "/xy"; output = "/o/b"'),
        folders('input = "/x/y"; output = "/x/z"; sidecar_dir = "/x"'),
    ],
)
def test_directories_that_do_no_harm_are_accepted(tmp_path: Path, text: str) -> None:
    """An output in its own input, one for two folders, and names with a common prefix."""
    path = tmp_path / "cutoutd.toml"
    path.write_text(text)
    assert loader.load(path, {}).folder


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    """One line each, in the order of the file, variables first."""
    text = f"""
        [hostd]
        [service]
        log_format = "xml"
        [pool]
        workers = -1
        nice = "very"
        {FOLDER}
        originals = "shred"
        [[folder]]
        name = "b"
        input = "/b"
        output = "/b"
    """
    first, *rest, last = error_of(
        tmp_path, text, {"CUTOUTD_POOL__NICE": "99", "CUTOUTD_COLOUR": "1"}
    ).splitlines()
    assert first == "7 things are wrong:"
    starts = (
        "  $CUTOUTD_COLOUR: ",
        "  FILE: [hostd]: ",
        "  FILE: [service] log_format: ",
        "  FILE: [pool] workers: ",
        "  $CUTOUTD_POOL__NICE: ",
        '  FILE: [[folder]] "to-cut" originals: ',
        '  FILE: [[folder]] "b" output: ',
    )
    assert len(rest) == len(starts)
    assert all(line.startswith(start) for line, start in zip(rest, starts, strict=True))
    assert last == "Correct them and run `cutoutd check`."


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "CUTOUTD_POOL__WORKERS",
            "many",
            '$CUTOUTD_POOL__WORKERS: "many" is not possible; it takes a whole number from 0 to 256. Correct',
        ),
        ("CUTOUTD_POOL__WORKERS", "", '$CUTOUTD_POOL__WORKERS: "" is not possible'),
        ("CUTOUTD_SERVICE__LOG_FORMAT", "xml", "it takes one of auto, console, json."),
        ("CUTOUTD_MODEL__NAME", "", "it takes a text of 1 to 64 characters"),
        ("CUTOUTD_SERVICE__STATE_DIR", "state", '"state" is a relative path; write it in full, from / or ~'),
        (
            "CUTOUTD_SERVICE__STATE_DIR",
            "/in/state",
            "$CUTOUTD_SERVICE__STATE_DIR: /in/state lies inside the input",
        ),
        (
            "CUTOUTD_POOL_WORKERS",
            "1",
            "$CUTOUTD_POOL_WORKERS: there is no such variable; did you mean CUTOUTD_POOL__WO",
        ),
        ("cutoutd_pool__workers", "1", "did you mean CUTOUTD_POOL__WORKERS?"),
        ("CUTOUTD_CONFIGURATION", "x", "did you mean CUTOUTD_CONFIG?"),
        ("CUTOUTD_XYZ", "x", "there is no such variable; CUTOUTD_POOL__WORKERS is an example of one"),
        ("CUTOUTD_POOL", "{}", "$CUTOUTD_POOL: there is no such variable"),
        (
            "CUTOUTD_FOLDER",
            "[]",
            "a folder cannot be set by an environment variable, so that nobody can change where its pictures go",
        ),
        ("CUTOUTD_FOLDER__0__ROUTE", "hosted", "a folder cannot be set by an environment variable"),
        ("CUTOUTD_FOLDERS", "x", "a folder cannot be set by an environment variable"),
        (
            "CUTOUTD_HOSTED__ENABLED",
            "true",
            "$CUTOUTD_HOSTED__ENABLED: whether, where to and for what price pictures are sent cannot be set by an envi",
        ),
    ],
)
def test_a_wrong_variable_is_reported_by_its_name(
    tmp_path: Path, variable: str, value: str, message: str
) -> None:
    """The message does not name the file."""
    complaint = error_of(tmp_path, FOLDER, {variable: value})
    assert message in complaint
    assert "FILE" not in complaint


def test_a_wrong_variable_is_reported_without_a_file_too() -> None:
    """A pair of folders on the command line does not skip the check."""
    with pytest.raises(
        ConfigurationError, match="CUTOUTD_FOLDER__X: a folder cannot be set by an environment variable"
    ):
        loader.for_pair(Path("/in"), Path("/out"), {"CUTOUTD_FOLDER__X": ""})


def test_a_pair_that_overlaps_is_refused() -> None:
    """As in a file."""
    with pytest.raises(
        ConfigurationError, match=r"--input and --output: .* output: /in is the folder's own input"
    ):
        loader.for_pair(Path("/in"), Path("/in"), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[pool\n", "FILE: line 1, column 6: the closing ] is missing, in `[pool`"),
        (b"[pool]\n\nworkers 2\n", "FILE: line 3, column 9: "),
        (b"[pool]\nworkers = 2\n[service", "FILE: the last line is not finished: "),
        (b"[pool]\n# caf\xe9\n", "FILE: line 2 is not UTF-8 text. Save it again with the encoding UTF-8."),
        (b"\xff\xfe[\0p\0", "FILE: line 1 is not UTF-8 text"),
        (b"a = 1\na = 2\n", "FILE: line 2, column 6: "),
    ],
)
def test_invalid_toml_is_reported_by_line_and_column(tmp_path: Path, text: bytes, message: str) -> None:
    """For use in an editor."""
    assert message in error_of(tmp_path, text)


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """A missing file, or one that is no regular file."""
    with pytest.raises(ConfigurationError, match=r"none\.toml: there is no such file"):
        loader.load(tmp_path / "none.toml", {})
    with pytest.raises(ConfigurationError, match=r"it cannot be read \(Is a directory\)"):
        loader.load(tmp_path, {})


ANY: Final[tuple[object, ...]] = (
    0,
    -1,
    1.5,
    True,
    "",
    "x",
    "0x0",
    "\0",
    [],
    [1],
    ["x"],
    [{}],
    {},
    {"x": 1},
    date(2026, 1, 1),
)
TABLES: Final[dict[str, type[BaseModel]]] = {
    "service": Service,
    "pool": PoolSettings,
    "model": ModelSettings,
    "hosted": HostedSettings,
    "hooks": CommonHooks,
    "folder": Folder,
    "rendition": RenditionSettings,
}


def loaded(table: str, key: str, value: object) -> Settings | str:
    """Return settings with one key set, or the error about it."""
    folder: dict[str, object] = {"name": "a", "input": "/in", "output": "/out"}
    written: dict[str, object] = {"folder": [folder]}
    match table:
        case "folder":
            folder[key] = value
        case "rendition":
            folder["rendition"] = [{key: value}]
        case _:
            written[table] = {key: value}
    try:
        return loader.assemble(written, {}, origin="FILE", base=Path("/"))
    except ConfigurationError as error:
        return str(error)


@pytest.mark.parametrize("value", ANY, ids=repr)
def test_a_value_of_any_kind_is_refused_by_its_key_or_loads_again_as_it_is_written_out(value: object) -> None:
    """Any TOML value in any key."""
    for table, model in TABLES.items():
        for key in model.model_fields:
            found = loaded(table, key, value)
            if isinstance(found, str):
                assert key in found
            else:
                again = tomllib.loads(document.as_toml(found))
                assert loader.assemble(again, {}, origin="FILE", base=None) == found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('input = "a"\ninput = "b"', "input is set twice in this table; take one out"),
        ("[pool]\n[pool]", "this table is there twice"),
        ("recursive = yes", "yes is written true"),
        ("recursive = False  # not", "False is written false"),
        ("name = shop", 'texts need quotes: "shop"'),
        ("name = \u201cshop\u201d", "these are typographic quotes; use straight ones"),
        ('input = "C:\\Users\\me"', "a \\ has a meaning of its own"),
        ('input = "D:\\pictures"', "a \\ has a meaning of its own"),
        ('input = "~/to-cut\nx = 1', "the closing quote is missing"),
        ("input =\n", "the value is missing"),
        ("workers = 2 3", "there is more on this line than one value"),
        ("workers 2", "after a name belongs a = and a value"),
    ],
)
def test_mistakes_in_a_file_are_reported_in_plain_words(tmp_path: Path, line: str, message: str) -> None:
    """By what was written, not by what the parser expected."""
    path = tmp_path / "c.toml"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        document.read(path)


@pytest.mark.parametrize(
    "text",
    [
        "[hosted]\napi_key = SECRET1",
        '[hosted]\napi_key = "SECRET1',
        "[hosted]\nenabled = true\napi_key_file = SECRET1",
        '[hosted]\nenabled = "SECRET1"',
        '[hosted]\nbase_url = "https://x.example/?key=SECRET1"',
        '[hosted]\nbase_url = "https://user:SECRET1@x.example"',
        "[hosted.fields]\ntoken = SECRET1",
        "[page]\npassword = SECRET1",
        "[[folder.webhook]]\nurl = SECRET1",
        "api_key = SECRET1",
        "[hosted]  # the service\napi_key_file = SECRET1",
        '["hosted"]\napi_key_file = SECRET1',
        "[ hosted ]\nSECRET1",
        "[hosted]\nSECRET1==",
        "hosted = { url = SECRET1 }",
        "hosted.url = SECRET1",
        '[hosted]\nmodel = """\nSECRET1==',
    ],
)
def test_a_text_that_may_be_a_secret_is_not_repeated(tmp_path: Path, text: str) -> None:
    """Messages are logged at a reload; the line and the setting's name suffice."""
    message = error_of(tmp_path, text)
    assert "SECRET1" not in message
    assert re.search(r"line \d+|\[hosted\]|last line", message)
