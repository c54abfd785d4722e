"""What cannot be undone is asked first: a page says what will happen, and nothing has happened yet."""

import re

from sqlalchemy import insert, select

from pbxbill.access.second_factor import new_secret, turn_on
from pbxbill.notify.outbox import MOST_RETRIED
from pbxbill.store.access_models import RecoveryCodeRow, UserRow
from pbxbill.store.catalogue_models import AccountBundleRow
from pbxbill.store.invoice_models import InvoiceRow, MessageRow
from tests.web.offices import Office
from tests.web.test_money_pages import take
from tests.web.test_money_pages_told import message


def test_messages_are_counted_before_they_are_sent_again(office_on_each: Office) -> None:
    office, reseller = office_on_each, office_on_each.seat("reseller")
    ids = [message(office, kind) for kind in ("invoice", "notice")]
    path = "/panel/messages/retry"
    assert f'href="{path}"' in reseller.get("/panel/messages").text
    asked = reseller.get(path).text
    assert "Send 2 messages" in asked
    assert "cannot be called back" in asked
    with office.reading() as session:
        assert set(session.scalars(select(MessageRow.state))) == {"failed"}
    told = reseller.get(reseller.post(path).location).text
    assert "2 messages wait again" in told
    with office.reading() as session:
        assert {session.get_one(MessageRow, x).state for x in ids} == {"waiting"}
    assert "No message is given up" in reseller.get(reseller.get(path).location).text


def test_of_very_many_messages_the_oldest_go_first(office: Office) -> None:
    first = message(office)
    with office.writing() as session:
        row = session.get_one(MessageRow, first)
        kept = {x.key: getattr(row, x.key) for x in MessageRow.__mapper__.column_attrs}
        more = [kept | {"id": first + x, "key": f"k{x}"} for x in range(1, MOST_RETRIED + 1)]
        session.execute(insert(MessageRow), more)
    reseller = office.seat("reseller")
    asked = reseller.get("/panel/messages/retry").text
    assert "10,001 were given up. The oldest 10,000 of them go first" in asked
    assert "Send 10000 messages" in asked
    assert reseller.post("/panel/messages/retry").status_code == 303
    with office.reading() as session:
        assert session.scalars(select(MessageRow.id).where(MessageRow.state == "failed")).all() == [
            first + MOST_RETRIED
        ]


def test_deliveries_are_counted_before_they_are_posted_again(office: Office) -> None:
    reseller, failed = office.seat("reseller"), message(office)
    made = reseller.post("/panel/webhook-endpoints/new", {"url": "https://shop.example/hook"}).text
    path = re.findall(r"/panel/webhook-endpoints/[0-9]+", made)[0]
    assert (
        "Nothing that was posted there is given up"
        in reseller.get(reseller.get(f"{path}/retry").location).text
    )
    with office.writing() as session:
        row = session.get_one(MessageRow, failed)
        row.channel, row.endpoint_id = "webhook", int(path.rpartition("/")[2])
    assert "Post 1 delivery" in reseller.get(f"{path}/retry").text
    assert "1 delivery waits again" in reseller.get(reseller.post(f"{path}/retry").location).text
    assert office.seat("other").get(f"{path}/retry").status_code == 404


def test_a_bundle_is_taken_when_that_is_meant(office: Office) -> None:
    reseller = office.seat("reseller")
    terms = {"name": "100 minutes", "pieces": "6000", "measure": "seconds", "cycle": "month", "zone": "UTC"}
    made = reseller.post("/panel/bundles/new", terms).location
    reseller.post(f"{made}/give", {"account": "alice"}, page=made)
    path = f"{made}/take/{office.account_id('alice')}"
    assert f'href="{path}"' in reseller.get(made).text
    asked = reseller.get(path).text
    assert "Take 100 minutes from alice" in asked
    assert "What is left of it is lost" in asked
    with office.reading() as session:
        assert session.scalars(select(AccountBundleRow.to_us)).all() == [None]
    assert "The bundle is taken" in reseller.get(reseller.post(path).location).text
    assert "does not have bundle" in reseller.post(path).text


def test_a_receipt_is_made_when_that_is_meant(office: Office) -> None:
    shop = office.seat("shop")
    entry = take(shop, "alice", receipt="")
    assert f'href="{entry}/receipt"' in shop.get(entry).text
    assert "gets the next number and stays" in shop.get(f"{entry}/receipt").text
    receipts = select(InvoiceRow.number).where(InvoiceRow.kind == "receipt")
    with office.reading() as session:
        assert not session.scalars(receipts).all()
    told = shop.get(shop.post(f"{entry}/receipt").location).text
    with office.reading() as session:
        assert f"Receipt {session.scalars(receipts).one()} is made" in told


def test_recovery_codes_end_when_that_is_meant(office: Office) -> None:
    browser = office.browser("admin")
    with office.writing() as session:
        user = session.get_one(UserRow, office.user("admin").id)
        turn_on(session, office.app.extensions["pbxbill_rules"].sealer, user, new_secret(), 0)
    kept = select(RecoveryCodeRow.code_hash).order_by(RecoveryCodeRow.code_hash)
    with office.reading() as session:
        before = session.scalars(kept).all()
    assert "The codes that you have end at once" in browser.get("/me/recovery-codes").text
    with office.reading() as session:
        assert session.scalars(kept).all() == before
    assert browser.post("/me/recovery-codes").status_code == 200
    with office.reading() as session:
        assert not set(before) & set(session.scalars(kept))
