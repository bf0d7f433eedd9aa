"""`[pool] formats`: a format that is switched off never reaches a decoder, and the setting covers all formats."""

from __future__ import annotations

import struct
import sys

import pytest

from cutoutd.engine.formats import decode, opening
from cutoutd.errors import LimitError
from cutoutd.settings.types import PictureFormat

HEADS = {
    "jpeg": b"\xff\xd8\xff\xe0",
    "png": b"\x89PNG\r\n\x1a\n",
    "tiff": b"II\x2a\x00\x08\x00\x00\x00",
    "webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    "avif": struct.pack(">I", 24) + b"ftypavif\x00\x00\x00\x00mif1avif",
    "heic": struct.pack(">I", 24) + b"ftypheic\x00\x00\x00\x00mif1heic",
    "jpeg2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    "gif": b"GIF89a",
    "bmp": b"BM" + bytes(12) + b"\x28\x00\x00\x00",
    "raw": b"FUJIFILMCCD-RAW 0201",
}
OTHER_RAWS = (
    b"II\x2a\x00\x10\x00\x00\x00CR\x02\x00",
    b"IIRO\x08\x00\x00\x00",
    b"IIU\x00\x18\x00\x00\x00",
    struct.pack(">I", 24) + b"ftypcrx \x00\x00\x00\x01crx isom",
)


def test_the_setting_names_the_formats_that_the_engine_has() -> None:
    """There is no format that cannot be switched off."""
    assert {str(one) for one in PictureFormat} == opening.SWITCHES == HEADS.keys()


@pytest.mark.parametrize("name", HEADS)
def test_a_format_can_be_switched_off_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decoder is not even loaded; all other formats are decoded."""
    monkeypatch.setattr(decode, "PillowSource", None)
    for head in (HEADS[name], *(OTHER_RAWS if name == "raw" else ())):
        data = head + bytes(4000)
        with pytest.raises(LimitError, match="switched off") as refused:
            decode.header(data, allowed=opening.SWITCHES - {name})
        assert f'"{name}"' in refused.value.advice
        with pytest.raises(LimitError, match="switched off"):
            decode.decode(data, max_pixels=100, allowed=())
        with pytest.raises(Exception) as other:  # noqa: PT011 -- whatever the decoder says of an empty picture
            decode.header(data, allowed={name})
        assert "switched off" not in str(other.value)


@pytest.mark.parametrize(("name", "module"), [("heic", "pillow_heif"), ("raw", "rawpy")])
def test_a_decoder_that_is_not_installed_is_reported(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if an installer left it out; no internal error."""
    monkeypatch.setitem(sys.modules, module, None)
    for ours in ("cutoutd.engine.formats.heif", "cutoutd.engine.formats.raw"):
        monkeypatch.delitem(sys.modules, ours, raising=False)
    with pytest.raises(LimitError, match="not installed"):
        decode.header(HEADS[name] + bytes(4000))
