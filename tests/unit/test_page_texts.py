"""The page's catalogues of texts: complete in each language, and containing every text that is used."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.jobs import Reason
from cutoutd.page.backend.admission import is_admitted
from cutoutd.settings import reference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

STATIC = resources.files("cutoutd.page") / "static"
LANGUAGES = ("en", "de")

FROM_ELSEWHERE = ("form.", "formwhat.", "explain.", "choice.")
"""Prefixes of texts that the backend sends in English; catalogues have them in other languages only."""


def catalogue(language: str) -> dict[str, Any]:
    """Return a catalogue; fail if a key occurs twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        assert not twice, twice
        return dict(pairs)

    text = (STATIC / "lang" / f"{language}.json").read_text(encoding="utf-8")
    return dict(json.loads(text, object_pairs_hook=once))


def forms(entry: str | dict[str, str]) -> list[str]:
    """Return an entry's plural forms."""
    return [entry] if isinstance(entry, str) else list(entry.values())


def scripts(place: Traversable = STATIC / "js") -> Iterator[tuple[str, str]]:
    """Yield the name and the text, without long comments, of each module of the page."""
    for one in place.iterdir():
        if one.is_dir():
            yield from scripts(one)
        elif one.name.endswith(".js"):
            yield one.name, re.sub(r"/\*.*?\*/", "", one.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_reason_for_doubt_is_in_words_and_says_what_to_look_for(language: str) -> None:
    """A reason without a text of its own would be shown as it stands in the sidecar, in English."""
    texts = catalogue(language)
    codes = [reason.name.lower() for reason in Reason]
    assert [code for code in codes if not {f"reason.{code}", f"look_for.{code}"} <= texts.keys()] == []


def test_each_language_has_the_same_texts() -> None:
    """A missing text would be shown in English, an extra one is never used."""
    english, german = catalogue("en"), catalogue("de")

    assert english.keys() - german.keys() == set()
    assert {key for key in german.keys() - english.keys() if not key.startswith(FROM_ELSEWHERE)} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_names_the_same_values_in_each_language(language: str) -> None:
    """`{count}` in one and `{number}` in another would be shown literally."""
    english, other = catalogue("en"), catalogue(language)
    wrong = [
        key
        for key, entry in other.items()
        if key in english
        and {name for form in forms(entry) for name in re.findall(r"\{(\w+)\}", form)}
        != {name for form in forms(english[key]) for name in re.findall(r"\{(\w+)\}", form)}
    ]

    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plural_has_a_form_for_one_and_for_others(language: str) -> None:
    """English and German have two."""
    entries = catalogue(language)
    plurals = {key: set(entry) for key, entry in entries.items() if not isinstance(entry, str)}

    assert {key: names for key, names in plurals.items() if names != {"one", "other"}} == {}


def test_each_text_that_a_script_asks_for_is_there() -> None:
    """A key without a text would be shown itself."""
    english = catalogue("en")
    asked = {
        (name, key)
        for name, script in scripts()
        for key in re.findall(r"\bt\(\s*\"([\w.-]+)\"", script)
        if not key.endswith(".")
    }

    assert len(asked) > 50
    assert {one for one in asked if one[1] not in english} == set()


def test_each_setting_is_explained_in_each_language() -> None:
    """English is the reference configuration's; a setting without a German text would be shown in English, amid German."""
    english = {
        key.removeprefix("folder.")
        for key in reference.explanations()
        if key.startswith("folder.") and is_admitted(key)
    }
    german = {key.removeprefix("explain.") for key in catalogue("de") if key.startswith("explain.")}

    assert len(english) > 30
    assert german == english


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_command_that_opens_the_page_is_named_as_it_is_after_make_run_too(language: str) -> None:
    """`make run` installs nothing into the search path."""
    named = [
        (key, form)
        for key, text in catalogue(language).items()
        for form in forms(text)
        if "cutoutd page" in form
    ]
    assert len(named) > 4
    assert [key for key, form in named if ".venv/bin/cutoutd page" not in form] == []


def test_no_script_makes_markup_of_text() -> None:
    """Trusted Types refuse it in the browser; this test fails earlier."""
    wrong = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function\(")

    assert [name for name, script in scripts() if wrong.search(script)] == []


@pytest.mark.parametrize(
    ("language", "where"), [("en", "configuration file only"), ("de", "nur in der Konfigurationsdatei")]
)
def test_the_help_offers_no_path_that_the_page_refuses(language: str, where: str) -> None:
    """A background that is a picture would be read from anywhere, so the page takes none."""
    assert where in str(catalogue(language)["explain.rendition.background"])
