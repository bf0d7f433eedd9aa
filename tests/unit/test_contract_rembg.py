"""The contract of rembg's server, parameter by parameter."""

from __future__ import annotations

from typing import Any

import pytest

from cutoutd.job_options import JobOptions
from cutoutd.recipe import Channels, Format
from cutoutd.serve.contract import rembg
from cutoutd.serve.contract.rembg import RembgError, parse_request


def test_a_request_without_options_gives_a_png_of_the_pictures_size() -> None:
    """The default of rembg's server."""
    request = parse_request({}, {}, has_file=True)
    assert request.options == JobOptions(format=Format.PNG, channels=Channels.RGBA)
    assert request.model == "u2net"


@pytest.mark.parametrize(
    ("fields", "query", "expected"),
    [
        ({"om": "true"}, {}, {"channels": Channels.ALPHA}),
        ({"om": "0"}, {}, {}),
        ({"a": "yes", "af": "240", "ab": "10", "ae": "10", "ppm": "on"}, {}, {}),
        ({"om": "", "af": "", "model": ""}, {}, {}),
        ({"af": " 5 ", "ab": "1.0", "a": "T"}, {}, {}),
        ({}, {"bgc": "255, 0,16,255"}, {"background": "#ff0010"}),
        ({}, {"bgc": "1,2,3,0"}, {"background": "transparent"}),
        ({"bgc": "not here"}, {"extras": "{}"}, {}),
        ({"model": "isnet-general-use"}, {}, {}),
    ],
)
def test_each_parameter_has_its_effect(
    fields: dict[str, str], query: dict[str, str], expected: dict[str, Any]
) -> None:
    """``bgc`` and ``extras`` are in the query, the others in the form; alpha matting is always on."""
    whole = {"format": Format.PNG, "channels": Channels.RGBA, **expected}
    assert parse_request(fields, query, has_file=True).options == JobOptions.model_validate(whole)


@pytest.mark.parametrize(
    ("fields", "query", "place", "kind"),
    [
        ({"a": "maybe"}, {}, ["body", "a"], "bool_parsing"),
        ({"om": "2"}, {}, ["body", "om"], "bool_parsing"),
        ({"af": "256"}, {}, ["body", "af"], "less_than_equal"),
        ({"ab": "-1"}, {}, ["body", "ab"], "greater_than_equal"),
        ({"ae": "x"}, {}, ["body", "ae"], "int_parsing"),
        ({"model": "../x"}, {}, ["body", "model"], "string_pattern_mismatch"),
        ({}, {"bgc": "1,2,3"}, ["query", "bgc"], "value_error"),
        ({}, {"bgc": "1,2,3,256"}, ["query", "bgc"], "value_error"),
        ({}, {"bgc": "1,2,3,128"}, ["query", "bgc"], "value_error"),
    ],
)
def test_refusals(fields: dict[str, str], query: dict[str, str], place: list[str], kind: str) -> None:
    """Status 422 in FastAPI's words."""
    with pytest.raises(RembgError) as refused:
        parse_request(fields, query, has_file=True)
    (fault,) = refused.value.body["detail"]
    assert (refused.value.status, fault["loc"], fault["type"]) == (422, place, kind)


def test_a_missing_picture_is_a_missing_field() -> None:
    """Listed together with every other fault."""
    with pytest.raises(RembgError) as refused:
        parse_request({"af": "999"}, {}, has_file=False)
    assert [fault["loc"][1] for fault in refused.value.body["detail"]] == ["af", "file"]


def test_why_there_is_no_result() -> None:
    """The status tells the sender's faults from ours."""
    assert rembg.failed({"state": "refused", "why": "it is not a picture"}).status == 400
    assert rembg.failed({"state": "failed", "code": "Fault", "why": "x"}).status == 500
