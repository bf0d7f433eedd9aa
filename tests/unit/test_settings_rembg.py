"""Model and form fields for a rembg server: passed on as written, if the kind of reply stays."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.errors import ConfigurationError
from cutoutd.settings.document import as_toml
from cutoutd.settings.loader import assemble

if TYPE_CHECKING:
    from cutoutd.settings.schema import Settings


def settings(**hosted: Any) -> Settings:  # noqa: ANN401 -- any key
    """Return a configuration with these keys of ``[hosted]``."""
    folder = {"name": "a", "input": "/in", "output": "/out", "route": "hosted"}
    document = {"hosted": {"enabled": True, **hosted}, "folder": [folder]}
    return assemble(document, {}, origin="", base=None)


def test_model_and_fields_are_kept_as_written() -> None:
    """`cutoutd check` prints them so as well."""
    created = settings(provider="rembg", model="u2net", fields={"a": True, "af": 240, "extras": '{"x": "y"}'})
    again = tomllib.loads(as_toml(created))["hosted"]
    assert again["model"] == "u2net"
    assert again["fields"] == {"a": True, "af": 240, "extras": '{"x": "y"}'}


@pytest.mark.parametrize("name", ["om", "bgc", "url", "file", "model"])
def test_a_field_that_would_change_the_kind_of_reply_is_refused(name: str) -> None:
    """The message says what to write instead."""
    with pytest.raises(ConfigurationError, match=f'fields: "{name}"'):
        settings(provider="rembg", fields={name: "x"})


@pytest.mark.parametrize(
    "fields",
    [{"a b": 1}, {"": 1}, {'x"\r\nY': 1}, {"a": "two\r\nlines"}, {"a": "caf\u00e9"}, {"a": "x" * 1001}],
)
def test_an_invalid_form_field_is_refused(fields: dict[str, object]) -> None:
    """Such a value would become part of another field."""
    with pytest.raises(ConfigurationError, match="fields"):
        settings(provider="rembg", fields=fields)


@pytest.mark.parametrize("keys", [{"model": "u2net"}, {"fields": {"a": True}}])
@pytest.mark.parametrize("provider", ["removebg", "withoutbg"])
def test_other_services_get_no_such_fields(provider: str, keys: dict[str, object]) -> None:
    """Other services ignore these fields, which would mislead the owner."""
    with pytest.raises(ConfigurationError, match='for provider = "rembg" alone'):
        settings(provider=provider, **keys)


def test_a_model_is_one_line() -> None:
    """The model's name is sent as a form field."""
    with pytest.raises(ConfigurationError, match="model"):
        settings(provider="rembg", model="a\r\nb")
