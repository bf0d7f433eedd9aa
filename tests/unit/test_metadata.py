"""The metadata of its source that a cutout keeps, under each policy."""

from __future__ import annotations

import io
import struct
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cutoutd.engine.containers import xmp
from cutoutd.engine.containers.exif import PHOTOSHOP, PREFIX
from cutoutd.engine.containers.metadata import apply_policy, orientation
from cutoutd.engine.containers.tiff_structure import TiffStructure
from cutoutd.recipe import Metadata

MAKE, ORIENTATION, EXIF_IFD, GPS_IFD, MAKER_NOTE, EXPOSURE = 0x010F, 0x0112, 0x8769, 0x8825, 0x927C, 0x829A
DATE = "2026:03:01 12:00:00"
NOTE = b"maker's own secret place, forty-seven north"
XMP = (
    b'<x:xmpmeta><rdf:Description tiff:Orientation="6" dc:title="A"/>'
    b"<xmp:Thumbnails><rdf:li>aGFsbG8=</rdf:li></xmp:Thumbnails></x:xmpmeta>"
)


def block(*, order: str = "<", turned: int = 6) -> bytes:
    """Return EXIF with camera data, a maker note and a position."""
    exif = Image.Exif()
    exif.endian = order
    exif[MAKE] = "Maker"
    exif[ORIENTATION] = turned
    exif.get_ifd(EXIF_IFD).update({EXPOSURE: 0.01, MAKER_NOTE: NOTE})
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (47.0, 22.0, 33.0), 3: "E", 4: (8.0, 32.0, 30.0)})
    return exif.tobytes()


def with_thumbnail(exif: bytes, thumbnail: bytes) -> bytes:
    """Return the same block with a second directory that holds a small JPEG."""
    body = bytearray(exif.removeprefix(PREFIX))
    order: Literal["little", "big"] = "little" if body[:2] == b"II" else "big"
    root = int.from_bytes(body[4:8], order)
    link = root + 2 + 12 * int.from_bytes(body[root : root + 2], order)
    second = len(body)
    body[link : link + 4] = second.to_bytes(4, order)
    entries = ((0x0201, second + 2 + 24 + 4), (0x0202, len(thumbnail)))
    body += len(entries).to_bytes(2, order)
    for tag, value in entries:
        body += (
            tag.to_bytes(2, order)
            + (4).to_bytes(2, order)
            + (1).to_bytes(4, order)
            + value.to_bytes(4, order)
        )
    return bytes(body + bytes(4) + thumbnail)


def read(exif: bytes | None) -> Image.Exif:
    """Return the block as Pillow reads it."""
    found = Image.Exif()
    found.load(exif or b"")
    return found


@pytest.mark.parametrize("order", ["<", ">"])
def test_keep_keeps_everything_but_the_orientation(order: str) -> None:
    """Pixels are upright, so the tag says 1; camera, position and maker note stay."""
    left = apply_policy(block(order=order), XMP, Metadata.KEEP)
    found = read(left.exif)
    assert (found[MAKE], found[ORIENTATION]) == ("Maker", 1)
    assert found.get_ifd(GPS_IFD)[2] == (47.0, 22.0, 33.0)
    assert found.get_ifd(EXIF_IFD)[MAKER_NOTE] == NOTE
    assert left.warnings == ()


@pytest.mark.parametrize("order", ["<", ">"])
def test_no_location_takes_out_all_that_may_tell_the_place(order: str) -> None:
    """Position, its pointer, the opaque maker note and XMP are removed; the camera stays."""
    left = apply_policy(block(order=order), XMP, Metadata.NO_LOCATION)
    found = read(left.exif)
    assert (found[MAKE], found[ORIENTATION]) == ("Maker", 1)
    assert found.get_ifd(EXIF_IFD)[EXPOSURE] == pytest.approx(0.01)
    assert GPS_IFD not in found
    assert MAKER_NOTE not in found.get_ifd(EXIF_IFD)
    assert left.xmp is None


def test_no_byte_of_the_position_is_left() -> None:
    """Not only the pointer is removed: the rational of 47 degrees is nowhere in the block."""
    degrees = (47).to_bytes(4, "little") + (1).to_bytes(4, "little")
    assert degrees in block()
    left = apply_policy(block(), None, Metadata.NO_LOCATION).exif
    assert left is not None
    assert degrees not in left
    assert NOTE not in left


TEXTS = {
    0x010D: "document name",
    0x010E: "description",
    0x013C: "host computer",
    0x9C9B: "title",
    0x9C9C: "comment",
    0x9C9E: "keywords",
    0x9C9F: "subject",
    0x87B1: "0x87B1",
    0xC4A5: "0xC4A5",
}


@pytest.mark.parametrize("order", ["<", ">"])
def test_no_location_takes_out_titles_captions_and_keywords_of_exif(order: str) -> None:
    """Of IPTC and XMP they went, of EXIF they stayed: Windows and cameras write them there."""
    exif = Image.Exif()
    exif.endian = order
    exif.update(
        {MAKE: "Maker", 0x0131: "Software", 0x013B: "Ann", 0x8298: "(c) Ann", 0x0132: DATE, 0x011A: 72.0}
    )
    exif.update(dict.fromkeys(TEXTS, b"Cologne"))
    exif.update({0x830E: (50.9, 6.9, 0.0), 0x0002: 50})
    texts = {
        0x9286: b"ASCII\x00\x00\x00Cologne",
        0x9003: DATE,
        0xA434: "Lens",
        0xA436: "Cologne",
        EXPOSURE: 0.01,
    }
    exif.get_ifd(EXIF_IFD).update(texts)
    left = apply_policy(exif.tobytes(), None, Metadata.NO_LOCATION)
    found = read(left.exif)
    assert b"Cologne" not in (left.exif or b"")
    assert set(found) == {MAKE, 0x0131, 0x013B, 0x8298, 0x0132, 0x011A, EXIF_IFD}
    assert found.get_ifd(EXIF_IFD) == {0x9003: DATE, 0xA434: "Lens", EXPOSURE: pytest.approx(0.01)}
    assert {f"EXIF: {name}" for name in (*TEXTS.values(), "user comment", "image title")} <= set(left.dropped)
    kept = apply_policy(exif.tobytes(), None, Metadata.KEEP)
    assert (kept.exif or b"").count(b"Cologne") == len(TEXTS) + 2
    assert kept.dropped == ()


def test_the_copyright_stays_if_it_is_text_as_in_exif_3() -> None:
    """Its type is a new one, so it counted as a value of no bytes."""
    text = "\N{COPYRIGHT SIGN} Ann".encode() + b"\x00"
    left = apply_policy(entries((0x8298, 129, len(text), 26), then=text), None, Metadata.NO_LOCATION)
    assert text in (left.exif or b"")
    assert b"dc:rights" in (left.xmp or b"")


def test_what_no_directory_names_is_gone_with_the_place() -> None:
    """Of a JPEG with two EXIF segments the second stands behind the first, with a position of its own."""
    degrees = (47).to_bytes(4, "little") + (1).to_bytes(4, "little")
    behind = block().removeprefix(PREFIX)
    left = apply_policy(block() + behind, None, Metadata.NO_LOCATION)
    assert read(left.exif)[MAKE] == "Maker"
    assert degrees not in (left.exif or b"")
    assert NOTE not in (left.exif or b"")
    assert NOTE in (apply_policy(block() + behind, None, Metadata.KEEP).exif or b"")


def test_rights_keep_no_place_that_another_standard_has_put_inside() -> None:
    """A field or qualifier of another namespace went along with the property that it stands in."""
    inner = (
        '<dc:creator p:City="Cologne"><r:Seq><r:li p:State="Cologne">Ann</r:li></r:Seq><p:City>Cologne</p:City></dc:creator>'
        '<plus:Licensor r:parseType="Resource"><plus:LicensorName>Ann</plus:LicensorName><p:City>Cologne</p:City></plus:Licensor>'
    )
    names = 'xmlns:p="http://ns.adobe.com/photoshop/1.0/" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"'
    packet = (
        f'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/" {names}>'
        f"<r:Description>{inner}</r:Description></r:RDF>"
    ).encode()
    left = apply_policy(None, packet, Metadata.NO_LOCATION).xmp or b""
    assert b"Cologne" not in left
    assert left.count(b"Ann") == 2
    assert b"Cologne" in (apply_policy(None, packet, Metadata.KEEP).xmp or b"")


def test_none_keeps_nothing() -> None:
    """Neither block survives."""
    left = apply_policy(block(), XMP, Metadata.NONE)
    assert (left.exif, left.xmp) == (None, None)


@pytest.mark.parametrize("policy", [Metadata.KEEP, Metadata.NO_LOCATION])
def test_a_thumbnail_never_shows_what_was_cut_away(policy: Metadata) -> None:
    """The thumbnail is removed with its directory, and the block is as short as without it."""
    file = io.BytesIO()
    Image.new("RGB", (32, 24), "red").save(file, "JPEG")
    left = apply_policy(with_thumbnail(block(), file.getvalue()), None, policy)
    assert left.exif is not None
    assert b"\xff\xd8\xff" not in left.exif
    assert left.exif == apply_policy(block(), None, policy).exif


def test_xmp_does_not_turn_the_cutout_again() -> None:
    """Its orientation becomes 1 and its thumbnails are removed, the rest stays."""
    left = apply_policy(None, XMP, Metadata.KEEP).xmp
    assert left is not None
    assert b'tiff:Orientation="1" dc:title="A"' in left
    assert b"Thumbnails" not in left


@pytest.mark.parametrize("turned", range(1, 9))
def test_the_orientation_is_read(turned: int) -> None:
    """In both byte orders, with and without the prefix."""
    assert orientation(block(turned=turned)) == turned
    assert orientation(block(turned=turned, order=">").removeprefix(PREFIX)) == turned


def test_an_impossible_orientation_counts_as_upright() -> None:
    """Cameras have written 0 and worse."""
    assert orientation(block(turned=0)) == 1
    assert orientation(block(turned=9)) == 1
    assert orientation(None) == 1
    assert orientation(b"not EXIF") == 1


def test_damaged_exif_is_dropped_with_a_warning() -> None:
    """No job fails because of it."""
    left = apply_policy(b"II\x2a\x00\xff\xff\xff\x7f", XMP, Metadata.KEEP)
    assert left.exif is None
    assert left.xmp is not None
    assert "damaged" in left.warnings[0]


@given(
    noise=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=12),
    cut=st.integers(0, 420),
    policy=st.sampled_from(Metadata),
)
def test_whatever_is_wrong_with_exif_the_answer_is_a_value(
    noise: list[tuple[int, int]], cut: int, policy: Metadata
) -> None:
    """Any bytes changed, any length: nothing is raised, and what is kept is upright."""
    data = bytearray(with_thumbnail(block(), b"\xff\xd8\xff\xd9" * 8))
    for place, value in noise:
        data[place % len(data)] = value
    left = apply_policy(bytes(data[:cut]), None, policy)
    assert left.exif is None or orientation(left.exif) == 1
    assert orientation(bytes(data[:cut])) in range(1, 9)


def packet(inner: str, attributes: str = "") -> bytes:
    """Return XMP with these properties."""
    spaces = {
        "dc": "http://purl.org/dc/elements/1.1/",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    }
    named = "".join(f' xmlns:{prefix}="{space}"' for prefix, space in spaces.items())
    body = f'<rdf:RDF{named}><rdf:Description rdf:about="" {attributes}>{inner}</rdf:Description></rdf:RDF>'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{body}</x:xmpmeta>'.encode()


def test_rights_stay_as_attributes_and_as_elements() -> None:
    """RDF allows both; other properties are removed and listed."""
    rights = "<dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>A &amp; B</rdf:li></rdf:Alt></dc:rights>"
    found = packet(rights, 'photoshop:Credit="&lt;C&gt;" photoshop:City="Berlin"')
    left = apply_policy(None, found, Metadata.NO_LOCATION)
    assert left.xmp is not None
    assert b"A &amp; B" in left.xmp
    assert b"&lt;C&gt;" in left.xmp
    assert b"Berlin" not in left.xmp
    assert left.dropped == ("XMP: photoshop:City",)
    assert read(left.exif)[0x8298].encode("latin-1", "replace") == b"A & B"


@pytest.mark.parametrize("policy", [Metadata.KEEP, Metadata.NO_LOCATION, Metadata.NONE])
def test_a_cutout_names_its_source_where_it_is_to(policy: Metadata) -> None:
    """Whatever else is kept, once, and in place of the source's own history."""
    before = packet(
        "<xmpMM:DerivedFrom xmlns:xmpMM='http://ns.adobe.com/xap/1.0/mm/'>old</xmpMM:DerivedFrom>"
    )
    left = apply_policy(None, before, policy, derived_from="ab" * 32).xmp
    assert left is not None
    assert left.count(b"<xmpMM:DerivedFrom") == 1
    assert b"sha256:" + b"ab" * 32 in left
    assert b"old" not in left


@pytest.mark.parametrize(
    "found",
    [
        b"<not xml",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"\xff\xfe<",
        packet("<photoshop:Credit>" * 50_000 + "</photoshop:Credit>" * 50_000),
    ],
)
def test_malformed_xmp_is_dropped_and_named(found: bytes) -> None:
    """Entities are never expanded, and any depth of nesting is safe."""
    left = apply_policy(None, found, Metadata.NO_LOCATION)
    assert left.xmp is None
    assert left.dropped == ("XMP: all, as it is damaged",)


@given(
    iptc=st.binary(max_size=60),
    head=st.sampled_from([b"", b"\x1c\x02\x50\x00\x05Annie", b"\x1c\x02\x74\x00\x03\x01\xff\x00"]),
)
def test_whatever_is_wrong_with_iptc_the_answer_is_a_value(iptc: bytes, head: bytes) -> None:
    """Nothing is raised, and the XMP made of it is well-formed."""
    for policy in Metadata:
        left = apply_policy(block(), None, policy, head + iptc)
        assert left.xmp is None or xmp.properties(left.xmp) is not None


def entries(*found: tuple[int, int, int, int], then: bytes = b"") -> bytes:
    """Return EXIF of these entries: tag, type, count and value or offset."""
    packed = b"".join(struct.pack("<HHII", *one) for one in found)
    return b"II\x2a\x00\x08\x00\x00\x00" + struct.pack("<H", len(found)) + packed + bytes(4) + then


def test_a_second_list_of_camera_data_hides_no_place() -> None:
    """Others show both, exiftool among them; ours looked at the first alone, and the maker note in the second was kept."""
    first, second = 8 + 2 + 2 * 12 + 4, 8 + 2 + 2 * 12 + 4 + 6
    secret = b"secret place"
    note = struct.pack("<HHHII", 1, MAKER_NOTE, 7, len(secret), second + 18) + bytes(4) + secret
    exif = entries((EXIF_IFD, 4, 1, first), (EXIF_IFD, 4, 1, second), then=bytes(6) + note)
    kept = apply_policy(exif, None, Metadata.NO_LOCATION)
    assert secret not in (kept.exif or b"")
    assert kept.warnings


def test_entries_without_end_are_each_looked_at_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of 64 KiB took half a minute, one of 2 MB an hour: each entry that goes was looked for from the beginning."""
    numbers = 0
    number = TiffStructure.number

    def counted(structure: TiffStructure, code: str, at: int) -> int:
        nonlocal numbers
        numbers += 1
        return number(structure, code, at)

    monkeypatch.setattr(TiffStructure, "number", counted)
    count = 2000
    kept = apply_policy(
        entries(*[(MAKE, 7, 4, 0)] * count, *[(PHOTOSHOP, 7, 4, 0)] * count), None, Metadata.KEEP
    )
    assert read(kept.exif)[MAKE] == bytes(4)
    assert numbers < 100 * count


@pytest.mark.parametrize(
    "inner",
    ["<a:b/>" * 250_000, "<p:q>" + "".join(f'<b xmlns="{number}"/>' for number in range(110_000)) + "</p:q>"],
)
@pytest.mark.timeout(40)
def test_properties_and_namespaces_without_end_take_as_long_as_their_bytes(inner: str) -> None:
    """Two megabytes took minutes, since each was looked for among all."""
    xmp_packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:a="u" xmlns:p="http://ns.useplus.org/ldf/xmp/1.0/">'
        '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f"<r:Description>{inner}</r:Description></r:RDF></x:xmpmeta>"
    ).encode()
    kept = apply_policy(None, xmp_packet, Metadata.KEEP, derived_from="0" * 64).xmp
    assert xmp.properties(kept or b"")
