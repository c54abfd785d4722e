"""Cards that gateways keep, and automatic top-ups from them: of accounts in scope, and of one's own."""

from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.auto_top_ups import AutoTopUpTerms, resume, set_auto_top_up, turn_off
from pbxbill.billing.payments.saved_methods import active_method, forget_method, methods_of, prefer_method
from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.money import Unit, parse_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.payment_models import AutoTopUpRow, SavedMethodRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Amount, Id, Moment, Money, Sent, left_out, moment, moment_or_none, money
from pbxbill.web.api.objects import billed_account, conflicts, field, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath, WalletPath
from pbxbill.web.front import needs

TAG = "Saved cards"


class MethodPath(AccountPath):
    """A saved way to pay, of an account."""

    method_id: Id


class OwnMethodPath(Sent):
    """A saved way to pay, of the key's own account."""

    method_id: Id


class OwnWalletPath(Sent):
    """A wallet of the key's own account."""

    unit: str = Field(pattern="^[A-Z0-9]{1,12}$")


class SavedMethod(BaseModel):
    """A way to pay that a gateway keeps; its numbers are never here."""

    id: int
    brand: str
    last4: str = Field(description="How its number ends; empty: it has none.")
    expires: str = Field(description="2027-05; empty: it does not say.")
    preferred: bool = Field(description="It is charged first.")
    saved: Moment


class SavedMethods(BaseModel):
    """Those of an account."""

    items: list[SavedMethod]


class SentAutoTopUp(Sent):
    """When a wallet fills itself, and by how much."""

    below: Amount = Field(description="When less is there; 0: as soon as nothing is left.")
    amount: Amount = Field(description="So much is added.")
    method_id: Id = left_out("From which card. Default: the preferred one.")
    daily_cap: Amount = left_out("At most in a day.")
    monthly_cap: Amount = left_out("At most in a month.")


class AutoTopUp(BaseModel):
    """How a wallet fills itself."""

    state: str = Field(description="on, off, or stopped: the card was declined.")
    below: Money
    amount: Money
    method_id: int
    daily_cap: Money | None
    monthly_cap: Money | None
    declines: int
    next: Moment | None = Field(description="Not tried before.")


def saved_methods(api: Api) -> None:
    """Of accounts in scope."""
    front = api.front

    @api.get("/accounts/<int:account_id>/saved-methods", SavedMethods, TAG)
    @needs(Permission.PAYMENTS_READ)
    def list_saved_methods(path: AccountPath) -> SavedMethods:
        """Cards that gateways keep for an account."""
        with front.reading() as session:
            return _methods(session, front.account(session, path.account_id).id)

    @api.put("/accounts/<int:account_id>/saved-methods/<int:method_id>/preference", SavedMethods, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def prefer_saved_method(path: MethodPath) -> Answer:
        """Charge this card of an account first. Top-ups that name a card go on with theirs."""
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
        return _preferred(api, account, path.method_id)

    @api.delete("/accounts/<int:account_id>/saved-methods/<int:method_id>", TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def remove_saved_method(path: MethodPath) -> Answer:
        """Charge a card no more, and have its gateway forget it."""
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
        return _removed(api, account, path.method_id)

    @api.get(
        "/accounts/<int:account_id>/wallets/<unit>/auto-top-up", AutoTopUp, TAG, moving=("declines", "next")
    )
    @needs(Permission.PAYMENTS_READ)
    def get_auto_top_up(path: WalletPath) -> AutoTopUp:
        """How a wallet fills itself. 404: it does not."""
        with front.reading() as session:
            return _shown(session, front.account(session, path.account_id).id, path.unit)

    @api.put("/accounts/<int:account_id>/wallets/<unit>/auto-top-up", AutoTopUp, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def put_auto_top_up(path: WalletPath, body: SentAutoTopUp) -> Answer:
        """Have a wallet fill itself. 409: no card is there for it."""
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
        return _set(api, account, path.unit, body)

    @api.delete("/accounts/<int:account_id>/wallets/<unit>/auto-top-up", TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def stop_auto_top_up(path: WalletPath) -> Answer:
        """Let a wallet fill itself no more."""
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
        return _stopped(api, account, path.unit)

    @api.post("/accounts/<int:account_id>/wallets/<unit>/auto-top-up/resumption", AutoTopUp, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def resume_auto_top_up(path: WalletPath) -> Answer:
        """Let a wallet fill itself again that stopped or was turned off. 409: its card is gone."""
        with front.reading() as session:
            account = billed_account(front, session, path.account_id)
        return _resumed(api, account, path.unit)


def own_saved_methods(api: Api) -> None:
    """The same of the key's own account."""
    front = api.front

    def own() -> AccountRow:
        with front.reading() as session:
            return session.get_one(AccountRow, front.scope.account_id)

    @api.get("/own/saved-methods", SavedMethods, TAG)
    @needs(Permission.OWN_PAY)
    def list_own_saved_methods() -> SavedMethods:
        """Cards that gateways keep for the key's own account."""
        with front.reading() as session:
            return _methods(session, front.scope.account_id)

    @api.put("/own/saved-methods/<int:method_id>/preference", SavedMethods, TAG)
    @needs(Permission.OWN_PAY)
    def prefer_own_method(path: OwnMethodPath) -> Answer:
        """Charge this card first."""
        return _preferred(api, own(), path.method_id)

    @api.delete("/own/saved-methods/<int:method_id>", TAG)
    @needs(Permission.OWN_PAY)
    def remove_own_method(path: OwnMethodPath) -> Answer:
        """Charge a card no more, and have its gateway forget it."""
        return _removed(api, own(), path.method_id)

    @api.get("/own/wallets/<unit>/auto-top-up", AutoTopUp, TAG, moving=("declines", "next"))
    @needs(Permission.OWN_PAY)
    def get_own_auto_top_up(path: OwnWalletPath) -> AutoTopUp:
        """How a wallet of the key's own account fills itself. 404: it does not."""
        with front.reading() as session:
            return _shown(session, front.scope.account_id, path.unit)

    @api.put("/own/wallets/<unit>/auto-top-up", AutoTopUp, TAG)
    @needs(Permission.OWN_PAY)
    def put_own_auto_top_up(path: OwnWalletPath, body: SentAutoTopUp) -> Answer:
        """Have a wallet fill itself. 409: no card is there for it."""
        return _set(api, own(), path.unit, body)

    @api.delete("/own/wallets/<unit>/auto-top-up", TAG)
    @needs(Permission.OWN_PAY)
    def stop_own_auto_top_up(path: OwnWalletPath) -> Answer:
        """Let it fill itself no more."""
        return _stopped(api, own(), path.unit)

    @api.post("/own/wallets/<unit>/auto-top-up/resumption", AutoTopUp, TAG)
    @needs(Permission.OWN_PAY)
    def resume_own_auto_top_up(path: OwnWalletPath) -> Answer:
        """Let a wallet of the key's own account fill itself again. 409: its card is gone."""
        return _resumed(api, own(), path.unit)


def _methods(session: Session, account_id: int) -> SavedMethods:
    return SavedMethods(
        items=[
            SavedMethod(
                id=x.id,
                brand=x.brand,
                last4=x.last4,
                expires=x.expires,
                preferred=x.preferred,
                saved=moment(x.created_us),
            )
            for x in methods_of(session, account_id)
        ]
    )


def _method(session: Session, account_id: int, id: int) -> SavedMethodRow:
    row = session.get(SavedMethodRow, id)
    if row is None or row.account_id != account_id:
        raise Refused(404)
    return row


def _preferred(api: Api, account: AccountRow, id: int) -> Answer:
    with api.front.reading() as session:
        _method(session, account.id, id)
    with api.writing("card.prefer", str(id), account_id=account.id) as change:
        _method(change.session, account.id, id)
        with conflicts():
            prefer_method(change.session, id)
        return change.done(_methods(change.session, account.id))


def _removed(api: Api, account: AccountRow, id: int) -> Answer:
    with api.front.reading() as session:
        _method(session, account.id, id)
    with api.writing("card.remove", str(id), account_id=account.id) as change:
        _method(change.session, account.id, id)
        with conflicts():
            forget_method(change.session, active_method(change.session, id))
        answer = change.done(None)
    try:
        with api.front.desks.desk() as desk:
            desk.tell_removed(id)
    except (InputRefused, ConfigurationError):
        return answer  # here it is gone; at the gateway it lies unused
    return answer


def wallet_of(session: Session, account_id: int, unit: str) -> WalletRow:
    """A wallet of an account; 404 without one."""
    row = session.scalar(select(WalletRow).where(WalletRow.account_id == account_id, WalletRow.unit == unit))
    if row is None:
        raise Refused(404)
    return row


def _shown(session: Session, account_id: int, unit_code: str) -> AutoTopUp:
    row = session.get(AutoTopUpRow, wallet_of(session, account_id, unit_code).id)
    if row is None:
        raise Refused(404)
    unit = unit_of(session, unit_code)

    def cap(amount: int | None) -> Money | None:
        return None if amount is None else money(amount, unit)

    return AutoTopUp(
        state=row.state,
        below=money(row.below, unit),
        amount=money(row.amount, unit),
        method_id=row.method_id,
        daily_cap=cap(row.daily_cap),
        monthly_cap=cap(row.monthly_cap),
        declines=row.declines,
        next=moment_or_none(row.next_us),
    )


def _set(api: Api, account: AccountRow, unit_code: str, sent: Any) -> Answer:
    with api.front.reading() as session:
        wallet_of(session, account.id, unit_code)
    with api.writing("auto-top-up.set", account.code, account_id=account.id) as change:
        session = change.session
        unit = unit_of(session, unit_code)
        if sent.method_id is not None:
            row = session.get(SavedMethodRow, sent.method_id)
            if row is None or row.account_id != account.id:
                raise wrong("method_id", "the account has no such card")
        terms = AutoTopUpTerms(
            _steps(sent.below, unit, "below") or 0,
            _steps(sent.amount, unit, "amount") or 0,
            sent.method_id,
            _steps(sent.daily_cap, unit, "daily_cap"),
            _steps(sent.monthly_cap, unit, "monthly_cap"),
        )
        now = session.get_one(AccountRow, account.id)
        with conflicts():
            set_auto_top_up(session, now, unit_code, terms, change.now_us)
        return change.done(_shown(session, account.id, unit_code))


def _steps(text: str | None, unit: Unit, name: str) -> int | None:
    if text is None:
        return None
    with field(name):
        return parse_amount(text, unit)


def _stopped(api: Api, account: AccountRow, unit_code: str) -> Answer:
    with api.front.reading() as session:
        _shown(session, account.id, unit_code)
    with api.writing("auto-top-up.off", account.code, account_id=account.id) as change:
        now = change.session.get_one(AccountRow, account.id)
        with conflicts():
            turn_off(change.session, now, unit_code, change.now_us)
        return change.done(None)


def _resumed(api: Api, account: AccountRow, unit_code: str) -> Answer:
    with api.front.reading() as session:
        _shown(session, account.id, unit_code)
    with api.writing("auto-top-up.resume", account.code, account_id=account.id) as change:
        now = change.session.get_one(AccountRow, account.id)
        with conflicts():
            resume(change.session, now, unit_code, change.now_us)
        return change.done(_shown(change.session, account.id, unit_code), 201)
