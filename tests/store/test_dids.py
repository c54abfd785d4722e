"""The inventory of DIDs, on each database: lists, hands that they go through, quarantine."""

import io
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.did_inventory import (
    DAY_US,
    add_did,
    did_by_number,
    end_quarantines,
    hand_out,
    import_dids,
    move_to_inventory,
    state_at,
    take_back,
    withdraw,
)
from pbxbill.billing.subscriptions.did_sheet import DidSheet
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code, add_endpoint
from pbxbill.store.billing_models import IssuerRow
from pbxbill.store.engine import open_engine, transaction
from tests.store.billed_accounts import BilledAccounts

NOW_US = 1_780_000_000_000_000
NUMBER = "4930555001"


@pytest.fixture
def session(accounts: BilledAccounts) -> Iterator[Session]:
    database = open_engine(accounts.url)
    with transaction(database) as opened:
        yield opened
    database.dispose()


def operator(session: Session):
    return account_by_code(session, "operator")


def history(accounts: BilledAccounts, number: str = NUMBER) -> list[tuple]:
    return accounts.select(
        "SELECT a.code, h.from_us, h.to_us FROM did_history h JOIN dids d ON d.id = h.did_id "
        f"JOIN accounts a ON a.id = h.account_id WHERE d.number = '{number}' ORDER BY h.id"
    )


def test_a_did_waits_out_its_quarantine_before_somebody_else_gets_it(session: Session) -> None:
    bob, carol = (account_by_code(session, code) for code in ("bob", "carol"))
    did = add_did(session, operator(session), "+49 (30) 555-001", NOW_US, country="de")
    assert (did.number, did.country, did.state) == ("+4930555001", "DE", "free")
    endpoint = hand_out(session, did, bob, NOW_US)
    assert (did.state, did.account_id, endpoint.value) == ("assigned", bob.id, "+4930555001")
    with pytest.raises(InputRefused, match="is assigned to account bob"):
        hand_out(session, did, carol, NOW_US)
    take_back(session, did, NOW_US + DAY_US)
    over_us = NOW_US + 61 * DAY_US
    assert (did.state, did.free_from_us) == ("quarantined", over_us)
    with pytest.raises(InputRefused, match="in quarantine"):
        hand_out(session, did, carol, over_us - 1)
    assert end_quarantines(session, over_us - 1) == 0
    assert state_at(did, over_us) == "free"
    hand_out(session, did, carol, over_us)
    assert did.account_id == carol.id


def test_who_gave_a_did_back_may_have_it_again_at_once(session: Session) -> None:
    bob = account_by_code(session, "bob")
    did = add_did(session, operator(session), NUMBER, NOW_US)
    hand_out(session, did, bob, NOW_US)
    take_back(session, did, NOW_US + 5)
    hand_out(session, did, bob, NOW_US + 7)
    assert did.state == "assigned"


def test_an_issuer_says_how_long_quarantine_lasts(session: Session) -> None:
    session.add(IssuerRow(account_id=operator(session).id, did_quarantine_days=0))
    did = add_did(session, operator(session), NUMBER, NOW_US)
    hand_out(session, did, account_by_code(session, "bob"), NOW_US)
    take_back(session, did, NOW_US)
    assert (did.state, did.free_from_us) == ("free", None)


def test_hands_are_kept(accounts: BilledAccounts) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        did = add_did(session, operator(session), NUMBER, NOW_US)
        hand_out(session, did, account_by_code(session, "bob"), NOW_US)
        take_back(session, did, NOW_US + DAY_US)
        hand_out(session, did, account_by_code(session, "carol"), NOW_US + 70 * DAY_US)
    database.dispose()
    assert history(accounts) == [
        ("bob", NOW_US, NOW_US + DAY_US),
        ("carol", NOW_US + 70 * DAY_US, None),
    ]


def test_a_reseller_gives_out_what_the_operator_handed_over(session: Session) -> None:
    reseller, alice, bob = (account_by_code(session, code) for code in ("reseller", "alice", "bob"))
    did = add_did(session, operator(session), NUMBER, NOW_US)
    with pytest.raises(InputRefused, match="inventory of operator, who does not bill account alice"):
        hand_out(session, did, alice, NOW_US)
    move_to_inventory(session, did, reseller)
    with pytest.raises(InputRefused, match="inventory of reseller, who does not bill account bob"):
        hand_out(session, did, bob, NOW_US)
    hand_out(session, did, alice, NOW_US)
    with pytest.raises(InputRefused, match="release it first"):
        move_to_inventory(session, did, operator(session))
    with pytest.raises(InputRefused, match="release it first"):
        withdraw(session, did)


def test_what_is_withdrawn_can_come_back(session: Session) -> None:
    did = add_did(session, operator(session), NUMBER, NOW_US)
    with pytest.raises(InputRefused, match="in the inventory already"):
        add_did(session, operator(session), f"+{NUMBER}", NOW_US)
    withdraw(session, did)
    with pytest.raises(InputRefused, match="withdrawn"):
        hand_out(session, did, account_by_code(session, "bob"), NOW_US)
    assert add_did(session, operator(session), NUMBER, NOW_US).id == did.id
    assert did.state == "free"


def test_a_number_that_an_account_had_before_stays_its_own(session: Session) -> None:
    add_endpoint(session, account_by_code(session, "bob"), "did", NUMBER)
    add_endpoint(session, account_by_code(session, "alice"), "did", "4930555002")
    did = add_did(session, operator(session), NUMBER, NOW_US)
    assert (did.state, did.account_id) == ("assigned", account_by_code(session, "bob").id)
    with pytest.raises(InputRefused, match="identifies account alice, no customer of operator"):
        add_did(session, operator(session), "4930555002", NOW_US)


LIST = b"""number;country
4930555001;DE
+33 1 84 88 00 00;fr
49305;DE;x
thirty;DE
4930555001;DE
4930555009;Germany

4930555003;
"""


def test_a_list_is_imported_and_bad_rows_are_kept_aside(session: Session) -> None:
    add_did(session, operator(session), "4930555003", NOW_US)
    sheet = DidSheet(io.BytesIO(LIST))
    imported = import_dids(session, operator(session), sheet.rows(), NOW_US)
    assert (imported.added, imported.known) == (2, 1)
    assert did_by_number(session, "+33184880000").country == "FR"
    aside = io.StringIO()
    sheet.write_refused(aside, imported.refused)
    lines = [line.replace('"', "") for line in aside.getvalue().splitlines()]
    assert lines == [
        "refused_line;refused_reason;number;country",
        "4;the row has 3 cells, the header 2;49305;DE;x",
        "5;'thirty' is no number; a DID has 2 to 15 digits, perhaps a + before them;thirty;DE",
        "6;4930555001 stands in the list before;4930555001;DE",
        "7;country 'Germany': write two letters as in ISO 3166, e.g. DE;4930555009;Germany",
    ]
    again = import_dids(session, operator(session), DidSheet(io.BytesIO(LIST)).rows(), NOW_US)
    assert (again.added, again.known) == (0, 3)


def test_a_list_read_again_after_its_rows_were_corrected(session: Session) -> None:
    text = b"refused_line;refused_reason;number;country\n5;no number;4930555077;DE\n"
    imported = import_dids(session, operator(session), DidSheet(io.BytesIO(text)).rows(), NOW_US)
    assert (imported.added, imported.refused) == (1, ())
    reseller = account_by_code(session, "reseller")
    other = import_dids(session, reseller, DidSheet(io.BytesIO(b"did\n+4930555077\n")).rows(), NOW_US)
    assert [row.reason for row in other.refused] == [
        "+4930555077 is in another inventory; only its owner can hand it over"
    ]


@pytest.mark.parametrize("text", [b"", b"\n", b"a,b\n1,2\n", b"\xff\xfe\n"])
def test_what_is_no_list_of_dids_is_refused(text: bytes) -> None:
    with pytest.raises(InputRefused, match="line 1"):
        DidSheet(io.BytesIO(text))
