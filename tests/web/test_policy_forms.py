"""Policies and calendars as forms: made, changed, refused at their field, with rows, and as text."""

import json
import re
from html import unescape
from typing import Any

from sqlalchemy import select

from pbxbill.billing.dunning.dunning_policy import Action, After, LevelNotice
from pbxbill.billing.dunning.dunning_text import policy_from_json
from pbxbill.billing.dunning.penalties import Every, Per, penalty_from_json
from pbxbill.billing.life_cycle.life_cycle_policy import Extends
from pbxbill.billing.life_cycle.life_cycle_text import policy_from_json as life_cycle_from_json
from pbxbill.rating.bands import BandRule
from pbxbill.store.calendars import calendar_of
from pbxbill.store.catalogue_models import BandCalendarRow
from pbxbill.store.dunning_models import DunningPolicyRow, LifeCyclePolicyRow, PenaltyClassRow
from tests.web.browsers import Desk, assert_accessible
from tests.web.offices import Browser, Office

POLICIES = "/panel/dunning/policies"
NEW: dict[str, Any] = {
    "name": "gentle",
    "standard": "y",
    "groups": "good, better",
    "hour": "9",
    "quiet_weekdays": ["saturday", "sunday"],
    "quiet_days-0-day": "2024-12-24",
    "quiet_days-0-yearly": "y",
    "quiet_days-1-day": "2027-05-14",
    "minimum-0-unit": "EUR",
    "minimum-0-amount": "5.00",
    "penalty": "",
    "promise_days": "10",
    "brake": "12.5",
    "brake_accounts": "4",
    "level-0-days": "3",
    "level-0-after": "due",
    "level-0-action": "remind",
    "level-0-penalty": "",
    "level-0-notice": "overdue",
    "level-0-words-0-language": "en",
    "level-0-words-0-text": "Have you overlooked {number}?",
    "level-1-days": "7",
    "level-1-after": "level",
    "level-1-action": "fee",
    "level-1-penalty": "late",
    "level-1-notice": "dunning",
    "level-3-days": "14",
    "level-3-after": "level",
    "level-3-action": "suspend",
    "level-3-penalty": "",
    "level-3-notice": "dunning",
}
PENALTY = {
    "name": "late",
    "unit": "EUR",
    "fixed": "5.00",
    "percent": "1.5",
    "period": "month",
    "minimum": "1",
    "cap": "40",
    "grace_days": "5",
    "per": "item",
    "product_class": "fee",
}


def values(page: str) -> dict[str, str]:
    """What the fields of a page hold, as its reader would send it back."""
    page = re.sub(r"(?s)<template.*?</template>", "", re.sub(r"(?s)<template[^>]*>.*?</template>", "", page))
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", page):
        known = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if "name" in known and (known.get("type") not in ("checkbox", "radio") or " checked" in tag):
            found[known["name"]] = known.get("value", "")
    for name, inside in re.findall(r'(?s)<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', page):
        chosen = re.search(r'<option selected value="([^"]*)"', inside)
        first = re.search(r'<option[^>]*value="([^"]*)"', inside)
        found[name] = (chosen or first or ["", ""])[1]
    found |= dict(re.findall(r'(?s)<textarea[^>]*name="([^"]+)"[^>]*>\r?\n?(.*?)</textarea>', page))
    return {name: unescape(value) for name, value in found.items()}


def with_penalty(office: Office) -> Browser:
    reseller = office.seat("reseller")
    made = reseller.post("/panel/dunning/penalties/new", PENALTY)
    assert made.status_code == 303, made.text
    return reseller


def test_a_policy_is_made_of_fields_and_rows(office_on_each: Office) -> None:
    reseller = with_penalty(office_on_each)
    made = reseller.post(f"{POLICIES}/new", NEW)
    assert made.status_code == 303, made.text
    with office_on_each.reading() as session:
        row = session.scalars(select(DunningPolicyRow)).one()
        terms = policy_from_json(row.definition)
        assert (row.name, row.standard, row.groups) == ("gentle", True, "good\nbetter")
    assert [(x.days, x.action, x.after, x.notice, x.penalty) for x in terms.levels] == [
        (3, Action.REMIND, After.DUE, LevelNotice.OVERDUE, ""),
        (7, Action.FEE, After.LEVEL, LevelNotice.DUNNING, "late"),
        (14, Action.SUSPEND, After.LEVEL, LevelNotice.DUNNING, ""),
    ]
    assert terms.levels[0].words == {"en": "Have you overlooked {number}?"}
    assert terms.minimum == {"EUR": 5_000_000}
    assert terms.quiet_weekdays == (5, 6)
    assert terms.quiet_yearly == ((12, 24),)
    assert [str(x) for x in terms.quiet_dates] == ["2027-05-14"]
    assert (terms.hour, terms.promise_days, terms.brake_ppm, terms.brake_accounts) == (9, 10, 125_000, 4)


def test_a_policy_is_shown_as_it_is_and_changed(office: Office) -> None:
    reseller = with_penalty(office)
    policy = reseller.post(f"{POLICIES}/new", NEW).location
    edit = f"{policy}/edit"
    shown = values(reseller.get(edit).text)
    sent = {**shown, "quiet_weekdays": ["saturday", "sunday"]}
    again = reseller.post(edit, sent)
    assert again.status_code == 303, again.text
    with office.reading() as session:
        assert session.scalars(select(DunningPolicyRow.version)).one() == 1  # nothing was different
    assert reseller.post(edit, sent | {"hour": "11"}).status_code == 303
    text = values(reseller.get(f"{edit}/text").text)["terms"]
    assert "hour = 11" in text
    stale = reseller.post(edit, sent | {"hour": "12"})
    assert stale.status_code == 200
    assert "Somebody else changed this" in stale.text
    assert values(stale.text)["hour"] == "12"
    kept = reseller.post(edit, {**sent, "hour": "12", "edition": values(stale.text)["edition"]})
    assert kept.status_code == 303
    assert office.seat("other").get(edit).status_code == 404
    assert office.seat("other").get(f"{edit}/text").status_code == 404


def test_what_is_refused_is_told_at_its_row_and_kept(office: Office) -> None:
    reseller = with_penalty(office)
    for more, where, why in (
        ({"level-1-days": "x"}, "level-1-days", "is not a whole number"),
        ({"level-1-days": "0"}, "level-1-days", "at least one day after level 1"),
        ({"level-0-action": "fee"}, "level-0-penalty", "go together"),
        ({"level-0-words-0-text": "Hello {nobody}"}, "level-0-words", "there is no {nobody}"),
        ({"level-0-words-0-language": "e"}, "level-0-words", "is no language"),
        ({"minimum-0-amount": "5.0000001"}, "minimum-0-amount", "more than 6 digits"),
        ({"minimum-1-unit": "EUR", "minimum-1-amount": "6"}, "minimum-1-amount", "EUR stands twice"),
        ({"hour": "23"}, "hour", "From 0 to 22"),
        ({"brake": "101"}, "brake", "a percentage from 0 to 100"),
        ({"quiet_holidays": "y"}, "quiet_holidays", "is not known"),
    ):
        refused = reseller.post(f"{POLICIES}/new", NEW | more)
        assert refused.status_code == 200, more
        summary = refused.text.partition('id="errors"')[2].partition("</ul>")[0]
        assert f'href="#{where}"' in summary, (more, summary)
        assert why in unescape(summary), (more, summary)
        kept = values(refused.text)
        assert kept["name"] == "gentle"
        assert all(kept[key] == value for key, value in more.items()), more
    reseller.post(f"{POLICIES}/new", NEW)
    twice = reseller.post(f"{POLICIES}/new", NEW).text
    assert 'href="#name"' in twice
    none = {key: value for key, value in NEW.items() if not key.startswith("level")}
    assert 'href="#level"' in reseller.post(f"{POLICIES}/new", none | {"name": "empty"}).text


def test_rows_come_and_go_without_javascript(office: Office) -> None:
    reseller = with_penalty(office)
    page = f"{POLICIES}/new"
    more = reseller.post(page, NEW | {"rows": "add level"})
    assert more.status_code == 200
    kept = values(more.text)
    assert [key for key in kept if key.endswith("-action")] == [f"level-{x}-action" for x in range(4)]
    assert kept["level-0-words-0-text"] == "Have you overlooked {number}?"
    assert kept["quiet_days-1-day"] == "2027-05-14"
    assert 'id="errors"' not in more.text
    nested = values(reseller.post(page, NEW | {"rows": "add level-0-words"}).text)
    assert "level-0-words-1-text" in nested
    # What the page shows counts rows from 0; one that is taken away leaves the others as they are.
    less = values(reseller.post(page, kept | {"rows": "remove level-1"}).text)
    assert [less[key] for key in less if key.endswith("-action")] == ["remind", "suspend", "remind"]
    for nonsense in ("add nothing", "remove level-77", "add level-²", "x"):
        assert reseller.post(page, NEW | {"rows": nonsense}).status_code == 200
    strange = {"level-²-days": "1", f"level-{'9' * 5000}-days": "1"}
    assert reseller.post(page, NEW | strange).status_code == 303
    many = {f"level-{x}-days": "1" for x in range(30)}
    full = reseller.post(page, many | {"rows": "add level"})
    assert "no more than 20" in full.text


def test_a_policy_is_looked_at_before_it_is_saved(office: Office) -> None:
    reseller = with_penalty(office)
    seen = reseller.post(f"{POLICIES}/new", NEW | {"preview": "yes"})
    assert "10 days after it was due" in seen.text
    assert "24 days after it was due" in seen.text
    assert values(seen.text)["level-2-days"] == "14"
    with office.reading() as session:
        assert session.scalars(select(DunningPolicyRow)).all() == []


def test_a_policy_as_text_says_the_same(office: Office) -> None:
    reseller = with_penalty(office)
    policy = reseller.post(f"{POLICIES}/new", NEW).location
    text = values(reseller.get(f"{policy}/edit/text").text)["terms"]
    made = reseller.post(f"{POLICIES}/new/text", {"name": "copy", "terms": text})
    assert made.status_code == 303, made.text
    with office.reading() as session:
        one, two = session.scalars(select(DunningPolicyRow.definition)).all()
    assert one == two


def test_a_penalty_class_is_made_and_changed(office: Office) -> None:
    reseller = with_penalty(office)
    with office.reading() as session:
        row = session.scalars(select(PenaltyClassRow)).one()
        terms = penalty_from_json(row.definition)
    assert (terms.fixed, terms.percent_ppm, terms.every) == (5_000_000, 15_000, Every.MONTH)
    assert (terms.minimum, terms.cap, terms.grace_days) == (1_000_000, 40_000_000, 5)
    assert terms.per is Per.ITEM
    edit = f"/panel/dunning/penalties/{row.id}/edit"
    shown = values(reseller.get(edit).text)
    assert (shown["fixed"], shown["percent"], shown["per"]) == ("5.00", "1.5", "item")
    for more, where in (
        ({"fixed": "", "percent": ""}, "fixed"),
        ({"percent": "200"}, "percent"),
        ({"cap": "0.50"}, "cap"),
        ({"minimum": "1.001"}, "minimum"),
        ({"product_class": ""}, "product_class"),
    ):
        refused = reseller.post(edit, shown | more).text
        assert f'href="#{where}"' in refused, more
        assert all(values(refused)[key] == value for key, value in more.items())
    assert reseller.post(edit, shown | {"cap": ""}).status_code == 303
    stale = reseller.post(edit, shown | {"cap": "50"}).text
    assert "Somebody else changed this" in stale
    assert office.seat("other").get(edit).status_code == 404
    text = values(reseller.get(f"{edit}/text").text)["terms"]
    assert "cap" not in text
    assert json.loads(values(reseller.get(f"{edit}/text").text)["edition"])["terms"] == text


LIFE: dict[str, Any] = {
    "name": "thirty",
    "standard": "y",
    "modes": ["prepaid", "hybrid"],
    "validity_days": "30",
    "extends": "end",
    "minimum-0-unit": "EUR",
    "minimum-0-amount": "5",
    "inactivity_days": "180",
    "no_outgoing": "0",
    "suspended": "14",
    "inactive": "",
    "terminated": "60",
    "alerts-0-days": "7",
    "alerts-1-days": "1",
    "returns": ["no_outgoing", "suspended"],
    "forfeit": "terminated",
    "stop": "suspended",
    "brake": "10",
    "brake_accounts": "3",
}


def test_a_life_cycle_policy_is_made_changed_and_written_as_text(office_on_each: Office) -> None:
    reseller = office_on_each.seat("reseller")
    made = reseller.post("/panel/life-cycle/new", LIFE)
    assert made.status_code == 303, made.text
    with office_on_each.reading() as session:
        row = session.scalars(select(LifeCyclePolicyRow)).one()
        terms = life_cycle_from_json(row.definition)
    assert [(x.status.value, x.days) for x in terms.stages] == [
        ("no_outgoing", 0), ("suspended", 14), ("terminated", 60),
    ]  # fmt: skip
    assert (terms.validity_days, terms.extends, terms.inactivity_days) == (30, Extends.END, 180)
    assert (terms.minimum, terms.alert_days, terms.modes) == (
        {"EUR": 5_000_000},
        (7, 1),
        ("prepaid", "hybrid"),
    )
    assert [x.value for x in terms.returns] == ["no_outgoing", "suspended"]
    assert (terms.forfeit, terms.stop) == ("terminated", "suspended")
    edit = f"{made.location}/edit"
    text = values(reseller.get(f"{edit}/text").text)["terms"]
    copied = reseller.post("/panel/life-cycle/new/text", {"name": "copy", "terms": text})
    assert copied.status_code == 303, copied.text
    with office_on_each.reading() as session:
        one, two = session.scalars(select(LifeCyclePolicyRow.definition)).all()
    assert one == two
    several = {key: LIFE[key] for key in ("modes", "returns")}
    shown = {**values(reseller.get(edit).text), **several}
    assert reseller.post(edit, shown | {"inactivity_days": ""}).status_code == 303
    stale = reseller.post(edit, shown | {"suspended": "20"}).text
    assert "Somebody else changed this" in stale
    assert values(stale)["suspended"] == "20"
    assert office_on_each.seat("other").get(edit).status_code == 404


def test_a_life_cycle_policy_is_refused_at_its_field(office: Office) -> None:
    reseller = office.seat("reseller")
    for more, where in (
        ({"validity_days": "", "inactivity_days": ""}, "validity_days"),
        ({"suspended": "0"}, "suspended"),
        ({"forfeit": "inactive"}, "forfeit"),
        ({"modes": []}, "modes"),
        ({"no_outgoing": "", "suspended": "", "terminated": ""}, "no_outgoing"),
        ({"alerts-1-days": "0"}, "alerts-1-days"),
        ({"minimum-0-amount": "-1"}, "minimum-0-amount"),
        ({"brake": "200"}, "brake"),
    ):
        refused = reseller.post("/panel/life-cycle/new", LIFE | more).text
        assert f'<a href="#{where}"' in refused, more
        assert values(refused)["name"] == "thirty"
    rows = reseller.post("/panel/life-cycle/new", LIFE | {"rows": "add alerts"})
    assert "alerts-2-days" in values(rows.text)
    seen = reseller.post("/panel/life-cycle/new", LIFE | {"preview": "yes"}).text
    assert "14 days after its time was over" in seen
    with office.reading() as session:
        assert session.scalars(select(LifeCyclePolicyRow)).all() == []


CALENDAR: dict[str, Any] = {
    "name": "work",
    "zone": "Europe/Berlin",
    "country": "DE",
    "subdivision": "by",
    "first_year": "2026",
    "last_year": "2027",
    "extra_holidays": "2026-12-24\r\n2026-12-31",
    "band-0-name": "day",
    "band-0-weekdays": ["mon", "tue", "wed", "thu", "fri"],
    "band-0-begins": "8:00",
    "band-0-ends": "18:00",
    "band-1-name": "rest",
    "band-1-weekdays": ["sat", "sun"],
    "band-1-holidays": "y",
    "band-1-dates": "--01-02, 2026-08-01/2026-08-05",
    "band-1-priority": "2",
}


def test_a_calendar_is_made_of_rows(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    made = admin.post("/panel/settings/calendars/new", CALENDAR)
    assert made.status_code == 303, made.text
    with office_on_each.reading() as session:
        calendar = calendar_of(session.scalars(select(BandCalendarRow)).one())
    assert {"2026-12-24", "2026-12-31", "2026-01-06", "2027-12-25"} <= calendar.holidays
    assert calendar.rules == (
        BandRule("day", frozenset(range(5)), 8 * 3600, 18 * 3600),
        BandRule(
            "rest", frozenset({5, 6}), dates=("--01-02", "2026-08-01/2026-08-05"), holidays=True, priority=2
        ),
    )
    edit = f"{made.location}/edit"
    several = {key: x for key, x in CALENDAR.items() if isinstance(x, list)}
    shown = {**values(admin.get(edit).text), **several}
    assert (shown["band-0-begins"], shown["band-0-ends"], shown["country"]) == ("08:00", "18:00", "")
    assert admin.post(edit, shown).status_code == 303
    with office_on_each.reading() as session:
        _, again = [calendar_of(x) for x in session.scalars(select(BandCalendarRow))]
    assert (again.rules, again.holidays, again.zone) == (calendar.rules, calendar.holidays, calendar.zone)
    stale = admin.post(edit, shown | {"band-0-ends": "20:00"}).text
    assert "Somebody else changed this" in stale
    assert values(stale)["band-0-ends"] == "20:00"
    text = values(admin.get(f"{edit}/text").text)["text"]
    copied = admin.post("/panel/settings/calendars/new/text", {"name": "copy", "text": text})
    assert copied.status_code == 303, copied.text
    with office_on_each.reading() as session:
        copy = calendar_of(
            session.scalars(select(BandCalendarRow).where(BandCalendarRow.name == "copy")).one()
        )
    assert (copy.rules, copy.holidays) == (calendar.rules, calendar.holidays)


def test_a_calendar_is_refused_at_its_row(office: Office) -> None:
    admin = office.seat("admin")
    for more, where, why in (
        ({"band-0-ends": "25:00"}, "band-0-begins", "are no hours"),
        ({"band-1-dates": "tomorrow"}, "band-1-dates", "is no date"),
        ({"band-0-name": ""}, "band-0-name", "fill this in"),
        ({"zone": "Mars/Olympus"}, "zone", "no zone"),
        ({"extra_holidays": "Christmas"}, "extra_holidays", "is no date"),
        ({"country": "AQ"}, "country", "nothing is known"),
        ({"band-1-priority": "1001"}, "band-1-priority", "From -1000 to 1000"),
        ({"country": "", "extra_holidays": ""}, "band-1-holidays", "the calendar has none"),
    ):
        refused = admin.post("/panel/settings/calendars/new", CALENDAR | more)
        summary = refused.text.partition('id="errors"')[2].partition("</ul>")[0]
        assert f'href="#{where}"' in summary, (more, summary)
        assert why in unescape(summary), (more, summary)
        assert values(refused.text)["band-1-dates"] == (more.get("band-1-dates") or CALENDAR["band-1-dates"])
    tie = admin.post(
        "/panel/settings/calendars/new", CALENDAR | {"band-1-weekdays": ["mon"], "band-1-priority": ""}
    )
    assert "both claim" in tie.text
    rows = admin.post("/panel/settings/calendars/new", CALENDAR | {"rows": "remove band-0"})
    assert [x for x in values(rows.text) if x.endswith("-name") and x.startswith("band")] == ["band-1-name"]
    assert office.seat("reseller").get("/panel/settings/calendars/new").status_code in (403, 404)


def test_rows_come_and_go_at_once_in_a_browser(desk: Desk) -> None:
    page = desk.page("reseller")
    page.goto(f"{desk.url}{POLICIES}/new")
    page.get_by_label("Name").fill("strict")
    levels = page.locator("#level > .rows-body > .one-row > legend")
    begun = levels.count()
    page.get_by_role("button", name="Add a level").click()
    page.keyboard.type("20")  # the new row has the focus
    page.get_by_role("button", name="Remove Level 1", exact=True).click()
    assert levels.all_inner_texts() == [f"Level {number}" for number in range(1, begun + 1)]
    page.get_by_role("group", name=f"Level {begun}").get_by_role("button", name="Add words").click()
    page.keyboard.type("en")
    page.get_by_role("group", name="Words 1").get_by_label("Words").fill("Please pay {number}.")
    assert_accessible(page)
    page.get_by_label("Name").press("Enter")  # saves, and touches no row
    page.wait_for_url(re.compile(r"/policies/\d+$"))
    with desk.office.reading() as session:
        terms = policy_from_json(session.scalars(select(DunningPolicyRow.definition)).one())
    assert len(terms.levels) == begun
    assert terms.levels[-1].days == 20
    assert terms.levels[-1].words == {"en": "Please pay {number}."}
