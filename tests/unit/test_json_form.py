"""A JSON object is read like a form in pieces of any size: names, texts, numbers, escapes.

All else is refused.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.serve.web.json_form import JsonReader, NoObjectError


def read(data: bytes, size: int) -> tuple[dict[str, str], bool]:
    """Read the data in pieces of this size; return the fields, and whether the object was complete."""
    reader, fields, name = JsonReader(), {}, ""
    found: dict[str, bytes] = {}
    for at in range(0, len(data), size):
        reader.write(data[at : at + size])
        for kind, value in reader.taken():
            if kind == "begin":
                name = value[0]
                found[name] = b""
            elif kind == "data":
                found[name] += value
    fields = {one: text.decode("utf-8", "replace") for one, text in found.items()}
    return fields, reader.is_whole


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=20), st.text(st.characters(codec="utf-8"))
    ),
    st.integers(1, 7),
    st.booleans(),
)
def test_texts_are_read_in_pieces(fields: dict[str, str], size: int, is_ascii: bool) -> None:  # noqa: FBT001 -- drawn
    """Unchanged in pieces of any size, but a surrogate pair may become two replacement characters."""
    plain = {name: text for name, text in fields.items() if max(name + text, default="") <= "\uffff"}
    data = json.dumps(plain, ensure_ascii=is_ascii).encode()
    assert read(data, size) == (plain, True)


def test_numbers_truths_and_null() -> None:
    """Numbers and truth values become their texts; null is no field."""
    data = b' { "a" : true , "b":1.5,"c":null ,"d":"x\\/y" } '
    assert read(data, 3) == ({"a": "true", "b": "1.5", "d": "x/y"}, True)
    assert read(b"{}", 1) == ({}, True)


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b'"a"',
        b"{,}",
        b'{"a":1,}',
        b'{"a":{}}',
        b'{"a":[1]}',
        b'{"a" 1}',
        b'{"a":truth}',
        b'{"a":1}x',
        b'{"a":"\\q"}',
        b'{"a":' + b"1" * 100 + b"}",
        b'{"' + b"a" * 300 + b'":1}',
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_other_json_than_an_object_of_texts_is_refused(data: bytes, size: int) -> None:
    """As soon as it is detected."""
    with pytest.raises(NoObjectError):
        read(data, size)


def test_half_an_object_is_not_whole() -> None:
    """The reader reports that the end is missing."""
    assert read(b'{"a":"b', 2)[1] is False
    assert read(b"", 1) == ({}, False)
