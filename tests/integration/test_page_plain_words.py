"""What is wrong with a setting is told on the page in words of photographers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.page.backend import folder_settings, folders
from cutoutd.page.backend.plain_words import in_plain_words
from cutoutd.settings.problem import ProblemCode
from cutoutd.webserver.backend.method import RefusedError
from tests.unit.page_backend import backend_at
from tests.unit.test_page_sentences import unknown

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINTS = {**folder_settings.ENDPOINTS, **folders.ENDPOINTS}
OURS = re.compile(r"toml|[\[\]_]|\b(quotes|key|table|directory|directories|input|output)\b")
"""What a photographer need not know."""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a configuration in a home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("shoot", "catalogue"):
        (tmp_path / name).mkdir()
    return tmp_path / "cutoutd.toml"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"settle_s": "soon"},
            "“soon” is not possible here. Possible: a number from 0.1 to 3600, or “auto”.",
        ),
        (
            {"rendition.canvas": "a barn door"},
            "“a barn door” is not possible here. Possible: width and height",
        ),
        ({"rendition.margin": "9%"}, "Only a cropped cutout has a margin. Switch “Crop” on as well."),
        ({"rendition.format": "webp", "rendition.bits": "16"}, "Only PNG and TIFF have 16 bits a colour."),
        ({"rendition.format": "jpeg"}, "JPEG cannot be transparent. Choose a colour such as white"),
        ({"rendition.suffix": "a/b"}, "“a/b” is not possible here. Possible: a suffix is printable text"),
        ({"rendition.scale": "big"}, "“big” is not possible here. Possible: “auto”, or “1%” to “100%”."),
        ({"rendition.canvas": "100x150mm"}, "needs a resolution for print as well"),
        ({"include": ""}, "Without a pattern no picture would be taken."),
        ({"names": "none"}, "“none” is not possible here. Possible: one of “auto”, “portable”."),
    ],
)
def test_a_refused_value_is_told_in_plain_words(path: Path, changes: dict[str, Any], said: str) -> None:
    """What does not fit, and what does; the message stands at its field, so it names neither file nor key."""
    backend = backend_at(path)
    digest = ENDPOINTS["folder_settings"].run(backend, {"folder": "shoot"}).data["digest"]
    with pytest.raises(RefusedError) as refused:
        ENDPOINTS["change_settings"].run(backend, {"folder": "shoot", "digest": digest, "changes": changes})
    assert refused.value.status == 422
    assert said in refused.value.text
    assert OURS.search(refused.value.text) is None


WRONG: dict[str, list[object]] = {
    "text": ["1e9", "-1", "a/b, ,c", "x" * 300],
    "int": [10**9, -1],
    "float": [1e9, -1.5],
    "choice": ["other"],
}
"""Values that no field of the kind takes, or few."""

NOT_SENT = {"rendition.preset"}
"""A choice whose refusal the page cannot cause."""


def test_whatever_is_refused_is_told_in_every_language_and_numbers_as_people_write_them(path: Path) -> None:
    """Of each setting: the value, and what is possible."""
    backend = backend_at(path)
    refused = []
    for field in ENDPOINTS["folder_settings"].run(backend, {"folder": "shoot"}).data["fields"]:
        for value in WRONG.get(field["kind"], []) if field["key"] not in NOT_SENT else ():
            digest = ENDPOINTS["folder_settings"].run(backend, {"folder": "shoot"}).data["digest"]
            asked = {"folder": "shoot", "digest": digest, "changes": {field["key"]: value}}
            try:
                ENDPOINTS["change_settings"].run(backend, asked)
            except RefusedError as error:
                refused.append(error)
    said = [one.text for one in refused if one.code == "value_refused"]
    assert len(said) > 40
    assert unknown(said) == []
    assert unknown(one.partition("Possible: ")[2].rstrip(".") for one in said if "Possible: " in one) == []
    assert [one for one in said if ".0”" in one or "e+" in one] == []
    assert [one for one in said if one.count("“") != one.count("”") or '"' in one] == []


@pytest.mark.parametrize(
    ("given", "said", "key"),
    [
        ({"input": "~/shoot"}, "is the watched folder of “shoot”", "input"),
        ({"input": "~/shoot/deep"}, "lies inside the watched folder of “shoot”", "input"),
        ({"output": "~/fresh"}, "is the watched folder itself", "output"),
        ({"output": "~"}, "contains the watched folder of “shoot”", "output"),
    ],
)
def test_a_folder_that_does_not_fit_is_told_in_plain_words(
    path: Path, given: dict[str, str], said: str, key: str
) -> None:
    """Which other folder it is in the way of, and what follows from that."""
    asked = {"input": "~/fresh", "output": "~/fresh-out", "form": "transparent", "create": True, **given}
    with pytest.raises(RefusedError) as refused:
        ENDPOINTS["add_folder"].run(backend_at(path), asked)
    text = refused.value.text.replace(str(path.parent), "~")
    assert (said in text, refused.value.named["key"]) == (True, key)
    assert "Choose folders that are apart from each other." in text
    assert OURS.search(text) is None


def test_the_field_is_not_told_by_the_words_of_a_path(path: Path) -> None:
    """Before, a folder for cutouts below "a input: b" was reported at the field of the watched folder."""
    (path.parent / "shoot/a input: b").mkdir()
    asked = {"input": "~/fresh", "output": "~/shoot/a input: b", "form": "transparent", "create": True}
    with pytest.raises(RefusedError) as refused:
        ENDPOINTS["add_folder"].run(backend_at(path), asked)
    assert "Choose folders that are apart from each other." in refused.value.text
    assert refused.value.named["key"] == "output"


@pytest.mark.parametrize("code", ProblemCode)
def test_each_problem_with_a_code_has_a_sentence_of_the_page(code: ProblemCode) -> None:
    """Without the words of the loader."""
    assert in_plain_words("what the loader says", code).endswith(".")
    assert OURS.search(in_plain_words("what the loader says", code)) is None


@pytest.mark.parametrize("key", ["input", "output"])
def test_no_folder_is_chosen_by_an_empty_text(path: Path, key: str) -> None:
    """It would be the home directory."""
    asked = {"input": "~/fresh", "output": "~/fresh-out", "form": "transparent", "create": True, key: ""}
    with pytest.raises(RefusedError) as refused:
        ENDPOINTS["add_folder"].run(backend_at(path), asked)
    assert (refused.value.code, refused.value.named["key"]) == ("no_place_chosen", key)
    assert not (path.parent / "fresh").exists()


def test_a_folder_that_could_not_be_added_leaves_word_of_what_was_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directories are made before the configuration, which the disk may refuse."""
    backend = backend_at(path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cutoutd.page.backend.configuration.atomic_write", full)
    asked = {"input": "~/fresh", "output": "~/fresh-out", "form": "transparent", "create": True}
    with pytest.raises(RefusedError) as refused:
        ENDPOINTS["add_folder"].run(backend, asked)
    assert (path.parent / "fresh").is_dir()
    assert "The folder was not added" in refused.value.text
    assert "fresh-out are there" in refused.value.text
    assert "Nothing was changed" not in refused.value.text
