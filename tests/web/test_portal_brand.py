"""A reseller's brand: on the log-in page at his host, and in his customers' portal."""

import io
from decimal import Decimal

from pbxbill.billing.brands import DARK_SURFACE, WHITE, _parts, contrast, shades
from tests.web.offices import Browser, Office

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="10"><rect width="40" height="10"/></svg>'
TERMS = {
    "name": "Green Phone",
    "colour": "#1f7a4a",
    "host": "portal.green.example",
    "footer": "Green Phone Ltd, London",
    "support_email": "help@green.example",
    "support_phone": "+44 20 1234",
    "support_url": "https://green.example/help",
}


def test_a_brand_is_seen_at_its_host_and_by_its_customers_alone(office: Office) -> None:
    reseller = office.seat("reseller")
    sent = TERMS | {"logo": (io.BytesIO(SVG), "logo.svg")}
    assert reseller.post("/panel/brand", sent).status_code == 303
    alice = office.seat("alice").get("/my/").text
    assert 'alt="Green Phone"' in alice
    assert "Green Phone Ltd, London" in alice
    assert 'href="tel:+44201234"' in alice
    style = alice.partition('href="/brand/')[2].partition('"')[0]
    colours = office.browser().get(f"/brand/{style}")
    assert "--accent: #1f7a4a" in colours.text
    assert "immutable" in colours.headers["Cache-Control"]
    logo = office.browser().get(f"/brand/{style.removesuffix('.css')}/logo")
    assert logo.mimetype == "image/svg+xml"
    assert "sandbox" in logo.headers["Content-Security-Policy"]
    there = office.app.test_client().get("/log-in", base_url="https://PORTAL.green.example:443")
    assert "Green Phone" in there.text
    assert "Green Phone" not in office.browser().get("/log-in").text
    assert "Green Phone" not in office.seat("olga").get("/my/").text
    assert "Green Phone" not in office.seat("other").get("/panel/accounts").text
    reseller.post("/panel/brand", TERMS | {"no_logo": "y"})
    assert office.browser().get(f"/brand/{style.removesuffix('.css')}/logo").status_code == 404


def test_what_cannot_be_used_is_refused_at_its_field(office: Office) -> None:
    reseller: Browser = office.seat("reseller")
    for field, value in {
        "colour": "#ffd700",
        "host": "not a host",
        "support_email": "nowhere",
        "support_phone": "call me",
        "support_url": "javascript:alert(1)",
    }.items():
        page = reseller.post("/panel/brand", TERMS | {field: value}).text
        assert f'href="#{field}"' in page, field
        assert "London" in page
    assert "a darker one is #" in reseller.post("/panel/brand", TERMS | {"colour": "#ffd700"}).text
    bad = reseller.post("/panel/brand", TERMS | {"logo": (io.BytesIO(b"MZ"), "logo.png")}).text
    assert 'href="#logo"' in bad
    assert reseller.post("/panel/brand", TERMS).status_code == 303
    other = office.seat("other")
    assert "is taken already" in other.post("/panel/brand", TERMS).text
    assert office.seat("alice").get("/panel/brand").status_code == 403
    assert office.browser().get("/brand/999999/1.css").status_code == 404


def test_the_second_who_changes_it_is_told(office: Office) -> None:
    reseller = office.seat("reseller")
    assert reseller.post("/panel/brand", TERMS).status_code == 303
    late = reseller.post("/panel/brand", TERMS | {"name": "Blue", "edition": '{"name": "Red"}'})
    assert "Somebody else changed this" in late.text


def test_every_shade_can_be_read() -> None:
    for colour in ("#000000", "#1d5fa8", "#7a1f1f", "#1f7a4a", "#5a5a00"):
        light, dark = shades(colour, dark=False), shades(colour, dark=True)
        for text, ground in (
            (_parts(light.accent), WHITE),
            (_parts(light.strong), _parts(light.soft)),
            (_parts(light.on_accent), _parts(light.accent)),
            (_parts(dark.accent), DARK_SURFACE),
            (_parts(dark.strong), _parts(dark.soft)),
            (_parts(dark.on_accent), _parts(dark.accent)),
        ):
            assert contrast(text, ground) >= Decimal("4.5"), (colour, text, ground)
