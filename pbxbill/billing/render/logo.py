"""Logos: what kind an image is, said by its content, and whether it can be put on a document safely."""

import io
import re
import warnings
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import NamedTuple

from pbxbill.errors import InputRefused

LOGO_MAX_BYTES = 1_000_000
LOGO_MAX_PIXELS = 4000
SVG_MAX_ELEMENTS = 5_000
SVG_TYPE = "image/svg+xml"

_SVG = "http://www.w3.org/2000/svg"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
_SVG_ELEMENTS = frozenset((
    "svg", "g", "defs", "title", "desc", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon",
    "text", "tspan", "linearGradient", "radialGradient", "stop", "clipPath", "mask", "symbol",
))  # fmt: skip
_SVG_NEVER = frozenset(("script", "foreignObject", "image", "style", "animate", "set", "a", "iframe", "use"))
"""What runs, or brings something in; ten <use> of ten <use> and so on draw one shape a billion times."""
SVG_MAX_LENGTH = Decimal(1_000_000)
_SVG_SIZES = ("width", "height")
_NUMBER = r"[+-]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][+-]?\d{1,3})?"
_SIZE = re.compile(rf"\s*(?P<number>{_NUMBER})\s*(?:px|pt|pc|mm|cm|in|em|ex|rem|%)?\s*")
_VIEW_BOX = re.compile(rf"\s*({_NUMBER})(?:(?:\s*,\s*|\s+)({_NUMBER})){{3}}\s*")
_REFERENCE = re.compile(r"url\s*\(\s*['\"]?\s*(?P<target>[^)'\"]*)", re.IGNORECASE)


class Logo(NamedTuple):
    """An image that was checked; an SVG is written anew from what is allowed in it."""

    media_type: str
    content: bytes

    @property
    def data_uri(self) -> str:
        """For HTML that stands alone."""
        return f"data:{self.media_type};base64,{b64encode(self.content).decode('ascii')}"


def checked_logo(content: bytes) -> Logo:
    """A logo as it can be used; InputRefused says why it cannot."""
    if not content:
        raise InputRefused("the logo is empty; give a PNG, JPEG or SVG file")
    if len(content) > LOGO_MAX_BYTES:
        raise InputRefused(f"the logo has {len(content)} bytes; at most {LOGO_MAX_BYTES} are taken")
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _bitmap(content, "PNG", "image/png")
    if content.startswith(b"\xff\xd8\xff"):
        return _bitmap(content, "JPEG", "image/jpeg")
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return _svg(content)
    raise InputRefused("the logo is no PNG, JPEG or SVG image, whatever its name says")


@contextmanager
def _whole_images() -> Iterator[None]:
    """An image that ends too early is broken, although WeasyPrint has the library pad it everywhere."""
    from PIL import ImageFile

    padded, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = padded


def _bitmap(content: bytes, kind: str, media_type: str) -> Logo:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of images that unpack to a gigabyte
            with _whole_images(), Image.open(io.BytesIO(content), formats=(kind,)) as image:
                if max(image.size) > LOGO_MAX_PIXELS:
                    width, height = image.size
                    raise InputRefused(
                        f"the logo has {width} x {height} pixels; at most {LOGO_MAX_PIXELS} each way are "
                        "taken"
                    )
                image.load()
    except InputRefused:
        raise
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as fault:
        raise InputRefused(f"the logo is a broken {kind}: {str(fault)[:80]}") from None
    return Logo(media_type, content)


def _svg(content: bytes) -> Logo:
    from lxml import etree

    if b"<!DOCTYPE" in content[:4096].upper() or b"<!ENTITY" in content.upper():
        raise InputRefused("the logo's SVG declares a DOCTYPE or entities; save it as plain SVG")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as fault:
        raise InputRefused(f"the logo is no SVG that can be read: {str(fault)[:100]}") from None
    if root.tag not in (f"{{{_SVG}}}svg", "svg"):
        raise InputRefused("the logo is no PNG, JPEG or SVG image, whatever its name says")
    for count, element in enumerate(list(root.iter())):
        if count >= SVG_MAX_ELEMENTS:
            raise InputRefused(f"the logo's SVG has more than {SVG_MAX_ELEMENTS} elements; simplify it")
        _check_svg_element(element, root)
    return Logo(SVG_TYPE, etree.tostring(root, encoding="utf-8"))


def _check_svg_element(element: "etree._Element", root: "etree._Element") -> None:  # type: ignore[name-defined]  # noqa: F821  # lxml is imported where it is used
    name = str(element.tag).rpartition("}")[2]
    namespace = str(element.tag).rpartition("}")[0].lstrip("{")
    if name in _SVG_NEVER:
        raise InputRefused(f"the logo's SVG has a <{name}>; save it as plain SVG with shapes only")
    if namespace not in (_SVG, "") or name not in _SVG_ELEMENTS:
        # What drawing programs keep for themselves is left out; it draws nothing.
        parent = element.getparent()
        if parent is not None and element is not root:
            parent.remove(element)
        return
    for attribute, value in list(element.attrib.items()):
        plain = str(attribute).rpartition("}")[2].lower()
        if plain == "href":
            if not str(value).startswith("#"):
                raise InputRefused("the logo's SVG refers to something outside of itself; embed or remove it")
        elif plain.startswith("on") or plain == "base":
            raise InputRefused(f"the logo's SVG has the attribute {plain}; save it as plain SVG")
        if any(not found["target"].startswith("#") for found in _REFERENCE.finditer(str(value))):
            raise InputRefused("the logo's SVG refers to something outside of itself; embed or remove it")
        if "\\" in str(value) or "@" in str(value):  # by which a style could hide what it refers to
            raise InputRefused(f"the logo's SVG has an unusual {plain}; save it as plain SVG")
        _check_svg_numbers(plain, str(value))
        if str(attribute).startswith("{") and attribute != _XLINK_HREF:
            del element.attrib[attribute]


def _check_svg_numbers(name: str, value: str) -> None:
    """Sizes that are no numbers, or astronomic ones, would only be noticed when a document is set."""
    if name in _SVG_SIZES and value.strip() != "auto":
        found = _SIZE.fullmatch(value)
        if found is None or not 0 <= Decimal(found["number"]) <= SVG_MAX_LENGTH:
            raise InputRefused(
                f"the logo's SVG has the {name} {value[:40]!r}; write a number from 0 to {SVG_MAX_LENGTH}"
            )
    if name == "viewbox":
        numbers = [Decimal(n) for n in re.findall(_NUMBER, value)] if _VIEW_BOX.fullmatch(value) else []
        if not numbers or max(map(abs, numbers)) > SVG_MAX_LENGTH or min(numbers[2:]) <= 0:
            raise InputRefused(
                f"the logo's SVG has the viewBox {value[:80]!r}; write its left, top, width and height as "
                "numbers, the last two above 0"
            )
