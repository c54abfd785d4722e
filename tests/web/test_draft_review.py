"""Drafts of a run are looked through one after the other, each beside the invoice before."""

import re

from pbxbill.store.accounts import NewAccount, open_account, open_wallet
from tests.web.offices import Office
from tests.web.test_invoice_pages_runs import MONTH_US, RUN, charged, invoices, later


def test_drafts_of_a_run_lead_to_each_other(office: Office) -> None:
    admin = office.seat("admin")
    with office.writing() as session:
        new = NewAccount("second", "Second", kind="reseller", mode="postpaid", tariff="wholesale")
        open_wallet(session, open_account(session, new, 0), "EUR", credit_limit=1_000_000_000)
    for account in ("other", "second"):
        charged(office, account)
    later(office, MONTH_US)
    assert admin.post("/panel/runs/new", RUN).status_code == 303
    first, second = invoices(office)
    page = admin.get(f"/panel/invoices/{first.id}").text
    assert "1 of 2 drafts of the run" in page
    assert f'rel="next" href="/panel/invoices/{second.id}"' in page
    assert 'rel="prev"' not in page
    assert "Invoice before" not in page
    page = admin.get(f"/panel/invoices/{second.id}").text
    assert "2 of 2 drafts of the run" in page
    assert f'rel="prev" href="/panel/invoices/{first.id}"' in page
    admin.post(f"/panel/invoices/{first.id}/issue")
    # What is issued leads on to what is left.
    assert f'rel="next" href="/panel/invoices/{second.id}"' in admin.get(f"/panel/invoices/{first.id}").text
    assert "1 of 1 drafts of the run" in admin.get(f"/panel/invoices/{second.id}").text


def test_the_invoice_before_stands_beside_a_draft(office: Office) -> None:
    admin = office.seat("admin")
    charged(office)
    later(office, MONTH_US)
    admin.post("/panel/runs/new", {**RUN, "accounts": "other"})
    (first,) = invoices(office)
    admin.post(f"/panel/invoices/{first.id}/issue")
    for _ in range(2):
        charged(office)
    later(office, MONTH_US)
    admin.post("/panel/runs/new", {**RUN, "accounts": "other"})
    second = invoices(office)[-1]
    page = " ".join(re.sub(r"<[^>]+>", " ", admin.get(f"/panel/invoices/{second.id}").text).split())
    assert second.total == 2 * first.total
    assert "Invoice before 40.00 EUR" in page
    assert "this one differs by 40.00 EUR" in page
