"""Logos: by content, within limits, and an SVG holds shapes only."""

import io
import zlib

import pytest
from PIL import Image

from pbxbill.billing.render.logo import LOGO_MAX_BYTES, checked_logo
from pbxbill.errors import InputRefused


def image(kind: str, size: tuple[int, int] = (40, 20)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "#0b6e4f").save(stream, kind)
    return stream.getvalue()


def svg(inside: str, head: str = "", attributes: str = "") -> bytes:
    return (
        f'{head}<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 40 20"{attributes}>{inside}</svg>'
    ).encode()


@pytest.mark.parametrize(
    "content,media_type",
    [
        (image("PNG"), "image/png"),
        (image("JPEG"), "image/jpeg"),
        (svg("<rect width='4' height='4' fill='url(#g)'/>"), "image/svg+xml"),
        (
            svg("<g style='fill:#0b6e4f'/>", "\ufeff<?xml version='1.0'?><!-- made by hand -->"),
            "image/svg+xml",
        ),
        (
            svg("<linearGradient xlink:href='#a'/>", attributes=" width='4.5e1mm' height='auto'"),
            "image/svg+xml",
        ),
    ],
)
def test_what_a_logo_is_says_its_content(content: bytes, media_type: str) -> None:
    assert checked_logo(content).media_type == media_type


@pytest.mark.parametrize(
    "content,reason",
    [
        (b"", "empty"),
        (b"GIF89a....", "no PNG, JPEG or SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "no PNG, JPEG or SVG"),
        (b"<html><body>hello</body></html>", "no PNG, JPEG or SVG"),
        (b"%PDF-1.7", "no PNG, JPEG or SVG"),
        (image("PNG")[:60], "broken PNG"),
        (image("JPEG")[:200], "broken JPEG"),
        (b"\xff\xd8\xff" + b"x" * 50, "broken JPEG"),
        (image("PNG", (5000, 10)), "5000 x 10 pixels"),
        (image("PNG") + b"\0" * LOGO_MAX_BYTES, "at most"),
        (b"<svg", "no SVG that can be read"),
        (svg("<script>1</script>"), "<script>"),
        (svg("<foreignObject><p/></foreignObject>"), "<foreignObject>"),
        (svg("<image href='file:///etc/passwd'/>"), "<image>"),
        (svg("<style>@import url(http://127.0.0.1/)</style>"), "<style>"),
        (svg("<mask href='http://127.0.0.1/x.svg#a'/>"), "outside of itself"),
        (svg("<mask xlink:href='file:///etc/passwd#a'/>"), "outside of itself"),
        (svg("<g id='a'><rect/></g><use href='#a'/>"), "<use>"),
        (svg("<rect width='nan'/>"), "width 'nan'"),
        (svg("<rect height='1e30'/>"), "height '1e30'"),
        (svg("", attributes=" width='1e999'"), "width '1e999'"),
        (svg("<symbol viewBox='a b c d'/>"), "viewBox 'a b c d'"),
        (svg("<symbol viewBox='0 0 0 0'/>"), "viewBox '0 0 0 0'"),
        (svg("<symbol viewBox='0 0 10'/>"), "viewBox '0 0 10'"),
        (svg("<rect fill='url(http://127.0.0.1/#a)'/>"), "outside of itself"),
        (svg("<rect style=\"fill: URL( 'file:///etc/passwd' )\"/>"), "outside of itself"),
        (svg("<rect style='fill:u\\72l(http://127.0.0.1/)'/>"), "unusual style"),
        (svg("<rect onclick='alert(1)'/>"), "attribute onclick"),
        (svg("", attributes=" xml:base='http://127.0.0.1/'"), "attribute base"),
        (svg("&x;", '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "DOCTYPE"),
        (svg("<g/>" * 6000), "more than 5000 elements"),
    ],
)
def test_what_is_none_or_not_safe_is_refused_with_a_sentence(content: bytes, reason: str) -> None:
    with pytest.raises(InputRefused, match="the logo") as refusal:
        checked_logo(content)
    assert reason in str(refusal.value)


def test_a_small_file_that_unpacks_to_a_huge_image_is_refused() -> None:
    header = b"\0\0\0\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    bomb = b"\x89PNG\r\n\x1a\n" + header + zlib.crc32(header[4:]).to_bytes(4, "big")
    with pytest.raises(InputRefused):
        checked_logo(bomb)


def test_what_drawing_programs_keep_for_themselves_is_left_out() -> None:
    drawn = svg(
        '<sodipodi:namedview xmlns:sodipodi="http://sodipodi.sourceforge.net/x"/>'
        '<rect width="4" height="4" inkscape:label="a" xmlns:inkscape="http://www.inkscape.org/"/>'
    )
    kept = checked_logo(drawn).content
    assert b"namedview" not in kept
    assert b"label" not in kept
    assert b"<rect" in kept
