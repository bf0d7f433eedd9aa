"""What a person reads on the page about refusals and failures is in the catalogues: codes, and the sentences of the daemon.

The sentences are collected from the sources: causes and advice of errors about pictures, results and folders, and why the
daemon refuses a command.
"""

from __future__ import annotations

import ast
import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cutoutd
from cutoutd.errors import _ADVICE_BY_ERRNO, _NO_PLACE_ADVICE
from cutoutd.file_signatures import _BY_EXTENSION, _OTHERS
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.jobs import Reason
from cutoutd.page.backend.folder_condition import _ADVICE
from cutoutd.page.backend.plain_words import _SENTENCES
from cutoutd.page.backend.privacy import _COMMANDS, _MODULES
from cutoutd.publish.records import Record
from tests.unit.test_page_texts import LANGUAGES, catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = Path(cutoutd.__file__).parent

ERRORS = {
    "PictureError", "LimitError", "LostError", "PermanentError", "InferenceError", "ReplyError", "UnforeseenError",
    "NotAcceptableError", "NameRefusedError", "TargetTakenError", "ResultLostError", "TargetHeldError", "SourceGoneError",
    "OutputError", "StorageError", "NotOwnerError",
}  # fmt: skip
"""Classes whose causes and advice become the reasons of a job or a folder."""

ELSEWHERE = {
    "cli",
    "cluster",
    "hosted",
    "serve",
    "exchange",
    "doctor",
    "desktop",
    "service",
    "models",
    "sheet",
    "hooks",
}
"""Packages whose errors concern a command, or another process than the daemon."""

ANSWERS = ("daemon/commands.py", "daemon/decisions.py", "daemon/fixes.py")
"""Modules whose functions return why a command is refused."""

NOT_SHOWN = {
    "it is not a file, or larger than 512 MB",  # of a background; the reason within another sentence
    "{kind} there, while the folder itself can be written ({said})",  # both kinds are there as whole sentences
    "{_LIMITS} ({describe(error)})",  # likewise
    "its {canvas_layout.named(rendition)} {error}",  # of an encoder
}


OVERLAPS = "choose directories apart from each other"
"""It ends another sentence."""

JOINED = {
    "said.limits": ["this system refuses more memory, threads, processes or open files: raise the limit"],
    "said.rejected_why": ["rejected in review"],
    "said.name_permission": ["permission was refused", " there, while the folder itself can be written ("],
    "said.name_read_only": ["it is read-only", " there, while the folder itself can be written ("],
    "said.same_marker": ["it has the same {", ", and another machine works on it"],
    "said.owner_read_only": [
        "; the input is read-only here, so this machine cannot ask whether it still does: if it never"
    ],
    "said.hangs_over": ["the disk or share does not answer"],
    "said.worker_stuck": ["a worker does not finish"],
    "said.empty_unmounted": ["the folder is empty", ", so its share or disk is probably not mounted"],
    "said.empty_other": ["the folder is empty", ", and is another directory than before"],
    "said.lost_marker_unmounted": [
        "the folder has lost its marker",
        ", so its share or disk is probably not mounted",
    ],
    "said.lost_marker_other": ["the folder has lost its marker", ", and is another directory than before"],
    "said.another_folder": ["another folder is here: its {"],
    "said.marked_output": [
        ", as an input has: {",
        "input and output have probably changed places, or it is watched by another cutoutd",
        "Put the directories back, or name the right ones in the configuration; if it is not watched any more",
    ],
    "said.rest_one": [
        "1 accepted picture is",
        " not finished, and kept",
        ". Connect the right one, and work goes on by itself",
    ],
    "said.rest_many": [
        " accepted pictures are",
        " not finished, and kept",
        ". Connect the right one, and work goes on by itself",
    ],
    "said.w.possible": [" is not possible here. Possible: "],
    "said.w.empty": ["An empty field", " is not possible here. Possible: "],
    "said.q.unreadable": ["The ledger of uploads cannot be read"],
    "said.q.here": ["On this machine, in processes of cutoutd of their own, the workers"],
    "said.q.one_worker": ["1 worker", "; the model runs on "],
    "said.q.workers": [" workers", "; the model runs on "],
    "said.note.not_entered": ["not entered"],
    "said.note.left_out": ["left out"],
    "said.r.number": [" to ", "number"],
    "said.r.number_auto": [" to ", "number"],
    "said.r.whole": [" to ", "number"],
    "said.r.whole_auto": [" to ", "number"],
    "said.r.canvas": ["width and height in pixels, such as"],
    "said.r.scale": ["100%"],
    "said.r.margin": [" for all sides, two of them for "],
    "said.r.position": ["original"],
    "said.r.suffix": ["a suffix is printable text without"],
    "said.r.text": [" characters"],
    "said.n.enlarged_less": [
        " times instead of ",
        "max_enlargement allows no more, so it takes less of the canvas than it was to",
    ],
    "said.n.lossless_lowered": ["its quality was lowered from ", ", so that it has no more than "],
    "said.n.lowered": ["its quality was lowered from ", ", so that it has no more than "],
    "said.n.name_cutout": ["another cutout has the name ", ", so this cutout is "],
    "said.n.name_changed": [" was changed by hand and stays", ", so this cutout is "],
    "said.n.name_file": [
        "a file that is not ours has the name ",
        ", or its sidecar's",
        ", so this cutout is ",
    ],
    "said.n.held": ["it was held back for review", "and published as a person decided"],
    "said.n.held_why": ["it was held back for review", "and published as a person decided"],
    "said.q.keeps": ["it starts that process, waits for its end, and gets to see no picture"],
    "said.q.filtered": ["its system calls are filtered", "and it cannot gain privileges"],
    "said.q.filtered_user": ["its system calls are filtered", "and it has its user's privileges"],
    "said.q.open": ["its system calls are not filtered", "and it cannot gain privileges"],
    "said.q.open_user": ["its system calls are not filtered", "and it has its user's privileges"],
    "said.q.cluster": [
        "On this machine, in processes of cutoutd of their own, the workers",
        " on the machines of the cluster at ",
    ],
    "said.q.cluster_then": [
        "On this machine, in processes of cutoutd of their own, the workers",
        " on the machines of the cluster at ",
        " here while that is away",
    ],
}
"""Sentences that are joined from several parts, with those."""


LEAST_WORDS = 4

WARNING_PLACES = (
    "engine/colour",
    "engine/containers/metadata.py",
    "engine/formats",
    "engine/render/canvas_layout.py",
    "engine/render/codecs.py",
    "engine/samples.py",
    "pipeline/correction.py",
    "publish/targets.py",
    "delivery/reviews.py",
    "delivery/sidecar_factory.py",
    "page/backend/privacy.py",
)
"""Where the warnings of a result, and the evidence of what left, are put into words."""

NO_WARNINGS = {
    "its compression, {compression_name(compression)}, is not read with these channels",
    "its kind of colours (PhotometricInterpretation {photometric}) is not read with these channels",
    "its samples are {samples_in_words(formats, bits)}",
    "its samples have {max(bits)} bits, which is not read with {'Lab' if is_lab else 'differencing'}",
    "has {smallest / KILOBYTE} KB at the lowest quality that is allowed ({rendition.min_quality}), more than max_kb = {rendition.max_kb}",
    "the folder's route leads to the cluster",
    "{one['folder']}: {one['route']} → {one['host']}",
    "{one['folder']}: {one['include']} → {one['host']}{_here(one['host'])}",
    "{one.name}: {one.file}, SHA-256 {one.sha256}",
    "{here}; the pictures {there}{but}.",
    "the subject was enlarged {place.factor} times instead of {wanted}",
}
"""Sentences of these modules that are said inside of others, to nobody, or are no words."""

PARTS = re.compile(
    "|".join(
        re.escape(part) for parts in JOINED.values() for part in parts if len(part.split()) > LEAST_WORDS - 1
    )
)
"""What is joined to other parts in the sources; the whole of it is in the catalogue."""

WARNING = re.compile(r"(?:\{[^{}]+\}|(?:it|its|the|they|nothing|another|a|an|cut|unchanged)\b)[^\n]*")
"""What a sentence about a result begins with."""


def warnings_in(place: str) -> Iterator[str]:
    """Yield the sentences of a module or package that may be shown beside a result."""
    for path in sorted((PACKAGE / place).rglob("*.py")) or [PACKAGE / place]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documents = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
        inner = {id(part) for one in ast.walk(tree) if isinstance(one, ast.JoinedStr) for part in one.values}
        for one in ast.walk(tree):
            text = "" if id(one) in documents | inner else template(one)
            if len(re.sub(r"\{[^{}]*\}", "", text).split()) >= LEAST_WORDS and WARNING.fullmatch(text):
                yield text


def templates(tree: ast.AST) -> Iterator[tuple[ast.Call, list[str]]]:
    """Yield each call of an error's class, with its cause and advice where they are written there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS:
            advice = [one.value for one in node.keywords if one.arg == "advice"]
            yield node, [text for one in (*node.args[:1], *advice) if (text := template(one))]


def template(node: ast.AST) -> str:
    """Return a text with its values in braces; empty if it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return ""
    return "".join(
        str(one.value) if isinstance(one, ast.Constant) else f"{{{ast.unparse(one.value)}}}"  # type: ignore[attr-defined]
        for one in node.values
    )


def said_by_the_daemon() -> set[str]:
    """Return the templates of all sentences."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE)
        if name.parts[0] in ELSEWHERE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for _, texts in templates(tree):
            found.update(texts)
        if name.as_posix() in ANSWERS:
            found.update(
                template(one.value) for one in ast.walk(tree) if isinstance(one, ast.Return) and one.value
            )
        for one in ast.walk(tree):
            if isinstance(one, ast.ClassDef) and one.name in ERRORS:
                found.update(
                    template(inner.value)
                    for inner in one.body
                    if isinstance(inner, ast.Assign) and getattr(inner.targets[0], "id", "") == "advice"
                )
    return {one for one in found if " " in one} - NOT_SHOWN


def pattern(text: str) -> str:
    """Return what fits a sentence of the catalogue."""
    parts = re.split(r"\{(\w+)\}", text)
    return "".join(
        re.escape(part) if number % 2 == 0 else ".*?" if part == "rest" else ".+?"
        for number, part in enumerate(parts)
    )


KNOWN = [
    re.compile(pattern(text), re.DOTALL) for key, text in catalogue("en").items() if key.startswith("said.")
]


def unknown(texts: Iterable[str]) -> list[str]:
    """Return the sentences that the catalogue does not have."""
    filled = {text: re.sub(r"\{[^{}]*\}", "7", text) for text in texts}
    return sorted(
        text for text, sentence in filled.items() if not any(one.fullmatch(sentence) for one in KNOWN)
    )


def test_each_sentence_of_the_daemon_about_pictures_and_folders_is_in_the_catalogue() -> None:
    """Else it would be shown in English, amid German."""
    found = said_by_the_daemon()
    assert len(found) > 120
    assert unknown(found) == []


def test_each_advice_that_is_written_once_for_several_errors_is_in_the_catalogue() -> None:
    """Those of the system's errors as well."""
    found = {*_ADVICE_BY_ERRNO.values(), _NO_PLACE_ADVICE}
    for folder in ("engine", "pipeline", "intake", "folder", "pool"):
        for path in (PACKAGE / folder).rglob("*.py"):
            for one in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(one, ast.AnnAssign) and "ADVICE" in getattr(one.target, "id", "") and one.value:
                    found.add(template(one.value))
    assert len(found) > 20
    assert unknown(found - {"", OVERLAPS}) == []


def test_each_warning_about_a_result_is_in_the_catalogue() -> None:
    """Beside a picture in Review; and what shows, of each process, what it is and may do."""
    found = {text for place in WARNING_PLACES for text in warnings_in(place)}
    filled = {text: text.replace("{}", "7").removeprefix("{named(rendition)}: ") for text in found}
    assert len(found) > 50
    assert unknown(filled[one] for one in found - NO_WARNINGS if not PARTS.search(one)) == []
    assert unknown([*_COMMANDS.values(), *(said for _, said in _MODULES)]) == []


def test_each_reason_for_doubt_is_in_the_catalogue() -> None:
    """They come in lists, with other reasons."""
    assert unknown(reason.value for reason in Reason) == []


def test_each_kind_of_file_that_is_no_picture_is_in_the_catalogue() -> None:
    """It stands within another sentence: what a file seems to be."""
    kinds = {name for _, name in _OTHERS} | set(_BY_EXTENSION.values())
    texts = {text for key, text in catalogue("en").items() if key.startswith("said.kind.")}
    assert len(kinds) > 30
    assert texts == kinds


def test_what_a_cutout_says_that_was_taken_over_is_in_the_catalogue() -> None:
    """Beside each picture, after a journal was made anew."""
    _, detail = Record(path="a.jpg", size=1, mtime_ns=1, at_us=1, review=True).outcome()
    assert unknown(str(detail["why"]).split("; ")) == []


def test_each_sentence_of_the_catalogue_is_still_said() -> None:
    """One that was worded anew in the sources would fit nothing any more."""
    said = "\0".join(
        template(node)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )
    system = {os.strerror(number) for number in errno.errorcode}
    english = {key: text for key, text in catalogue("en").items() if key.startswith("said.")}
    longest = {key: max(re.split(r"\{\w+\}", text), key=len) for key, text in english.items()}
    parts = {key: JOINED.get(key, [text]) for key, text in longest.items()}
    assert {
        key
        for key, found in parts.items()
        if english[key] not in system and not all(part in said for part in found)
    } == set()


def test_each_sentence_about_a_setting_is_in_the_catalogue() -> None:
    """They come from the loader, in the words of the page."""
    assert unknown(_SENTENCES.values()) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_code_of_a_refusal_has_a_sentence(language: str) -> None:
    """Of both of the page's processes."""
    texts, found = catalogue(language), codes()
    assert len(found) > 60
    assert [code for code in sorted(found) if f"error.{code}" not in texts] == []
    assert {f"advice.{code}" for code in (*_ADVICE, *FolderTrouble)} - texts.keys() == set()
    assert {f"trouble.{code}" for code in FolderTrouble} - texts.keys() == set()
    assert {key: text for key, text in catalogue("en").items() if key.startswith("advice.")} == {
        f"advice.{code}": text for code, text in _ADVICE.items()
    }


def codes() -> set[str]:
    """Return all codes that refusals have: each is the second argument, or the first of a function that adds the status."""
    found: set[str] = set()
    for root in ("page", "webserver"):
        for path in (PACKAGE / root).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                name = getattr(
                    getattr(node, "func", None), "id", getattr(getattr(node, "func", None), "attr", "")
                )
                if not isinstance(node, ast.Call) or name not in ("RefusedError", "_refusal"):
                    continue
                for argument in node.args[:2]:
                    both = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
                    found.update(
                        one.value
                        for one in both
                        if isinstance(one, ast.Constant)
                        and isinstance(one.value, str)
                        and re.fullmatch(r"[a-z_]+", one.value)
                    )
    return found
