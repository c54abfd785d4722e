"""Plans in the panel: made, changed as versions, retired, brought to newer versions; and whose they are."""

from dataclasses import fields

from werkzeug.test import TestResponse

from pbxbill.billing.subscriptions.plan_catalogue import newest_version, plan_by_name
from pbxbill.billing.subscriptions.plan_terms import PlanTerms
from pbxbill.store.models import AccountRow
from tests.web.offices import Browser, Office
from tests.web.test_catalogue_decks import SHEET, imported
from tests.web.test_catalogue_tariffs import make as make_tariff
from tests.web.test_policy_forms import values

TERMS = {
    "name": "Basic",
    "kind": "service",
    "unit": "EUR",
    "charges-0-name": "Line",
    "charges-0-price": "9.90",
    "charges-0-type": "recurring",
    "charges-0-quantity": "counted",
    "charges-1-name": "Extension",
    "charges-1-price": "1:4 11:3",
    "charges-1-type": "recurring",
    "charges-1-quantity": "counted",
    "charges-2-name": "Set-up",
    "charges-2-price": "25",
    "charges-2-type": "set_up",
    "charges-2-quantity": "flat",
    "cycle": "month",
    "every": "1",
    "anchor": "sign_up",
    "timing": "advance",
    "proration": "day",
    "collection": "wallet",
    "change": "now",
    "renewal": "cycle",
    "unpaid": "bar",
    "tariff": "retail",
    "inbound_tariff": "",
    "term_length": "24",
    "term_of": "months",
    "fee": "sliding",
    "fee_amount": "240",
    **{
        f"charges-{at}-{key}": value
        for at in range(3, 8)
        for key, value in (("name", ""), ("price", ""), ("type", "recurring"), ("quantity", "counted"))
    },
}


def make(browser: Browser, **more: object) -> TestResponse:
    return browser.post("/panel/plans/new", TERMS | more)


def terms_of(office: Office, code: str, name: str) -> PlanTerms:
    with office.writing() as session:
        issuer = session.get_one(AccountRow, office.account_id(code))
        return newest_version(session, plan_by_name(session, issuer, name)).terms


def test_a_plan_is_made_changed_and_retired(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    made = make(admin)
    assert made.status_code == 303, made.text
    terms = terms_of(office_on_each, "operator", "Basic")
    assert [x.name for x in terms.charges] == ["Line", "Extension", "Set-up"]
    assert [(x.from_quantity, x.price) for x in terms.charges[1].steps] == [(1, 4_000_000), (11, 3_000_000)]
    page = admin.get(made.location).text
    assert "9.90" in page
    assert "retail" in page
    assert "Basic" in admin.get("/panel/plans").text
    edit = admin.get(f"{made.location}/edit").text
    assert 'value="1:4.00 11:3.00"' in edit
    changed = admin.post(f"{made.location}/edit", TERMS | {"charges-0-price": "11"})
    assert changed.status_code == 303, changed.text
    assert "Version 2" in admin.get(made.location).text
    assert "not the newest" in admin.get(f"{made.location}?version=1").text
    assert admin.get(f"{made.location}?version=9").status_code == 404
    assert "cannot be undone" in admin.get(f"{made.location}/retire").text
    admin.post(f"{made.location}/retire")
    assert "Retired since" in admin.get(made.location).text
    assert "Basic" not in admin.get("/panel/plans?offered=yes").text.split("<tbody")[-1].split("</tbody")[0]


def test_what_is_shown_to_be_changed_is_what_was_written(office: Office) -> None:
    admin = office.seat("admin")
    made = make(
        admin,
        trial_days="14",
        minimum_spend="10",
        set_up_on_change="y",
        anchor="fixed_day",
        fixed_day="2026-01-15",
    )
    assert made.status_code == 303, made.text
    before = terms_of(office, "operator", "Basic")
    page = admin.get(f"{made.location}/edit").text
    for value in ("9.90", "240.00", "14", "10.00", "2026-01-15"):
        assert f'value="{value}"' in page, value
    assert before.trial_days == 14


def test_what_makes_no_sense_is_refused_and_kept(office: Office) -> None:
    admin = office.seat("admin")
    for wrong, said in (
        ({"charges-0-price": "x"}, "Line"),
        ({"charges-1-price": "5:4"}, "the first from = 1"),
        ({"charges-0-name": ""}, "needs a name"),
        ({"renewal": "term", "term_length": ""}, "term"),
        ({"every": "0"}, "From 1 to 366"),
    ):
        answer = make(admin, **wrong)
        assert answer.status_code == 200, wrong
        assert "This could not be done yet" in answer.text
        assert said in answer.text
        assert 'value="Basic"' in answer.text
    make(admin)
    assert "there is a plan of this name" in make(admin).text.lower()


def test_a_reseller_offers_plans_with_tariffs_of_his_own(office_on_each: Office) -> None:
    office = office_on_each
    reseller, other, admin = office.seat("reseller"), office.seat("other"), office.seat("admin")
    assert "Not a valid choice" in make(reseller).text  # the operator's tariff
    imported(reseller, SHEET)
    office.clock.advance(1_000_000)
    make_tariff(reseller, deck="mine", name="own")
    made = make(reseller, tariff="own")
    assert made.status_code == 303, made.text
    operators = make(admin).location
    for do in ("", "/edit", "/retire", "/migrate"):
        assert other.get(f"{made.location}{do}").status_code == 404
        assert reseller.get(f"{operators}{do}").status_code == 404
    assert other.get("/panel/plans").text.count("Basic") == 0
    assert terms_of(office, "reseller", "Basic").tariff == "own"


def test_who_may_only_look_does_not_change_plans(office: Office) -> None:
    path = make(office.seat("admin")).location
    finance = office.seat("finance")
    assert finance.get(path).status_code == 200
    assert f"{path}/edit" not in finance.get(path).text
    assert finance.get(f"{path}/edit").status_code == 403


def test_every_term_can_be_given_and_is_shown_as_it_is(office: Office) -> None:
    admin = office.seat("admin")
    every = {
        "cycle": "quarter",
        "every": "2",
        "anchor": "fixed_day",
        "fixed_day": "2026-01-15",
        "timing": "arrears",
        "proration": "second",
        "collection": "invoice",
        "change": "cycle_end",
        "set_up_on_change": "y",
        "minimum_spend": "10.00",
        "renewal": "term",
        "unpaid": "keep",
        "remind_days_before": "14",
        "trial_days": "7",
        "inbound_tariff": "retail",
        "fee": "remaining",
        "fee_amount": "50",
        "fee_class": "leaving",
        "charges-0-product_class": "line",
    }
    made = make(admin, **every)
    assert made.status_code == 303, made.text
    terms = terms_of(office, "operator", "Basic")
    plain = PlanTerms("EUR")
    same = {x.name for x in fields(PlanTerms) if getattr(terms, x.name) == getattr(plain, x.name)}
    assert same == {"unit", "kind", "bundles"}  # a number's plan has no tariff; no bundle was made here
    assert terms.term is not None
    assert terms.term.fee is not None
    assert (terms.term.fee.share_ppm, terms.term.fee.product_class) == (500_000, "leaving")
    assert terms.charges[0].product_class == "line"
    page = admin.get(f"{made.location}/edit").text
    again = admin.post(f"{made.location}/edit", values(page))
    assert again.status_code == 303, again.text
    assert terms_of(office, "operator", "Basic") == terms


def test_charges_are_rows_and_are_refused_at_their_fields(office: Office) -> None:
    admin = office.seat("admin")
    more = make(admin, rows="add charges").text
    assert values(more)["charges-8-name"] == ""
    assert values(more)["charges-0-name"] == "Line"
    less = values(make(admin, rows="remove charges-0").text)
    assert "Line" not in less.values()
    assert "Extension" in less.values()
    for refused, where in (
        ({"charges-0-price": "x"}, "charges-0-price"),
        ({"charges-1-name": "Line"}, "charges-0-name"),
        ({"fee_amount": "x"}, "fee_amount"),
        ({"anchor": "fixed_day"}, "fixed_day"),
    ):
        assert f'<a href="#{where}"' in make(admin, **refused).text, refused
