"""Fingerprints that tell too little, and single records that the database cannot take."""

import json
from pathlib import Path
from typing import Any

import pytest

from pbxbill.mediation import deciding
from pbxbill.mediation.posting import Poster
from pbxbill.store.accounts import account_by_code, add_endpoint
from pbxbill.store.decks import NewDeckVersion, import_deck_version
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import EndpointRow, TariffRow
from pbxbill.store.services import set_service
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.small_operator import eur
from tests.store.billed_accounts import CLOCK, FRANCE, GERMANY, BilledAccounts, open_accounts, rate
from tests.store.command_line import Run

MAPPING = """
name = "acme"
fingerprint = ["ref", "part"]
[file]
type = "json"
[time]
form = "epoch_s"
[account]
sip = "customer"
[fields]
called = "number"
started = "begin"
duration = { column = "length", unit = "s" }
"""
EVENTS = """
name = "acme"
kind = "{kind}"
fingerprint = ["ref"]
[file]
type = "json"
[time]
form = "epoch_s"
[account]
sip = "customer"
[fields]
at = "begin"
quantity = "length"
{what}
"""
EVENT_FIELDS = 'called = "number"\nmeasure = { constant = "bytes" }'


class Importing:
    """A folder with a mapping; each import is one file of records."""

    def __init__(self, accounts: BilledAccounts, pbxbill: Run, folder: Path) -> None:
        self.accounts = accounts
        self.pbxbill = pbxbill
        self._folder = folder
        (folder / "acme.toml").write_text(MAPPING)

    def __call__(self, *records: dict[str, Any], name: str = "calls.jsonl", exit_code: int) -> dict[str, Any]:
        file = self._folder / name
        file.write_text("".join(f"{json.dumps(record)}\n" for record in records))
        result = self.pbxbill("mediate", file, "--format", self._folder / "acme.toml", "--json")
        assert result.exit_code == exit_code, result.output
        found: dict[str, Any] = json.loads(result.stdout[result.stdout.index("{") :])
        return found

    def quarantined(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.pbxbill("quarantine", "list", "--json").stdout)
        return found

    def charged(self) -> list[tuple[Any, ...]]:
        return self.accounts.select(
            "SELECT a.code, x.total FROM call_charges x JOIN accounts a ON a.id = x.account_id ORDER BY 1, 2"
        )


@pytest.fixture
def importing(database_url: str, pbxbill: Run, tmp_path: Path) -> Importing:
    accounts = open_accounts(database_url)
    accounts.top_up("bob", "10")
    return Importing(accounts, pbxbill, tmp_path)


def call(ref: str | None = "A1", customer: str = "bob", length: int = 60, **more: Any) -> dict[str, Any]:
    record = {"customer": customer, "number": GERMANY, "begin": 1_772_359_200, "length": length}
    return record | ({} if ref is None else {"ref": ref}) | more


@pytest.mark.parametrize(
    "other",
    [
        call(customer="carol"),
        call(customer="nobody"),
        call(length=600),
        call(number=FRANCE),
        call(begin=1_772_359_300),
        call(length=0),
    ],
    ids=["account", "unknown", "length", "number", "start", "unanswered"],
)
@pytest.mark.parametrize("between", [0, 300], ids=["one batch", "two batches"])
def test_two_records_with_one_fingerprint(importing: Importing, other: dict[str, Any], between: int) -> None:
    """The first is charged to its own account; the second is kept, and told."""
    fill = [call(f"x{n}", length=0) for n in range(between)]
    report = importing(call(), *fill, other, exit_code=3)
    assert (report["rated"], report["duplicates"], report["reasons"]) == (1, 0, {"contradictory": 1})
    assert importing.charged() == [("bob", eur("0.12"))]
    (kept,) = importing.quarantined()
    assert kept["line"] == between + 2
    assert "calls.jsonl line 1" in kept["detail"]
    report = importing(call(), *fill, other, exit_code=0)
    # Of an earlier run nobody knows who had the endpoint then.
    assert (report["rated"], report["duplicates"]) == (0, between + 2)
    assert len(importing.quarantined()) == 1


def test_the_same_record_twice_is_one(importing: Importing) -> None:
    report = importing(call(), call(), call(begin=1_772_359_201), exit_code=0)
    assert (report["rated"], report["duplicates"]) == (1, 2)


def test_a_reference_that_is_used_again_in_another_file_is_told(importing: Importing) -> None:
    importing(call(), exit_code=0)
    report = importing(call(begin=1_772_400_000), name="tomorrow.jsonl", exit_code=3)
    assert report["reasons"] == {"contradictory": 1}
    (kept,) = importing.quarantined()
    assert "one with other times is charged under it already" in kept["detail"]
    assert "calls.jsonl line 1" in kept["detail"]
    # It stays until it is corrected, and is charged under its own reference then.
    assert "1 still in quarantine" in importing.pbxbill("quarantine", "retry", "--all").stdout
    assert importing.pbxbill("quarantine", "edit", kept["id"], "ref=B1").exit_code == 0
    assert "1 posted" in importing.pbxbill("quarantine", "retry", "--all").stdout
    assert importing.charged() == [("bob", eur("0.12"))] * 2
    report = importing(call(begin=1_772_400_000), name="tomorrow.jsonl", exit_code=0)
    assert report["duplicates"] == 1


def test_an_endpoint_that_changed_hands_makes_no_contradiction(importing: Importing) -> None:
    importing(call(), exit_code=0)
    database = open_engine(importing.accounts.url)
    with transaction(database) as session:
        (endpoint,) = session.query(EndpointRow).filter_by(kind="sip", value="bob")
        session.delete(endpoint)
        session.flush()
        add_endpoint(session, account_by_code(session, "carol"), "sip", "bob")
    database.dispose()
    assert importing(call(), exit_code=0)["duplicates"] == 1


def test_a_record_without_fingerprint_is_kept_until_it_has_one(importing: Importing) -> None:
    lacking = [call(None), call(" ", length=600), call(None, part="")]
    report = importing(call(), *lacking, exit_code=3)
    assert report["reasons"] == {"fingerprint_missing": 3}
    kept = importing.quarantined()
    assert "fingerprint: ref, part are empty" in kept[0]["detail"]
    assert "3 still in quarantine" in importing.pbxbill("quarantine", "retry", "--all").stdout
    for row, ref in zip(kept, ("A2", "A3", "A1"), strict=True):
        assert importing.pbxbill("quarantine", "edit", row["id"], f"ref={ref}").exit_code == 0
    # The third is charged already, as A1.
    retried = importing.pbxbill("quarantine", "retry", "--all").stdout
    assert "2 posted, 0 still in quarantine, 1 posted before" in retried
    assert importing.charged() == [("bob", eur("0.12")), ("bob", eur("0.12")), ("bob", eur("1.20"))]
    assert importing(call(), *lacking, exit_code=0)["duplicates"] == 4


def test_records_that_the_database_cannot_take_do_not_stop_the_others(
    importing: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a decision lets through: here, a moment that no column holds."""

    def settle(self: deciding.Batch, *arguments: Any) -> Any:
        fate = posted(self, *arguments)
        state = self._state
        if state.new_cdrs and state.new_cdrs[-1].dialled == FRANCE:
            state.new_cdrs[-1] = state.new_cdrs[-1]._replace(hangup_cause=2**70)
        return fate

    posted = deciding.Batch._post
    monkeypatch.setattr(deciding.Batch, "_post", settle)
    lines = [call(f"r{n}", number=FRANCE if n in (3, 7) else GERMANY) for n in range(10)]
    report = importing(*lines, exit_code=3)
    assert (report["rated"], report["reasons"]) == (8, {"fault": 2})
    kept = importing.quarantined()
    assert [row["line"] for row in kept] == [4, 8]
    assert importing.accounts.wallet("bob")[0] == eur("10") - 8 * eur("0.12")
    monkeypatch.setattr(deciding.Batch, "_post", posted)
    assert "2 posted" in importing.pbxbill("quarantine", "retry", "--reason", "fault").stdout
    assert importing.accounts.problems() == []


def test_what_is_no_records_fault_is_none_of_theirs(
    importing: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def transaction(self: Poster, *arguments: Any, **more: Any) -> Any:
        raise ArithmeticError("nothing works")

    monkeypatch.setattr(Poster, "_transaction", transaction)
    result = importing.pbxbill("mediate", importing._folder / "acme.toml", "--format", "asterisk-csv")
    assert result.exit_code != 0
    with pytest.raises(AssertionError):
        importing(call(), exit_code=3)
    assert importing.quarantined() == []


def test_half_characters_are_refused(importing: Importing) -> None:
    report = importing(call(), call("A2\ud800"), call("A3", customer="\udfff"), exit_code=3)
    assert (report["rated"], report["reasons"]) == (1, {"not_text": 2})
    assert "half a character" in importing.quarantined()[0]["detail"]
    assert "2 still in quarantine" in importing.pbxbill("quarantine", "retry", "--all").stdout
    assert importing(call(), call("A2\ud800"), exit_code=0)["duplicates"] == 2


def test_a_price_beyond_any_amount_is_refused(importing: Importing, tmp_path: Path) -> None:
    """Nine trillion bytes are taken, but not at 1.00 each."""
    database = open_engine(importing.accounts.url)
    version = NewDeckVersion("data", "EUR", "data.csv", 0, measure="bytes")
    import_deck_version(database, version, [rate("49", "Data", "1")], CLOCK)
    with transaction(database) as session:
        tariff = add_tariff_version(session, NewTariff("data", "data"), 0)
        row = session.get_one(TariffRow, tariff.tariff_id)
        set_service(session, account_by_code(session, "bob"), "bytes", row)
    database.dispose()
    (tmp_path / "acme.toml").write_text(EVENTS.format(kind="event", what=EVENT_FIELDS))
    report = importing(call("A1", length=9 * 10**12), call("A2", length=2), exit_code=3)
    assert (report["rated"], report["reasons"]) == (1, {"not_chargeable": 1})
    assert "costs more than any amount can be" in importing.quarantined()[0]["detail"]
    assert importing.charged() == [("bob", eur("2"))]
    assert importing.accounts.problems() == []


@pytest.mark.parametrize("kind", ["event", "reading"])
def test_a_quantity_that_64_bits_cannot_hold_is_refused(
    importing: Importing, tmp_path: Path, kind: str
) -> None:
    what = EVENT_FIELDS if kind == "event" else 'meter = "customer"'
    (tmp_path / "acme.toml").write_text(EVENTS.format(kind=kind, what=what))
    records = [call(f"r{n}", length=length) for n, length in enumerate((10**13, 2**53, 9 * 10**12))]
    report = importing(*records, exit_code=3)
    other = "account_incomplete" if kind == "event" else "meter_unknown"
    assert report["reasons"] == {"quantity_absurd": 2, other: 1}
    assert "more than 9000000000000" in importing.quarantined()[0]["detail"]


def test_two_readings_with_one_fingerprint_that_are_refused(importing: Importing, tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(EVENTS.format(kind="reading", what='meter = "customer"'))
    report = importing(call(), call(), call(length=70), exit_code=3)
    assert (report["quarantined"], report["duplicates"]) == (2, 1)
