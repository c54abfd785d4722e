"""Calls are found by switch, cause, reseller and carrier; who sells sees what each brought and cost."""

from sqlalchemy import select

from pbxbill.store.catalogue_models import CallCostRow, CarrierRow
from pbxbill.store.models import AccountRow
from tests.web.test_live_calls import Calling, calling  # noqa: F401 a fixture


def carried(calling: Calling, session_id: str) -> None:  # noqa: F811
    with calling.office.writing() as session:
        tariff_id = session.scalars(select(AccountRow.tariff_id).where(AccountRow.code == "alice")).one()
        carrier = session.scalar(select(CarrierRow).where(CarrierRow.name == "north"))
        if carrier is None:
            carrier = CarrierRow(name="north", tariff_id=tariff_id)
            session.add(carrier)
            session.flush()
        session.add(
            CallCostRow(
                session_id=session_id,
                gateway="gw1",
                carrier_id=carrier.id,
                tariff_version_id=1,
                rate_id=None,
                unit="EUR",
                billable_s=30,
                cost=20_000,
            )
        )


def test_calls_are_found_by_switch_cause_and_reseller(calling: Calling) -> None:  # noqa: F811
    alices, olgas = calling.talking("alice"), calling.talking("olga")
    for session_id in (alices, olgas):
        calling.end(session_id)
    admin = calling.office.seat("admin")
    for query, found in (
        ("reseller=reseller", {alices}),
        ("switch=pbx1", {alices, olgas}),
        ("cause=16", {alices, olgas}),
        ("switch=pbx9", set()),
        ("cause=17", set()),
        ("reseller=nobody", set()),
    ):
        page = admin.get(f"/panel/calls?from=2000-01-01&{query}").text
        assert {x for x in (alices, olgas) if x in page} == found, query
    mine = calling.office.seat("reseller").get("/panel/calls?from=2000-01-01&reseller=other").text
    assert olgas not in mine


def test_who_sells_sees_what_each_call_brought_and_cost_him(calling: Calling) -> None:  # noqa: F811
    alices, olgas = calling.talking("alice"), calling.talking("olga")
    for session_id in (alices, olgas):
        calling.end(session_id)
    carried(calling, alices)
    admin, reseller = calling.office.seat("admin"), calling.office.seat("reseller")
    path = "/panel/calls/margins?from=2000-01-01"
    assert "/panel/calls/margins" in admin.get("/panel/calls").text
    page = admin.get(f"{path}&carrier=north").text
    assert alices in page
    assert olgas not in page
    # 30 s: the reseller pays 0.15 without tax, the carrier asks 0.02.
    assert "0.02 " in page
    assert "0.13 " in page
    page = reseller.get(path).text
    assert alices in page
    assert olgas not in page
    assert "north" not in page
    # Of his own customer he gets 0.30, and pays 0.15 himself.
    assert "0.30 " in page
    assert "0.15 " in page
    assert alices not in reseller.get(f"{path}&carrier=north").text
    assert "north" not in reseller.get("/panel/calls/margins.csv?from=2000-01-01").text
    assert calling.office.seat("cashier").get("/panel/calls/margins").status_code == 403
