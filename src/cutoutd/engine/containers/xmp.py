"""XMP packets: their properties one by one, which of them are about rights, and a packet of chosen ones.

It must not decide by policy; and what is malformed, or tries to define entities, has no properties.

ISO 16684-1 (XMP); IPTC Photo Metadata Standard 2023; PLUS 2.0.0 (licences).
"""

from __future__ import annotations

import re
from html import escape  # xml.sax.saxutils would import urllib.request, and workers load nothing of a network
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML: Final = "http://www.w3.org/XML/1998/namespace"
_PREFIXES: Final = {
    _RDF: "rdf",
    _XML: "xml",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/sType/ResourceRef#": "stRef",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.useplus.org/ldf/xmp/1.0/": "plus",
    "http://creativecommons.org/ns#": "cc",
}
_SPACES: Final = {prefix: space for space, prefix in _PREFIXES.items()}
_RIGHTS_SPACES: Final = frozenset({"xmpRights", "plus", "cc"})
_RIGHTS: Final = frozenset(
    {
        *("dc:rights", "dc:creator", "dc:publisher", "photoshop:Credit", "photoshop:Source"),
        *("photoshop:AuthorsPosition", "photoshop:Instructions", "photoshop:DateCreated"),
        *("xmp:CreateDate", "xmp:ModifyDate", "exif:DateTimeOriginal", "exif:DateTimeDigitized"),
        *(
            "tiff:Artist",
            "tiff:Copyright",
            "Iptc4xmpCore:CreatorContactInfo",
            "Iptc4xmpExt:DigitalSourceType",
        ),
    }
)
_MAX_DEPTH: Final = 50
_ENTITIES: Final = re.compile(r"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_PACKET: Final = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{}<?xpacket end="w"?>'


def properties(packet: bytes) -> list[ET.Element] | None:
    """Return the properties of a packet, as elements; None where the packet is malformed.

    Args:
        packet: UTF-8 or UTF-16.
    """
    try:
        text = packet.strip(b"\x00 \r\n\t").decode(
            "utf-16" if packet[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        )
        if _ENTITIES.search(text):
            return None
        root = ET.fromstring(text)  # noqa: S314 -- see above
        return list(_properties(root)) if _is_shallow(root) else None
    except (ET.ParseError, ValueError, RecursionError):
        return None


def _is_shallow(root: ET.Element) -> bool:
    """Whether the elements are nested no deeper than valid properties are."""
    level = [root]
    for _ in range(_MAX_DEPTH):
        level = [child for element in level for child in element]
        if not level:
            return True
    return False


def _properties(root: ET.Element) -> Iterator[ET.Element]:
    for rdf in root.iter(f"{{{_RDF}}}RDF"):
        for description in rdf.findall(f"{{{_RDF}}}Description"):
            for name, value in description.attrib.items():
                if name.startswith("{") and not name.startswith((f"{{{_RDF}}}", f"{{{_XML}}}")):
                    element = ET.Element(name)
                    element.text = value
                    yield element
            yield from description


def name_of(element: ET.Element) -> str:
    """Return the name of a property, such as ``dc:rights``; with the full namespace where that has no usual prefix."""
    space, _, name = element.tag.removeprefix("{").partition("}")
    return f"{_PREFIXES.get(space, space)}:{name}"


def is_about_rights(element: ET.Element) -> bool:
    """Whether a property states the creator, the rights or the date of a picture."""
    name = name_of(element)
    return name in _RIGHTS or name.partition(":")[0] in _RIGHTS_SPACES


def keep_own_fields(element: ET.Element) -> None:
    """Remove, in place, what other standards have added inside a property: a place beside a name, for example."""
    own = (f"{{{_RDF}}}", f"{{{_XML}}}", element.tag.partition("}")[0] + "}")
    for one in list(element.iter()):
        one[:] = [child for child in one if child.tag.startswith(own)]
        for name in [name for name in one.attrib if name.startswith("{") and not name.startswith(own)]:
            del one.attrib[name]


def simple(name: str, text: str) -> ET.Element:
    """Build a property of one value."""
    element = _element(name)
    element.text = _allowed(text)
    return element


def listed(name: str, values: Iterable[str], kind: str) -> ET.Element:
    """Build a property of several values.

    Args:
        name: such as ``dc:creator``.
        values: in order.
        kind: type of the list: ``Seq``, ``Bag``; or ``Alt``, whose only value is that of the default language.
    """
    element = _element(name)
    holder = ET.SubElement(element, f"{{{_RDF}}}{kind}")
    for value in values:
        item = ET.SubElement(holder, f"{{{_RDF}}}li")
        item.text = _allowed(value)
        if kind == "Alt":
            item.set(f"{{{_XML}}}lang", "x-default")
    return element


def structure(name: str, fields: Mapping[str, str]) -> ET.Element:
    """Build a property that has fields."""
    element = _element(name)
    element.set(f"{{{_RDF}}}parseType", "Resource")
    for field, value in fields.items():
        element.append(simple(field, value))
    return element


def all_text(element: ET.Element) -> str:
    """Return the value of a property; of language alternatives the first, of a list all."""
    if (alternatives := element.find(f"{{{_RDF}}}Alt")) is not None:
        return next(((one.text or "").strip() for one in alternatives), "")
    items = [(one.text or "").strip() for one in element.iter(f"{{{_RDF}}}li")]
    return "; ".join(item for item in items if item) or (element.text or "").strip()


def packet(elements: Iterable[ET.Element]) -> bytes:
    """Build a packet of these properties, UTF-8."""
    spaces = dict(_PREFIXES)
    body = "".join(_serialise(element, spaces) for element in elements)
    named = "".join(
        f" xmlns:{prefix}={_attribute(space)}"
        for space, prefix in spaces.items()
        if prefix != "xml" and (space not in _PREFIXES or f"{prefix}:" in body)
    )
    if "xmlns:rdf" not in named:
        named += f' xmlns:rdf="{_RDF}"'
    inner = f'<rdf:RDF{named}><rdf:Description rdf:about="">{body}</rdf:Description></rdf:RDF>'
    return _PACKET.format(f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{inner}</x:xmpmeta>').encode()


def _allowed(text: str) -> str:
    """Remove characters that XML forbids."""
    return "".join(letter for letter in text if letter >= " " or letter in "\t\n\r")


def _attribute(value: str) -> str:
    """Quote an attribute value; line ends and tabs are escaped, as a parser reads them as spaces otherwise."""
    quoted = escape(value)
    for letter in "\t\n\r":
        quoted = quoted.replace(letter, f"&#{ord(letter)};")
    return f'"{quoted}"'


def _element(name: str) -> ET.Element:
    prefix, _, local = name.partition(":")
    return ET.Element(f"{{{_SPACES[prefix]}}}{local}")


def _serialise(element: ET.Element, spaces: dict[str, str]) -> str:
    name = _qualified(element.tag, spaces)
    attributes = "".join(
        f" {_qualified(key, spaces)}={_attribute(value)}" for key, value in element.attrib.items()
    )
    inner = "".join(_serialise(child, spaces) for child in element)
    text = escape((element.text or "").strip() if len(element) else element.text or "", quote=False)
    return f"<{name}{attributes}>{text}{inner}</{name}>"


def _qualified(name: str, spaces: dict[str, str]) -> str:
    if not name.startswith("{"):
        return name
    space, _, local = name[1:].partition("}")
    return f"{spaces.setdefault(space, f'ns{len(spaces)}')}:{local}"
