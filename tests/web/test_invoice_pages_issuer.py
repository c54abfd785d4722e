"""Who issues documents and how they look: address, terms, numbers, taxes, billing of accounts, templates."""

import io
import re
from dataclasses import replace

import pytest
from sqlalchemy import select

from pbxbill.billing.parties import issuer_of, party_of
from pbxbill.billing.profiles import profile_of
from pbxbill.notify.smtp import settings_to_json
from pbxbill.store.billing_models import IssuerRow, PartyRow, TaxExemptionRow, TaxRateRow
from pbxbill.store.invoice_models import TemplateRow, TemplateVersionRow
from tests.notify.mail_servers import inbox
from tests.web.offices import Office
from tests.web.test_invoice_pages import id_of, issued

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20"/></svg>'
TERMS = {
    "zone": "Europe/Berlin", "tax_rounding": "line", "payment_days": "30", "payment_terms": "Net 30",
    "did_quarantine_days": "90", "support_numbers": "+49 30 123456", "edition": "{}",
}  # fmt: skip
RATE = {
    "name": "VAT",
    "percent": "19",
    "category": "S",
    "country": "",
    "first_day": "2025-01-01",
    "position": "0",
}


def test_the_company_says_who_it_is(office: Office) -> None:
    admin = office.seat("admin")
    assert "not whole yet" in admin.get("/panel/company").text
    party = {
        "legal_name": "Nord",
        "street": "Kai 1",
        "city": "Hamburg",
        "country": "DE",
        "vat_id": "DE136695976",
    }
    wrong = admin.post("/panel/company/address", {**party, "iban": "DE00", "edition": "{}"}).text
    assert "Kai 1" in wrong
    assert "IBAN" in wrong
    assert admin.post("/panel/company/address", {**party, "edition": "{}"}).status_code == 303
    with office.reading() as session:
        assert party_of(session, office.account_id("operator")).city == "Hamburg"
    page = admin.get("/panel/company").text
    assert "Kai 1, Hamburg, DE" in page
    assert "not whole yet" not in page


def test_terms_and_numbers_are_changed(office: Office) -> None:
    admin = office.seat("admin")
    assert "There is no zone" in admin.post("/panel/company/terms", {**TERMS, "zone": "Europe/Atlantis"}).text
    assert (
        "support numbers are"
        in admin.post("/panel/company/terms", {**TERMS, "support_numbers": "a"}).text.lower()
    )
    assert admin.post("/panel/company/terms", TERMS).status_code == 303
    with office.reading() as session:
        kept = issuer_of(session, office.account_id("operator"))
    assert (kept.zone, kept.payment_days, kept.support_numbers) == ("Europe/Berlin", 30, "4930123456")
    layout = {"prefix": "RE/{year}-", "padding": "4", "yearly": "y", "following": "120", "edition": "{}"}
    path = "/panel/company/numbers/invoice"
    assert "must not end in a digit" in admin.post(path, {**layout, "prefix": "RE{year}"}).text
    assert admin.post(path, layout).status_code == 303
    id = issued(office)
    assert "RE/2026-0120" in admin.get(f"/panel/invoices/{id}").text
    assert admin.get("/panel/company/numbers/postcard").status_code == 404


def test_a_reseller_changes_his_own_company_alone(office: Office) -> None:
    answer = office.seat("reseller").post("/panel/company/terms", {**TERMS, "payment_days": "7"})
    assert answer.status_code == 303
    with office.reading() as session:
        assert issuer_of(session, office.account_id("reseller")).payment_days == 7
        assert issuer_of(session, office.account_id("operator")).payment_days == 14
    assert office.seat("support").get("/panel/company").status_code == 200
    assert office.seat("support").get("/panel/company/terms").status_code == 403


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"percent": "x"}, "x"),
        ({"percent": "0"}, "has a rate above 0"),
        ({"name": ""}, "Please fill this in"),
        ({"region": "Bayern"}, "needs its country"),
        ({"first_day": "2025-02-30"}, "is not a day"),
    ],
)
def test_a_tax_rate_that_makes_no_sense_is_refused(office: Office, wrong: dict[str, str], told: str) -> None:
    answer = office.seat("admin").post("/panel/taxes/new", {**RATE, **wrong})
    assert answer.status_code == 200
    assert told in answer.text
    with office.reading() as session:
        assert session.scalar(select(TaxRateRow.id)) is None


def test_a_tax_rate_counts_ends_and_accounts_are_exempt(office: Office) -> None:
    admin = office.seat("admin")
    assert "There is no tax rate yet" in admin.get("/panel/taxes").text
    assert admin.post("/panel/taxes/new", RATE).status_code == 303
    assert "19 %" in admin.get("/panel/taxes").text
    id = issued(office)
    page = admin.get(f"/panel/invoices/{id}").text
    assert "23.80" in page
    assert "VAT 19 %" in page
    exempt = {"account": "other", "tax_name": "VAT", "reason": "an embassy", "certificate": "E-1"}
    assert "his are" not in admin.post("/panel/taxes/exemptions/new", {**exempt, "tax_name": "GST"}).text
    assert admin.post("/panel/taxes/exemptions/new", exempt).status_code == 303
    assert "an embassy" in admin.get("/panel/taxes/exemptions").text
    id = issued(office)
    assert "23.80" not in admin.get(f"/panel/invoices/{id}").text
    with office.reading() as session:
        rate, exemption = (
            session.scalars(select(TaxRateRow.id)).one(),
            session.scalars(select(TaxExemptionRow.id)).one(),
        )
    assert admin.post(f"/panel/taxes/{rate}/end", {"last_day": "2024-01-01"}).status_code == 200
    assert admin.post(f"/panel/taxes/{rate}/end", {"last_day": "2026-06-30"}).status_code == 303
    assert "30 Jun 2026" in admin.get("/panel/taxes").text
    assert (
        admin.post(f"/panel/taxes/exemptions/{exemption}/end", {"last_day": "2026-06-30"}).status_code == 303
    )
    assert office.seat("reseller").get(f"/panel/taxes/{rate}/end").status_code == 404


def test_how_an_account_is_billed(office: Office) -> None:
    admin, id = office.seat("admin"), office.account_id("other")
    path = f"/panel/accounts/{id}/billing"
    page = admin.get(path).text
    assert "drafts that somebody looks at" in page
    form = {
        "invoicing": "issue", "cycle": "week", "every": "2", "anchor": "", "zone": "", "language": "fr",
        "formats": ["pdf", "csv"], "emails": "a@x.example, b@x.example", "template": "", "payment_days": "",
        "call_list": "file", "tax_treatment": "automatic", "minimum_total": "5", "group_name": "big",
        "purchase_order": "PO 7", "edition": "{}",
    }  # fmt: skip
    assert "a@x.example, nobody" in admin.post(path, {**form, "emails": "a@x.example, nobody"}).text
    assert admin.post(path, form).status_code == 303
    with office.reading() as session:
        terms = profile_of(session, id).terms
    assert (terms.invoicing, terms.cycle, terms.every, terms.language) == ("issue", "week", 2, "fr")
    assert (terms.formats, terms.emails) == (("pdf", "csv"), ("a@x.example", "b@x.example"))
    assert (terms.minimum_total, terms.group_name) == (5_000_000, "big")
    assert office.seat("reseller").get(path).status_code == 404


def design(office: Office, **more: object) -> dict[str, object]:
    """What the form of a new template sends, with changes."""
    page = office.seat("admin").get("/panel/templates/new").text
    sent: dict[str, object] = {
        "name": "Nord", "font": "serif", "page_size": "A4", "logo_position": "right", "logo_height_mm": "16",
        "show_bank": "y", "call_columns": ["called", "amount"], "sample": "invoice", "sample_language": "en",
        "texts": "", "html": "", "css": "", "edition": "{}",
    }  # fmt: skip
    for colour in ("accent", "text", "muted", "line"):
        found = re.search(rf'name="{colour}"[^>]*value="([^"]+)"', page)
        assert found
        sent[colour] = found[1]
    return sent | more


def test_a_template_is_tried_kept_and_used(office: Office) -> None:
    admin = office.seat("admin")
    page = admin.get("/panel/templates/new")
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    assert "sandbox" in page.text
    tried = admin.post(
        "/panel/templates/preview", design(office, css="h1 { color: red }"), page="/panel/templates/new"
    )
    assert "sandbox" in tried.headers["Content-Security-Policy"]
    assert tried.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "Nordlicht Telecom" in tried.text
    assert "h1 { color: red }" in tried.text
    paper = admin.post("/panel/templates/preview.pdf", design(office), page="/panel/templates/new")
    assert paper.data[:5] == b"%PDF-"
    sent = design(
        office, accent="#aa0000", texts='[en]\nkind_invoice = "Bill"', logo=(io.BytesIO(SVG), "logo.svg")
    )
    made = admin.post("/panel/templates/new", sent)
    assert made.status_code == 303, made.text
    id = id_of(made.location, "templates")
    shown = admin.get(made.location).text
    assert "Version 1 is kept and can be used" in shown
    assert "#aa0000" in shown
    assert "kind_invoice" in shown
    assert admin.post(f"/panel/templates/{id}/use", page=f"/panel/templates/{id}").status_code == 303
    with office.reading() as session:
        assert issuer_of(session, office.account_id("operator")).template_id == id
        assert session.scalars(select(TemplateVersionRow.logo)).one() is not None
    assert "Nord" in admin.get("/panel/templates").text
    assert admin.post("/panel/templates/built-in/use", page=f"/panel/templates/{id}").status_code == 303
    with office.reading() as session:
        assert issuer_of(session, office.account_id("operator")).template_id is None
    assert office.seat("reseller").get(f"/panel/templates/{id}").status_code == 404


def test_a_template_with_an_error_names_its_line_and_the_good_one_stays(office: Office) -> None:
    admin = office.seat("admin")
    made = admin.post("/panel/templates/new", design(office))
    bad = design(office, html="<p>one</p>\n<p>{{ document.nothing.here }}</p>", edition="")
    tried = admin.post("/panel/templates/preview", bad, page="/panel/templates/new")
    assert "Line 2" in tried.text
    assert admin.post(made.location, bad).status_code == 303
    page = admin.get(made.location).text
    assert "cannot be used" in page
    assert "line 2" in page.lower()
    assert "Version 1 stays in use" in page
    with office.reading() as session:
        assert session.scalars(select(TemplateRow.current_version)).one() == 1
    assert "Version 2 cannot be used" in page
    older = admin.get(f"{made.location}?version=1").text
    assert "cannot be used: " not in older.split("Versions")[0]
    assert admin.get(f"{made.location}?version=77").status_code == 404


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"name": ""}, "Please fill this in"),
        ({"texts": "not toml"}, "Own words"),
        ({"accent": "red"}, "Colour accent"),
        ({"logo": (io.BytesIO(b"GIF89a"), "logo.gif")}, "logo"),
        ({"call_columns": []}, "at least one column"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused_and_kept_in_the_form(
    office: Office, wrong: dict[str, object], told: str
) -> None:
    sent = design(office, css="h2 { margin: 0 }", **wrong)
    answer = office.seat("admin").post("/panel/templates/new", sent)
    assert answer.status_code == 200
    assert told in answer.text
    assert "h2 { margin: 0 }" in answer.text
    with office.reading() as session:
        assert session.scalar(select(TemplateRow.id)) is None


def test_two_who_design_see_each_other(office: Office) -> None:
    admin = office.seat("admin")
    made = admin.post("/panel/templates/new", design(office))
    stale = '{"version": "0"}'
    answer = office.seat("finance").post(made.location, design(office, font="sans", edition=stale))
    assert "Somebody else changed this" in answer.text


def test_markup_runs_nothing(office: Office) -> None:
    sent = design(office, html="<script>alert(1)</script><p>{{ seller.name }}</p>")
    answer = office.seat("admin").post("/panel/templates/preview", sent, page="/panel/templates/new")
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.status_code == 200


def test_the_mail_server_is_shown_and_tried_and_its_password_is_not(office: Office) -> None:
    admin, reseller = office.seat("admin"), office.seat("reseller")
    path = "/panel/company/mail-server"
    assert "There is no mail server yet" in admin.get(path).text
    own_id = office.account_id("reseller")
    with inbox() as (kept, settings), office.writing() as session:
        mail = replace(settings, sender="bills@phones.example", password_file="/etc/pbxbill/mail-secret")
        session.merge(IssuerRow(account_id=own_id, mail=settings_to_json(mail)))
        session.merge(PartyRow(account_id=own_id, legal_name="Phones", email="office@phones.example"))
        session.commit()
        page = reseller.get(path).text
        assert f"127.0.0.1:{settings.port}" in page
        assert "mail-secret" not in page
        assert reseller.post(path, {"address": "stranger@example.com"}).status_code == 200
        assert kept.messages == []
        assert reseller.post(path, {"address": "office@phones.example"}).status_code == 303
        assert kept.messages[0].rcpt_tos == ["office@phones.example"]
        kept.answers["office@phones.example"] = "550 nobody here"
        assert "nobody here" in reseller.post(path, {"address": "office@phones.example"}).text
    assert "127.0.0.1" not in admin.get(path).text
