"""Names of results: which are allowed, in which order they are tried, and that no two sources share one."""

from __future__ import annotations

import hashlib
import itertools
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.publish.naming import (
    NAME_MAX_BYTES,
    SAFE_BYTES,
    NameForm,
    candidates,
    claim_key,
    failure_names,
    fitted,
    formed,
    has_kind,
    numbered,
    placed,
    sidecar_name,
    split_name,
)

# Names as a file system gives them: any bytes but NUL and the slash, here often text with odd characters.
_RAW = st.binary(min_size=1, max_size=255).filter(
    lambda raw: raw not in {b".", b".."} and not {0, 0x2F} & {*raw}
)
_TEXT = (
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=255)
    .map(str.encode)
    .filter(lambda raw: len(raw) <= NAME_MAX_BYTES and raw not in {b".", b".."})
)
_KIND = st.sampled_from([b"", b".jpg", b".tif", b".JPG", b".tar.jpg", b".", b" ", b".png"])
_NAME = st.one_of(
    _RAW,
    _TEXT,
    st.builds(
        lambda stem, kind: (stem + kind)[-255:],
        st.sampled_from([b"a", b"A", b"a-tif", b"a-2", b"a" * 251]),
        _KIND,
    ),
).map(os.fsdecode)
_SOURCE = st.builds(
    "/".join, st.builds(lambda parents, name: [*parents, name], st.lists(_NAME, max_size=2), _NAME)
).filter(lambda path: not {".", ".."} & {*path.split("/")})


def _first(
    source: str, count: int, *, suffix: str = "", extension: str = "png", again: bool = False
) -> list[str]:
    """Return the first candidates for a result's name."""
    names = candidates(source, suffix=suffix, extension=extension, again=again)
    return list(itertools.islice(names, count))


def test_a_contested_name_gets_the_kind_of_its_source_and_then_a_number() -> None:
    """The order the design promises."""
    assert _first("a.tif", 4) == ["a.png", "a-tif.png", "a-tif-2.png", "a-tif-3.png"]


def test_another_picture_of_the_same_name_gets_a_number_alone() -> None:
    """The extension cannot distinguish the two: both are of one kind."""
    assert _first("DSC_9999.jpg", 3, again=True) == ["DSC_9999.png", "DSC_9999-2.png", "DSC_9999-3.png"]
    assert _first("sub/a.TIF", 2, suffix="_cut", again=True) == ["sub/a_cut.png", "sub/a-2_cut.png"]
    whole = "x" * 250 + "-2.png"
    digits = hashlib.sha256(whole.encode()).hexdigest()[:8]
    assert _first("x" * 250 + ".jpg", 2, again=True)[1] == "x" * 200 + f"~{digits}.png"


@pytest.mark.parametrize(
    ("output", "source", "is_so"),
    [
        ("a-tif.png", "a.tif", True),
        ("x/a-tif-2_cut.webp", "x/a.TIF", True),
        ("a.png", "a.tif", False),
        ("a-2.png", "a.tif", False),
        ("a-2.png", "a", False),
    ],
)
def test_a_name_says_whether_it_has_its_sources_kind(output: str, source: str, *, is_so: bool) -> None:
    """The next picture of that name is numbered accordingly."""
    assert has_kind(output, source) is is_so


def test_the_suffix_stays_before_the_extension() -> None:
    """A search for `*_cut.png` finds all of them."""
    assert _first("sub/a.TIF", 3, suffix="_cut") == [
        "sub/a_cut.png",
        "sub/a-tif_cut.png",
        "sub/a-tif-2_cut.png",
    ]


@pytest.mark.parametrize(
    ("source", "first", "second"),
    [
        ("a.tar.jpg", "a.tar.png", "a.tar-jpg.png"),
        ("plain", "plain.png", "plain-2.png"),
        (".png", ".png.png", ".png-2.png"),
        ("..jpg", "..jpg.png", "..jpg-2.png"),
        ("a.", "a..png", "a.-2.png"),
        ("a .jpg", "a .png", "a -jpg.png"),
        ("a.jpg ", "a.jpg .png", "a.jpg -2.png"),
        ("Dr. Smith", "Dr. Smith.png", "Dr. Smith-2.png"),
        ("v1.2", "v1.2.png", "v1.2-2.png"),
        ("a\n.jpg", "a\n.png", "a\n-jpg.png"),
        ("caf\udce9.jpg", "caf\udce9.png", "caf\udce9-jpg.png"),
    ],
)
def test_odd_names_keep_all_of_their_stem(source: str, first: str, second: str) -> None:
    """Only a known file extension is removed."""
    assert _first(source, 2) == [first, second]


@pytest.mark.parametrize("source", ["../a.jpg", "a/../b.jpg", "/a.jpg", "a//b.jpg", "./a.jpg", ""])
def test_a_source_outside_its_folder_gets_no_name(source: str) -> None:
    """A result can never leave the output folder."""
    with pytest.raises(ValueError, match="not a path inside a folder"):
        _first(source, 1)


def test_a_suffix_cannot_lead_into_another_folder() -> None:
    """Even if the configuration accepted such a suffix."""
    with pytest.raises(ValueError, match="not one part of a path"):
        _first("a.jpg", 1, suffix="/../x")


def test_a_name_that_is_too_long_keeps_200_bytes_a_hash_and_its_extension() -> None:
    """The file can be opened, and the sidecar's name follows from the output's."""
    (output,) = _first("ü" * 125 + ".jpg", 1, suffix="_cut_out")
    whole = "ü" * 125 + "_cut_out.png"
    assert output == "ü" * 100 + "~" + hashlib.sha256(whole.encode()).hexdigest()[:8] + ".png"
    assert sidecar_name("sub/" + output) == f"sub/{output}.json"


def test_the_sidecar_of_the_longest_output_is_shortened_by_itself() -> None:
    """A picture's 255 bytes leave no room for `.json`."""
    output = "x" * 251 + ".png"
    digits = hashlib.sha256(f"{output}.json".encode()).hexdigest()[:8]
    assert _first("x" * 251 + ".jpg", 1) == [output]
    assert sidecar_name(output) == "x" * 200 + f"~{digits}.json"


@given(head=_NAME, cut=st.integers(min_value=0, max_value=3))
def test_shortening_never_splits_a_character(head: str, cut: int) -> None:
    """A UTF-8 name stays UTF-8."""
    text = os.fsencode(head).decode("utf-8", "ignore").replace("/", "")
    long = "x" * cut + text * (300 // max(1, len(text)) + 1)
    assert fitted(long, ".png").encode().decode() == fitted(long, ".png")


@given(source=_SOURCE, suffix=st.sampled_from(["", "_cut", "-ü", "x" * 60]))
def test_every_derived_name_fits_its_file_system_and_survives_as_bytes(source: str, suffix: str) -> None:
    """Outputs, sidecars, failures and originals alike."""
    outputs = _first(source, 4, suffix=suffix)
    again = _first(source, 4, suffix=suffix, again=True)
    derived = [
        *outputs,
        *again,
        *map(sidecar_name, again),
        *map(sidecar_name, outputs),
        *_first(placed(source, directory="", review=True), 2, suffix=suffix),
        *_first(placed(source, directory="web/small", review=True), 2, suffix=suffix),
        *failure_names("folder", source),
        *itertools.islice(numbered(source), 3),
    ]
    for path in derived:
        raw = os.fsencode(path)
        assert os.fsdecode(raw) == path
        assert all(0 < len(part) <= NAME_MAX_BYTES for part in raw.split(b"/"))
        assert not {b".", b".."} & {*raw.split(b"/")}
    assert len({*outputs}) == len({*again}) == len(outputs)
    assert outputs == _first(source, 4, suffix=suffix)
    assert all(path.rpartition("/")[0] == source.rpartition("/")[0] for path in outputs)


@given(sources=st.lists(_SOURCE, unique=True, max_size=12))
def test_no_two_sources_get_the_same_name(sources: list[str]) -> None:
    """Each takes the first name that is free for its output and its sidecar."""
    claimed: set[bytes] = set()
    for source in sources:
        for output in candidates(source, suffix="", extension="png"):
            keys = {claim_key(f"/out/{output}"), claim_key(f"/out/{sidecar_name(output)}")}
            if not keys & claimed:
                claimed |= keys
                break
    assert len(claimed) == 2 * len(sources)


def test_a_source_that_is_called_like_a_contested_name_gets_another() -> None:
    """`a-tif.jpg` beside `a.jpg` and `a.tif`."""
    taken: set[str] = set()
    names = {}
    for source in ("a.jpg", "a.tif", "a-tif.jpg", "a.TIF"):
        names[source] = next(
            name for name in candidates(source, suffix="", extension="png") if name not in taken
        )
        taken.add(names[source])
    assert names == {
        "a.jpg": "a.png",
        "a.tif": "a-tif.png",
        "a-tif.jpg": "a-tif-jpg.png",
        "a.TIF": "a-tif-2.png",
    }


@given(name=_NAME)
def test_names_that_some_file_system_confuses_have_one_claim(name: str) -> None:
    """Composed or decomposed, upper or lower case: one file on a Mac or a share."""
    assert claim_key(unicodedata.normalize("NFD", name)) == claim_key(unicodedata.normalize("NFC", name))
    assert claim_key(name.upper().casefold()) == claim_key(name.upper())
    assert claim_key("STRASSE.png") == claim_key("straße.png")


def test_claims_tell_other_bytes_apart() -> None:
    """Names that are not UTF-8 are distinct too."""
    assert claim_key("/out/\udce9.png") != claim_key("/out/\udce8.png")
    assert claim_key("/out/\udce9.png") == b"/out/\xe9.png"


def test_a_failure_has_a_second_name_that_only_its_source_can_have() -> None:
    """`A.jpg` and `a.jpg` collide on a case-insensitive file system."""
    plain, own, last = failure_names("shop", "sub/A.jpg")
    assert last.startswith("failed/picture~")  # no sub-folder, in case a file has its name
    assert plain == "failed/sub/A.jpg.error.json"
    assert own.startswith("failed/sub/A.jpg~")
    assert own != failure_names("shop", "sub/a.jpg")[1].replace("a.jpg", "A.jpg")
    assert own != failure_names("other", "sub/A.jpg")[1]


def test_an_original_that_is_moved_away_keeps_its_extension() -> None:
    """`a-2.TIF` can be opened like `a.TIF`."""
    assert list(itertools.islice(numbered("sub/a.TIF"), 3)) == ["sub/a.TIF", "sub/a-2.TIF", "sub/a-3.TIF"]
    assert list(itertools.islice(numbered("plain"), 2)) == ["plain", "plain-2"]


@given(name=_NAME)
def test_splitting_loses_nothing(name: str) -> None:
    """Stem, dot and extension together are the name."""
    stem, kind = split_name(name)
    assert (f"{stem}.{kind}" if kind else stem) == name
    assert stem


@pytest.mark.parametrize("name", ["review", "failed", "Review", "FAILED"])
def test_a_sub_folder_of_the_input_is_never_mixed_with_one_of_ours(name: str) -> None:
    """Otherwise good results of an input folder `review/` would be among the doubtful ones.

    Names are compared case-insensitively.
    """
    assert placed(f"{name}/a.jpg", directory="", review=False) == f"{name}_/a.jpg"
    assert placed(f"x/{name}/a.jpg", directory="", review=False) == f"x/{name}/a.jpg"
    assert placed("a.jpg", directory=name, review=False) == f"{name}_/a.jpg"
    assert placed(f"{name}/a.jpg", directory="", review=True) == f"review/{name}/a.jpg"
    assert placed(name, directory="", review=False) == name


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        ("a 10:30.png", "a 10_30.png"),
        ('<>:"|?*\\.png', "________.png"),
        ("dot.", "dot_"),
        ("space ", "space_"),
        ("both. .", "both___"),
        ("CON", "CON_"),
        ("nul.png", "nul_.png"),
        ("Com1.tar.png", "Com1_.tar.png"),
        ("COM\xb2.png", "COM\xb2_.png"),
        ("LPT\xb9", "LPT\xb9_"),
        ("aux .png", "aux_.png"),
        ("CONIN$", "CONIN$_"),
        ("COM10.png", "COM10.png"),
        ("console.png", "console.png"),
        ("a\tb\x1b.png", "a_b_.png"),
        ("\udce9.png", "_.png"),
        ("e\u0301 \u65e5\u672c.png", "e\u0301 \u65e5\u672c.png"),
    ],
)
def test_the_portable_form_of_a_name(name: str, portable: str) -> None:
    """Characters that Windows refuses are replaced in each part of a path, and nothing else."""
    assert formed(name, NameForm.PORTABLE) == portable
    assert formed(f"{name}/{name}", NameForm.PORTABLE) == f"{portable}/{portable}"


@given(
    name=st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=300
    ).filter(lambda name: name not in {".", ".."})
)
def test_every_form_is_a_name_that_is_in_that_form(name: str) -> None:
    """One part of a path, never empty, valid on every system, and unchanged when converted again."""
    portable, safe = formed(name, NameForm.PORTABLE), formed(name, NameForm.SAFE)
    for one in (portable, safe):
        assert one not in {"", ".", ".."}
        assert "/" not in one
        assert one[-1] not in ". "
        assert not set(one) & set('<>:"|?*\\')
        assert formed(one, NameForm.PORTABLE) == one
    assert safe.isascii()
    assert len(safe) <= SAFE_BYTES
    assert formed(safe, NameForm.SAFE) == safe
