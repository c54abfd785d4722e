"""Every table of a page that is no list says what keeps it short: what can grow is a list."""

import ast
from collections.abc import Iterator
from pathlib import Path

WEB = Path(__file__).parent.parent.parent / "pbxbill" / "web"
TEMPLATES = WEB / "templates"
THE_LIST = "panel/list.html"

BOUNDED = {
    "macros/page.html": "whoever shows a table by it gives so many rows",
    "me/me.html": "sessions of one user, which end by themselves",
    "me/passkeys.html": "passkeys of one user",
    "panel/accounts/saved_cards.html": "cards that one account saved",
    "panel/audit_log/show.html": "what one change was, as much as is kept of it",
    "panel/books/balance.html": "the chart of accounts; it is a file as well",
    "panel/books/entry.html": "postings of one entry",
    "panel/bundles/show.html": "the first holders, with how many there are",
    "panel/calls/_explained.html": "steps of one price",
    "panel/calls/show.html": "levels of one call",
    "panel/cards/made.html": "codes of as many cards as are made at once",
    "panel/carriers/show.html": "ways to one carrier",
    "panel/decks/show.html": "a page of versions, ten imports",
    "panel/destinations/preview.html": "the first rows that cannot be used",
    "panel/dids/imported.html": "the first rows that cannot be used",
    "panel/dids/several.html": "as many as are changed at once",
    "panel/dids/show.html": "the last holders of one number",
    "panel/dunning/ageing.html": "those who owe most, with how many there are; the report has all",
    "panel/dunning/invoice.html": "levels of one policy",
    "panel/dunning/policy.html": "levels of one policy",
    "panel/dunning/policy_form.html": "levels of one policy",
    "panel/dunning/preview.html": "the first that are found, with how many there are",
    "panel/first_steps/show.html": "what the wizard shows of a sheet",
    "panel/first_steps/switch.html": "what was tried out",
    "panel/invoice_templates/designer.html": "what templates can say",
    "panel/invoices/credit.html": "lines that are chosen, and a hundred that are found",
    "panel/invoices/entries.html": "a page; the calls behind it are a file",
    "panel/invoices/show.html": "the first lines; the list has all",
    "panel/issuer/show.html": "kinds of documents",
    "panel/life_cycle/preview.html": "the first that are found, and that says so",
    "panel/live_calls/account_now.html": "a page of the list",
    "panel/mediation/formats.html": "formats that pbxbill reads",
    "panel/mediation/show.html": "reasons of quarantine",
    "panel/meters/tariff.html": "terms of one tariff, and its versions",
    "panel/notices/account.html": "kinds of notices",
    "panel/notices/templates.html": "kinds of notices",
    "panel/plans/show.html": "charges of one plan, and its versions",
    "panel/points/account.html": "the newest lots of one account",
    "panel/rate_imports/show.html": "samples of a sheet",
    "panel/reconciliation/proof.html": "promises of the books",
    "panel/reports/_parts.html": "a report, which has pages and files of its own",
    "panel/reports/schedule.html": "the last runs of one schedule",
    "panel/rerating/show.html": "accounts that change most; a file has all",
    "panel/runs/look_back.html": "as many accounts as are looked at in one go",
    "panel/runs/show.html": "kinds and states; the first failures",
    "panel/settings/calendar.html": "rules of one calendar, and its versions",
    "panel/settings/exchange_preview.html": "the first rows, with how many there are",
    "panel/subscriptions/show.html": "the last changes of one subscription",
    "panel/switches/list.html": "switches of one installation, and what was tried out",
    "panel/till/show.html": "the first lines of a day; a file has all",
    "panel/together/show.html": "what is to be known of one action, as much as is kept of it",
    "portal/home/show.html": "the last calls",
    "portal/invoices/show.html": "the first lines; the list has all",
    "portal/live_balance/show.html": "calls that one account has up",
    "portal/notices/show.html": "kinds of notices",
    "portal/payments/cards.html": "cards that one account saved",
    "portal/plans/offers.html": "plans that a provider offers",
    "portal/plans/show.html": "the last changes of one subscription",
}
"""Templates with a table of their own, and why it does not grow."""


def test_a_table_is_a_list_or_says_why_it_stays_short() -> None:
    found = {str(x.relative_to(TEMPLATES)) for x in TEMPLATES.rglob("*.html") if "<table" in x.read_text()}
    assert found - {THE_LIST} == BOUNDED.keys()


def texts_of_lists(tree: ast.AST) -> Iterator[ast.expr]:
    """What is said beside lists: the texts of buttons, and what they say where there is nothing."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "ListPage":
            for keyword in call.keywords:
                said = {"empty": 2, "actions": 1}.get(keyword.arg or "", 0)
                tuples = (x for x in ast.walk(keyword.value) if isinstance(x, ast.Tuple))
                yield from (text for one in tuples for text in one.elts[:said])


def test_buttons_and_empty_lists_speak_the_readers_language() -> None:
    plain = [
        f"{path.name}: {text.value}"
        for path in WEB.rglob("*.py")
        for text in texts_of_lists(ast.parse(path.read_text()))
        if isinstance(text, ast.Constant) and isinstance(text.value, str) and text.value
    ]
    assert plain == []
