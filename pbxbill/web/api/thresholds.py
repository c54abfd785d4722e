"""Below which funds customers are told: an issuer's thresholds, and those of one account; limits of all."""

from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import money_units, wallets_of
from pbxbill.billing.invoices.standing import locked_wallet
from pbxbill.billing.payments.balance_thresholds import (
    MOST_THRESHOLDS,
    set_thresholds,
    spread_defaults,
    thresholds_of,
    write_defaults,
)
from pbxbill.listing.limits import HELD_COUNTRIES, limits_listing
from pbxbill.money import Unit, parse_amount
from pbxbill.store.models import WalletRow
from pbxbill.store.points_units import is_points_unit
from pbxbill.store.thresholds import DEFAULT, NOTICE, all_defaults_of
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Amount, Moment, Money, Sent, moment_or_none, money
from pbxbill.web.api.limits import TAG as LIMITS
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.notices import TAG
from pbxbill.web.api.objects import field
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath, WalletPath
from pbxbill.web.background import Background
from pbxbill.web.front import needs


class UnitPath(Sent):
    """A currency, or another unit that wallets count in."""

    unit: str = Field(pattern="^[A-Z0-9]{1,12}$", description="EUR, say.")


class ThresholdShown(BaseModel):
    """Below which an account is told."""

    below: Money
    reached: Moment | None = Field(description="Since when the wallet has been below; null: it is not.")


class WalletThresholds(BaseModel):
    """What of a wallet an account is told."""

    unit: str
    own: bool = Field(description="Its own; false: those of all customers of its seller.")
    items: list[ThresholdShown]


class AccountThresholds(BaseModel):
    """Of every wallet of an account."""

    items: list[WalletThresholds]


class UnitThresholds(BaseModel):
    """Below which customers are told who have no thresholds of their own."""

    unit: str
    items: list[Money]


class DefaultThresholds(BaseModel):
    """Of every unit of the key's account's customers."""

    items: list[UnitThresholds]


class SentThresholds(Sent):
    """All of them, in the wallet's unit."""

    amounts: Annotated[list[Amount], Field(max_length=MOST_THRESHOLDS)] = Field(
        examples=[["10.00", "2.00"]], description="None: as for all customers of the seller."
    )


def limit_lists(api: Api) -> None:
    """Limits and held countries of all accounts."""
    listing = limits_listing(api.front.clock.now_us)
    declare_list(api, "/limits", listing, LIMITS)
    declare_list(api, "/held-countries", HELD_COUNTRIES, LIMITS)


def thresholds(api: Api) -> None:
    """Thresholds."""
    front = api.front
    _declare_defaults(api)

    def changed(find: Callable[[Session], int], unit: str, body: SentThresholds) -> Answer:
        with front.reading() as session:
            id = find(session)
            code = front.account(session, id).code
            _wallet(session, id, unit)
        with api.writing("thresholds.set", code, account_id=id) as change:
            session = change.session
            wallet = _wallet(session, find(session), unit)
            with field("amounts"):
                amounts = _amounts(session, unit, body)
                set_thresholds(
                    session, locked_wallet(session, id, wallet.unit), NOTICE, amounts, change.now_us
                )
            return change.done(_of_wallet(session, _wallet(session, id, unit)))

    def shown(session: Session, account_id: int) -> AccountThresholds:
        wallets = [x for x in wallets_of(session, account_id) if not is_points_unit(session, x.unit)]
        return AccountThresholds(items=[_of_wallet(session, x) for x in wallets])

    @api.get("/accounts/<int:account_id>/notice-thresholds", AccountThresholds, TAG, moving=("reached",))
    @needs(Permission.NOTICES_READ)
    def get_account_thresholds(path: AccountPath) -> AccountThresholds:
        """Below which funds an account is told."""
        with front.reading() as session:
            return shown(session, front.account(session, path.account_id).id)

    @api.put(
        "/accounts/<int:account_id>/notice-thresholds/<unit>",
        WalletThresholds,
        TAG,
        of="/accounts/<int:account_id>/notice-thresholds",
    )
    @needs(Permission.NOTICES_WRITE)
    def set_account_thresholds(path: WalletPath, body: SentThresholds) -> Answer:
        """Say below which funds an account is told. Those that it is below already are not told of now."""
        return changed(lambda session: front.account(session, path.account_id).id, path.unit, body)

    @api.get("/own/notice-thresholds", AccountThresholds, TAG, moving=("reached",))
    @needs(Permission.OWN_READ)
    def get_own_thresholds() -> AccountThresholds:
        """Below which funds the key's own account is told."""
        with front.reading() as session:
            return shown(session, front.scope.account_id)

    @api.put("/own/notice-thresholds/<unit>", WalletThresholds, TAG, of="/own/notice-thresholds")
    @needs(Permission.OWN_WRITE)
    def set_own_thresholds(path: UnitPath, body: SentThresholds) -> Answer:
        """Say below which funds the key's own account is told."""
        return changed(lambda _session: front.scope.account_id, path.unit, body)


def _declare_defaults(api: Api) -> None:
    front, background = api.front, Background()

    @api.get("/notice-thresholds", DefaultThresholds, TAG)
    @needs(Permission.NOTICES_READ)
    def list_default_thresholds() -> DefaultThresholds:
        """Below which funds customers of the key's account are told who have no thresholds of their own."""
        with front.reading() as session:
            units = units_by_code(session)
            found = all_defaults_of(session, front.scope.account_id)
        return DefaultThresholds(
            items=[UnitThresholds(unit=x, items=[money(y, units[x]) for y in found[x]]) for x in found]
        )

    @api.put("/notice-thresholds/<unit>", UnitThresholds, TAG, of="/notice-thresholds")
    @needs(Permission.NOTICES_WRITE)
    def set_default_thresholds(path: UnitPath, body: SentThresholds) -> Answer:
        """Say below which funds customers are told who have no thresholds of their own.

        New wallets begin with them at once; those there are take them one after the other.
        """
        with front.reading() as session:
            unit = next((x for x in money_units(session) if x.code == path.unit), None)
        if unit is None:
            raise Refused(404)
        issuer_id = front.scope.account_id
        with api.writing("thresholds.set", unit.code) as change:
            with field("amounts"):
                amounts = _amounts(change.session, unit.code, body)
                chosen = write_defaults(change.session, issuer_id, unit.code, amounts)
            told = UnitThresholds(unit=unit.code, items=[money(x, unit) for x in chosen])
            answer = change.done(told)
            now_us = change.now_us
        database = front.desks.application.database
        background.start("thresholds", lambda: _spread(database, issuer_id, unit, now_us))
        return answer


def _spread(database: Engine, issuer_id: int, unit: Unit, now_us: int) -> None:
    spread_defaults(database, issuer_id, unit.code, now_us)


def _amounts(session: Session, unit: str, body: SentThresholds) -> list[int]:
    known = units_by_code(session)[unit]
    return [parse_amount(x, known) for x in body.amounts]


def _wallet(session: Session, account_id: int, unit: str) -> WalletRow:
    found = next((x for x in wallets_of(session, account_id) if x.unit == unit), None)
    if found is None or is_points_unit(session, unit):
        raise Refused(404)
    return found


def _of_wallet(session: Session, wallet: WalletRow) -> WalletThresholds:
    unit = units_by_code(session)[wallet.unit]
    found = [x for x in thresholds_of(session, wallet.id) if x.purpose in (NOTICE, DEFAULT)]
    items = [ThresholdShown(below=money(x.below, unit), reached=moment_or_none(x.reached_us)) for x in found]
    return WalletThresholds(unit=unit.code, own=any(x.purpose == NOTICE for x in found), items=items)
